//! What a running upload holds: its node, a name that must be new, its request.

use rusqlite::{Connection, OptionalExtension as _, named_params, params};
use sluice_proto::{
    error::{Reason, Refusal},
    ids::{NodeId, UploadId},
};
use sluice_shard::{
    event::Claimed,
    record::{EndError, State, Transition as End, UploadRecord, UploadSpec},
};

use super::{
    drives, nodes,
    outbox::{self, Subject, Transition},
    parsed,
};

/// Why an upload became nothing, in its event.
const ABORTED: &str = "aborted";
const EXPIRED: &str = "expired";
const FAILED: &str = "failed";

/// Claims for an upload what its request asks for, with the event that it began.
///
/// # Errors
/// What the database says: then nothing was changed.
pub fn claim(
    conn: &Connection,
    upload_id: &UploadId,
    spec: &UploadSpec,
    create_ms: u64,
) -> rusqlite::Result<Claimed> {
    let upload_id = upload_id.to_string();
    if exists(conn, "SELECT 1 FROM claims WHERE upload_id = ?1", [&upload_id])? {
        return Ok(Claimed::Granted);
    }
    if let Some(claimed) = find_request(conn, spec)? {
        return Ok(claimed);
    }
    if let Some(refusal) = find_conflict(conn, spec)? {
        return Ok(Claimed::Refused(refusal));
    }
    let promised_bytes = spec.expected_size_bytes.map_or(0, |bytes| bytes as i64);
    conn.prepare_cached(
        "INSERT INTO claims (
            upload_id, tenant, drive_id, node_id, filename, if_not_exists, request_id, fingerprint,
            create_ms, promised_bytes
         ) VALUES (
            :upload_id, :tenant, :drive_id, :node_id, :filename, :if_not_exists, :request_id,
            :fingerprint, :create_ms, :promised_bytes
         )",
    )?
    .execute(named_params! {
        ":upload_id": upload_id,
        ":tenant": spec.tenant,
        ":drive_id": spec.drive_id.as_str(),
        ":node_id": spec.node_id.as_str(),
        ":filename": spec.filename.as_str(),
        ":if_not_exists": spec.if_not_exists,
        ":request_id": spec.request_id.as_ref().map(|id| id.as_str()),
        ":fingerprint": spec.fingerprint,
        ":create_ms": create_ms as i64,
        ":promised_bytes": promised_bytes,
    })?;
    drives::hold(conn, spec.drive_id.as_str(), promised_bytes)?;
    let subject = Subject {
        upload_id: &upload_id,
        tenant: &spec.tenant,
        drive_id: spec.drive_id.as_str(),
        node_id: spec.node_id.as_str(),
    };
    outbox::put(conn, &subject, Transition::Initiated, None, create_ms)?;
    Ok(Claimed::Granted)
}

/// What the same request came to before.
fn find_request(conn: &Connection, spec: &UploadSpec) -> rusqlite::Result<Option<Claimed>> {
    let Some(request_id) = &spec.request_id else { return Ok(None) };
    let found: Option<(String, String, [u8; 32])> = conn
        .prepare_cached(
            "SELECT upload_id, node_id, fingerprint FROM claims
             WHERE tenant = ?1 AND request_id = ?2",
        )?
        .query_row(params![spec.tenant, request_id.as_str()], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })
        .optional()?;
    let Some((upload_id, node_id, fingerprint)) = found else { return Ok(None) };
    if fingerprint != spec.fingerprint {
        let message = "the request_id was used with other parameters";
        let refusal = Refusal::new(Reason::RequestIdReused, message).field("request_id");
        return Ok(Some(Claimed::Refused(refusal)));
    }
    let upload_id = parsed(&upload_id, UploadId::parse(&upload_id))?;
    let node_id = parsed(&node_id, NodeId::parse(&node_id))?;
    Ok(Some(Claimed::Known { upload_id, node_id }))
}

