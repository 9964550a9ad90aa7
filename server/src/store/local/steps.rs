//! Takes steps of an upload: each [`Transition`] as statements.

use rusqlite::{Connection, OptionalExtension as _, named_params, params};
use sluice_proto::ids::UploadId;
use sluice_shard::record::{ChunkPlace, ChunkRecord, Object, State, Transition, UploadRecord};

use super::{Fence, StepError, check_fence, codec, parts};

/// Takes those of `steps` that weren't taken before, all or none. `first_rev` is the `rev` of the
/// first.
///
/// # Errors
/// [`StepError`], or what the database says: then none was taken.
pub fn take_steps(
    conn: &Connection,
    fence: Fence,
    upload_id: &UploadId,
    first_rev: u64,
    wall_ms: u64,
    steps: &[Transition],
) -> rusqlite::Result<()> {
    check_fence(conn, fence)?;
    let upload_id = upload_id.to_string();
    let known = find(conn, &upload_id)?;
    let rev = match known {
        Some((_, rev)) => rev,
        None => 0,
    };
    if first_rev > rev + 1 {
        return Err(StepError::Gap { first_rev, rev }.into());
    }
    let skipped = usize::try_from(rev + 1 - first_rev).unwrap_or(usize::MAX);
    let fresh = steps.get(skipped..).unwrap_or_default();
    if fresh.is_empty() {
        return Ok(());
    }
    let (upload, fresh) = match (known, fresh) {
        (Some((upload, _)), fresh) => (upload, fresh),
        (None, [Transition::Create(record), rest @ ..]) => (create(conn, record)?, rest),
        (None, _) => return Err(StepError::Gap { first_rev, rev }.into()),
    };
    for step in fresh {
        take(conn, upload, step)?;
    }
    let rev = first_rev + steps.len() as u64 - 1;
    conn.prepare_cached("UPDATE uploads SET rev = ?2, update_ms = ?3 WHERE upload = ?1")?
        .execute(params![upload, rev as i64, wall_ms as i64])?;
    Ok(())
}

/// Row and `rev` of an upload.
fn find(conn: &Connection, upload_id: &str) -> rusqlite::Result<Option<(i64, u64)>> {
    conn.prepare_cached("SELECT upload, rev FROM uploads WHERE upload_id = ?1")?
        .query_row([upload_id], |row| Ok((row.get(0)?, row.get::<_, i64>(1)? as u64)))
        .optional()
}

fn create(conn: &Connection, record: &UploadRecord) -> rusqlite::Result<i64> {
    let spec = &record.spec;
    let (schedule_kind, schedule_bytes) = parts::schedule_columns(record.schedule);
    let metadata = serde_json::to_string(&spec.metadata).expect("a map of strings is JSON");
    conn.prepare_cached(
        "INSERT INTO uploads (
            upload_id, rev, state, cleanup_pending, total_chunks, create_ms, update_ms, expire_ms,
            tenant, drive_id, node_id, filename, mime_type, metadata, expected_size_bytes,
            chunk_size_bytes, max_size_bytes, sha256, hash, if_not_exists, request_id, fingerprint,
            schedule_kind, schedule_bytes
         ) VALUES (
            :upload_id, 0, :state, :cleanup_pending, :total_chunks, :create_ms, :update_ms,
            :expire_ms, :tenant, :drive_id, :node_id, :filename, :mime_type, :metadata,
            :expected_size_bytes, :chunk_size_bytes, :max_size_bytes, :sha256, :hash,
            :if_not_exists, :request_id, :fingerprint, :schedule_kind, :schedule_bytes
         )",
    )?
    .execute(named_params! {
        ":upload_id": record.upload_id.to_string(),
        ":state": codec::state_number(record.state),
        ":cleanup_pending": record.cleanup_pending,
        ":total_chunks": record.total_chunks,
        ":create_ms": record.create_ms as i64,
        ":update_ms": record.update_ms as i64,
        ":expire_ms": record.expire_ms as i64,
        ":tenant": spec.tenant,
        ":drive_id": spec.drive_id.as_str(),
        ":node_id": spec.node_id.as_str(),
        ":filename": spec.filename.as_str(),
        ":mime_type": spec.mime_type,
        ":metadata": metadata,
        ":expected_size_bytes": spec.expected_size_bytes.map(|bytes| bytes as i64),
        ":chunk_size_bytes": spec.chunk_size_bytes.map(|bytes| bytes as i64),
        ":max_size_bytes": spec.max_size_bytes as i64,
        ":sha256": spec.sha256,
        ":hash": spec.hash,
        ":if_not_exists": spec.if_not_exists,
        ":request_id": spec.request_id.as_ref().map(|id| id.as_str()),
        ":fingerprint": spec.fingerprint,
        ":schedule_kind": schedule_kind,
        ":schedule_bytes": schedule_bytes,
    })?;
    Ok(conn.last_insert_rowid())
}

