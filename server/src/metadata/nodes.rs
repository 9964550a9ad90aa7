//! Node rows.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension as _, Row, named_params, params};
use sluice_proto::{
    error::{Reason, Refusal},
    ids::{DriveId, NodeId, UploadId},
};
use sluice_shard::record::{Object, StoredAs, UploadRecord};

use super::{
    drives,
    outbox::{self, Subject, Transition},
    page::{Page, PageLimit},
    parsed,
};

/// A node as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its drive.
    pub drive_id: DriveId,
    /// Its id in the drive.
    pub node_id: NodeId,
    /// The upload that made it.
    pub upload_id: UploadId,
    /// The client's name for it.
    pub filename: String,
    /// The client's MIME type.
    pub mime_type: String,
    /// The client's own pairs.
    pub metadata: BTreeMap<String, String>,
    /// When it was made, Unix ms.
    pub create_ms: u64,
    /// When it last changed, Unix ms.
    pub update_ms: u64,
    /// Its bytes.
    pub object: Object,
}

const COLUMNS: &str = "drive_id, node_id, upload_id, filename, mime_type, metadata, create_ms,
    update_ms, size_bytes, crc64nvme, sha256, etag, version_id";

/// One node of a drive, if the tenant may see it.
///
/// # Errors
/// What the database says.
pub fn get_node(
    conn: &Connection,
    tenant: &str,
    drive_id: &DriveId,
    node_id: &NodeId,
) -> rusqlite::Result<Result<Node, Refusal>> {
    let select =
        format!("SELECT {COLUMNS} FROM nodes WHERE drive_id = ?1 AND node_id = ?2 AND tenant = ?3");
    let mut select = conn.prepare_cached(&select)?;
    let found = select
        .query_row(params![drive_id.as_str(), node_id.as_str(), tenant], |row| Ok(node(row)?.0))
        .optional()?;
    if let Some(node) = found {
        return Ok(Ok(node));
    }
    Ok(drives::check_drive(conn, drive_id)?.and_then(|()| {
        let refusal = Refusal::new(Reason::NodeUnknown, "no such node").field("node_id");
        Err(refusal.with("drive_id", drive_id).with("node_id", node_id))
    }))
}

/// The object that an upload became, if it did.
pub(super) fn made_by(conn: &Connection, upload_id: &UploadId) -> rusqlite::Result<Option<Object>> {
    let select = format!("SELECT {COLUMNS} FROM nodes WHERE upload_id = ?1");
    conn.prepare_cached(&select)?.query_row([upload_id.to_string()], made).optional()
}

/// Which nodes of a drive a list asks for.
#[derive(Clone, Debug)]
pub struct NodeFilter {
    /// Who may see them.
    pub tenant: String,
    /// Their drive.
    pub drive_id: DriveId,
    /// Their name; empty: any.
    pub filename: String,
}

/// The nodes after this id, by ascending id.
///
/// # Errors
/// What the database says.
pub fn list_nodes(
    conn: &Connection,
    filter: &NodeFilter,
    after: &str,
    limit: PageLimit,
) -> rusqlite::Result<Result<Page<Node>, Refusal>> {
    if let Err(refusal) = drives::check_drive(conn, &filter.drive_id)? {
        return Ok(Err(refusal));
    }
    let named = if filter.filename.is_empty() { "?4 = ''" } else { "filename = ?4" };
    // Each form is ordered by an index of its own.
    let select = format!(
        "SELECT {COLUMNS} FROM nodes
         WHERE drive_id = ?1 AND {named} AND node_id > ?2 AND tenant = ?3 ORDER BY node_id"
    );
    let mut select = conn.prepare_cached(&select)?;
    let values = params![filter.drive_id.as_str(), after, filter.tenant, filter.filename];
    limit.take(select.query(values)?, node).map(Ok)
}