/// What keeps a new upload from its node or name.
fn find_conflict(conn: &Connection, spec: &UploadSpec) -> rusqlite::Result<Option<Refusal>> {
    let (drive, node) = (spec.drive_id.as_str(), spec.node_id.as_str());
    if let Err(refusal) = drives::check_drive(conn, &spec.drive_id)? {
        return Ok(Some(refusal));
    }
    let node_is_taken = "SELECT 1 FROM nodes WHERE drive_id = ?1 AND node_id = ?2
         UNION ALL
         SELECT 1 FROM claims WHERE drive_id = ?1 AND node_id = ?2 AND finish_ms IS NULL";
    if exists(conn, node_is_taken, [drive, node])? {
        let message = "the node is there, or is being uploaded";
        let refusal = Refusal::new(Reason::NodeExists, message).field("node_id");
        return Ok(Some(refusal.with("node_id", node)));
    }
    let name_is_taken = "SELECT 1 FROM nodes WHERE drive_id = ?1 AND filename = ?2
         UNION ALL
         SELECT 1 FROM claims WHERE drive_id = ?1 AND filename = ?2 AND if_not_exists
             AND finish_ms IS NULL";
    if spec.if_not_exists && exists(conn, name_is_taken, [drive, spec.filename.as_str()])? {
        let message = "the drive has a node of this filename, or one is being uploaded";
        return Ok(Some(Refusal::new(Reason::NameExists, message).field("filename")));
    }
    Ok(drives::check_room(conn, drive, spec.expected_size_bytes)?.err())
}

/// Gives back what an upload holds that became nothing, with the event why. Where nothing is
/// held nothing is done.
///
/// # Errors
/// What the database says: then nothing was changed.
pub fn release(conn: &Connection, record: &UploadRecord, wall_ms: u64) -> rusqlite::Result<()> {
    let cause = match record.state {
        State::Aborted => ABORTED,
        State::Expired => EXPIRED,
        _ => FAILED,
    };
    give_back(conn, &record.upload_id, cause, wall_ms)
}

/// Gives back what an upload holds that was never recorded: a crash came before.
///
/// # Errors
/// What the database says: then nothing was changed.
pub fn release_orphan(
    conn: &Connection,
    upload_id: &UploadId,
    wall_ms: u64,
) -> rusqlite::Result<()> {
    give_back(conn, upload_id, FAILED, wall_ms)
}

fn give_back(
    conn: &Connection,
    upload_id: &UploadId,
    cause: &str,
    wall_ms: u64,
) -> rusqlite::Result<()> {
    let upload_id = upload_id.to_string();
    let held: Option<(String, String, String, i64)> = conn
        .prepare_cached(
            "DELETE FROM claims WHERE upload_id = ?1 AND finish_ms IS NULL
             RETURNING tenant, drive_id, node_id, promised_bytes",
        )?
        .query_row([&upload_id], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))
        .optional()?;
    let Some((tenant, drive_id, node_id, promised_bytes)) = held else { return Ok(()) };
    drives::hold(conn, &drive_id, -promised_bytes)?;
    let subject =
        Subject { upload_id: &upload_id, tenant: &tenant, drive_id: &drive_id, node_id: &node_id };
    outbox::put(conn, &subject, Transition::Failed, Some(cause), wall_ms)
}

/// Uploads that hold something and that nobody knows.
///
/// # Errors
/// What the database says.
pub fn orphans(
    conn: &Connection,
    known: &dyn Fn(&UploadId) -> bool,
) -> rusqlite::Result<Vec<UploadId>> {
    let mut select = conn.prepare("SELECT upload_id FROM claims WHERE finish_ms IS NULL")?;
    let mut orphans = Vec::new();
    let mut rows = select.query(())?;
    while let Some(row) = rows.next()? {
        let text: String = row.get(0)?;
        let upload_id = parsed(&text, UploadId::parse(&text))?;
        if !known(&upload_id) {
            orphans.push(upload_id);
        }
    }
    Ok(orphans)
}

/// How an upload ended whose store takes it for open; `None`: it is.
///
/// An upload that is open holds its claims from before its first record until its end is recorded,
/// so one that holds none has ended, and its store has lost that.
///
/// # Errors
/// What the database says.
pub fn lost_end(conn: &Connection, upload_id: &UploadId) -> rusqlite::Result<Option<End>> {
    if let Some(object) = nodes::made_by(conn, upload_id)? {
        return Ok(Some(End::Completed(object)));
    }
    let upload_id = upload_id.to_string();
    let is_held = "SELECT 1 FROM claims WHERE upload_id = ?1 AND finish_ms IS NULL";
    if exists(conn, is_held, [&upload_id])? {
        return Ok(None);
    }
    let (state, error) = match outbox::failure_cause(conn, &upload_id)?.as_deref() {
        Some(ABORTED) => (State::Aborted, None),
        Some(EXPIRED) => (State::Expired, None),
        _ => {
            let message = "it had failed, and its store has lost why".to_owned();
            (State::Failed, Some(EndError { reason: Reason::Internal, message }))
        }
    };
    Ok(Some(End::End { state, error }))
}

fn exists(
    conn: &Connection,
    select: &str,
    values: impl rusqlite::Params,
) -> rusqlite::Result<bool> {
    conn.prepare_cached(select)?.exists(values)
}