fn take(conn: &Connection, upload: i64, step: &Transition) -> rusqlite::Result<()> {
    match step {
        Transition::Create(_) => unreachable!("an upload is made once"),
        Transition::PutChunk { number, chunk, total_chunks } => {
            put_chunk(conn, upload, *number, chunk)?;
            parts::found(conn, upload, *number)?;
            conn.prepare_cached(
                "UPDATE uploads SET total_chunks = coalesce(total_chunks, ?2), state = max(state, ?3)
                 WHERE upload = ?1",
            )?
            .execute(params![upload, total_chunks, codec::state_number(State::Uploading)])?;
        }
        Transition::BeginMultipart { multipart_id } => {
            conn.prepare_cached("UPDATE uploads SET multipart_id = ?2 WHERE upload = ?1")?
                .execute(params![upload, multipart_id])?;
        }
        Transition::PlanPart { part, bytes } => parts::plan(conn, upload, *part, *bytes)?,
        Transition::StorePart { part, stored } => parts::store(conn, upload, *part, stored)?,
        Transition::LoseChunk { number } | Transition::BindChunk { number } => {
            if let Transition::BindChunk { .. } = step {
                parts::bind(conn, upload, *number)?;
            }
            conn.prepare_cached("DELETE FROM chunks WHERE upload = ?1 AND number = ?2")?
                .execute(params![upload, number])?;
        }
        Transition::PlaceChunk { number, attempt } => {
            set_place(conn, upload, *number, *attempt, ChunkPlace::Object)?;
        }
        Transition::DropChunk { number, attempt } => {
            set_place(conn, upload, *number, *attempt, ChunkPlace::Discarded)?;
        }
        Transition::FixTotal { total_chunks, sha256 } => {
            conn.prepare_cached(
                "UPDATE uploads SET total_chunks = ?2, sha256 = coalesce(?3, sha256),
                 hash = hash OR ?3 IS NOT NULL WHERE upload = ?1",
            )?
            .execute(params![upload, total_chunks, sha256])?;
        }
        Transition::HashState(state) => {
            conn.prepare_cached("UPDATE uploads SET hash_state = ?2 WHERE upload = ?1")?
                .execute(params![upload, state])?;
        }
        Transition::Completing { object } => {
            set_state(conn, upload, State::Completing, false)?;
            put_object(conn, upload, object.as_ref())?;
        }
        Transition::Completed(object) => {
            set_state(conn, upload, State::Completed, true)?;
            put_object(conn, upload, Some(object))?;
        }
        Transition::End { state, error } => {
            set_state(conn, upload, *state, true)?;
            put_object(conn, upload, None)?;
            let reason = error.as_ref().map(|error| error.reason.as_str());
            let message = error.as_ref().map(|error| &error.message);
            conn.prepare_cached(
                "UPDATE uploads SET error_reason = ?2, error_message = ?3 WHERE upload = ?1",
            )?
            .execute(params![upload, reason, message])?;
        }
        Transition::CleanedUp => {
            conn.prepare_cached("UPDATE uploads SET cleanup_pending = 0 WHERE upload = ?1")?
                .execute([upload])?;
            parts::clear(conn, upload)?;
        }
    }
    Ok(())
}

fn put_chunk(
    conn: &Connection,
    upload: i64,
    number: u32,
    chunk: &ChunkRecord,
) -> rusqlite::Result<()> {
    let [kind, segment, offset, bytes] = codec::place_columns(chunk.place);
    conn.prepare_cached(
        "INSERT OR REPLACE INTO chunks (
            upload, number, attempt, bytes, crc64nvme, crc32c, sha256,
            place, place_segment, place_offset, place_bytes
         ) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
    )?
    .execute(params![
        upload,
        number,
        chunk.attempt,
        chunk.bytes as i64,
        chunk.crc64nvme as i64,
        chunk.crc32c,
        chunk.sha256.as_deref(),
        kind,
        segment,
        offset,
        bytes,
    ])?;
    Ok(())
}

fn set_place(
    conn: &Connection,
    upload: i64,
    number: u32,
    attempt: u32,
    place: ChunkPlace,
) -> rusqlite::Result<()> {
    let [kind, segment, offset, bytes] = codec::place_columns(place);
    conn.prepare_cached(
        "UPDATE chunks SET place = ?4, place_segment = ?5, place_offset = ?6, place_bytes = ?7
         WHERE upload = ?1 AND number = ?2 AND attempt = ?3",
    )?
    .execute(params![upload, number, attempt, kind, segment, offset, bytes])?;
    Ok(())
}

fn set_state(conn: &Connection, upload: i64, state: State, ends: bool) -> rusqlite::Result<()> {
    conn.prepare_cached(
        "UPDATE uploads SET state = ?2, cleanup_pending = max(cleanup_pending, ?3)
         WHERE upload = ?1",
    )?
    .execute(params![upload, codec::state_number(state), ends])?;
    Ok(())
}

fn put_object(conn: &Connection, upload: i64, object: Option<&Object>) -> rusqlite::Result<()> {
    let crc64nvme = object.and_then(|object| object.crc64nvme);
    let stored = object.and_then(|object| object.stored.as_ref());
    conn.prepare_cached(
        "UPDATE uploads SET object_bytes = ?2, object_crc64nvme = ?3, object_sha256 = ?4,
         object_etag = ?5, object_version_id = ?6 WHERE upload = ?1",
    )?
    .execute(params![
        upload,
        object.map(|object| object.size_bytes as i64),
        crc64nvme.map(|sum| sum as i64),
        object.and_then(|object| object.sha256),
        stored.map(|stored| &stored.etag),
        stored.and_then(|stored| stored.version_id.as_ref()),
    ])?;
    Ok(())
}