/// A node, and its texts' bytes.
fn node(row: &Row<'_>) -> rusqlite::Result<(Node, usize)> {
    let text = |column| row.get::<_, String>(column);
    let (drive_id, node_id, upload_id) = (text(0)?, text(1)?, text(2)?);
    let (filename, mime_type, metadata) = (text(3)?, text(4)?, text(5)?);
    let texts = [&drive_id, &node_id, &upload_id, &filename, &mime_type, &metadata];
    let bytes = texts.iter().map(|text| text.len()).sum();
    let unsigned = |column| row.get::<_, i64>(column).map(|number| number as u64);
    let node = Node {
        drive_id: parsed(&drive_id, DriveId::parse(&drive_id))?,
        node_id: parsed(&node_id, NodeId::parse(&node_id))?,
        upload_id: parsed(&upload_id, UploadId::parse(&upload_id))?,
        metadata: parsed(&metadata, serde_json::from_str(&metadata))?,
        filename,
        mime_type,
        create_ms: unsigned(6)?,
        update_ms: unsigned(7)?,
        object: made(row)?,
    };
    Ok((node, bytes))
}

fn made(row: &Row<'_>) -> rusqlite::Result<Object> {
    let version_id = row.get(12)?;
    Ok(Object {
        size_bytes: row.get::<_, i64>(8)? as u64,
        crc64nvme: row.get::<_, Option<i64>>(9)?.map(|sum| sum as u64),
        sha256: row.get(10)?,
        stored: row.get::<_, Option<String>>(11)?.map(|etag| StoredAs { etag, version_id }),
    })
}

/// Makes the upload a node, with its event, and gives back all that it held but its request. A
/// repeat changes nothing.
///
/// # Errors
/// What the database says: then nothing was changed.
pub fn finish(
    conn: &Connection,
    record: &UploadRecord,
    object: &Object,
    wall_ms: u64,
) -> rusqlite::Result<()> {
    let spec = &record.spec;
    let upload_id = record.upload_id.to_string();
    let metadata = serde_json::to_string(&spec.metadata).expect("a map of strings is JSON");
    let made = conn
        .prepare_cached(
            "INSERT INTO nodes (
            drive_id, node_id, upload_id, tenant, filename, mime_type, metadata, size_bytes,
            crc64nvme, sha256, etag, version_id, create_ms, update_ms
         ) VALUES (
            :drive_id, :node_id, :upload_id, :tenant, :filename, :mime_type, :metadata,
            :size_bytes, :crc64nvme, :sha256, :etag, :version_id, :wall_ms, :wall_ms
         ) ON CONFLICT (upload_id) DO NOTHING",
        )?
        .execute(named_params! {
            ":drive_id": spec.drive_id.as_str(),
            ":node_id": spec.node_id.as_str(),
            ":upload_id": upload_id,
            ":tenant": spec.tenant,
            ":filename": spec.filename.as_str(),
            ":mime_type": spec.mime_type,
            ":metadata": metadata,
            ":size_bytes": object.size_bytes as i64,
            ":crc64nvme": object.crc64nvme.map(|sum| sum as i64),
            ":sha256": object.sha256,
            ":etag": object.stored.as_ref().map(|stored| &stored.etag),
            ":version_id": object.stored.as_ref().and_then(|stored| stored.version_id.as_ref()),
            ":wall_ms": wall_ms as i64,
        })?;
    let promised: Option<i64> = conn
        .prepare_cached(
            "UPDATE claims SET finish_ms = ?2 WHERE upload_id = ?1 AND finish_ms IS NULL
             RETURNING promised_bytes",
        )?
        .query_row(params![upload_id, wall_ms as i64], |row| row.get(0))
        .optional()?;
    let size_bytes = if made > 0 { object.size_bytes as i64 } else { 0 };
    let more_bytes = size_bytes - promised.unwrap_or_default();
    drives::hold(conn, spec.drive_id.as_str(), more_bytes)?;
    let subject = Subject {
        upload_id: &upload_id,
        tenant: &spec.tenant,
        drive_id: spec.drive_id.as_str(),
        node_id: spec.node_id.as_str(),
    };
    outbox::put(conn, &subject, Transition::Completed, None, wall_ms)
}
