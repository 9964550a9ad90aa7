//! Reads a store whole.

use std::collections::{BTreeMap, HashMap};

use rusqlite::{Connection, Row};
use sluice_proto::{
    error::Reason,
    ids::{DriveId, Filename, NodeId, RequestId, UploadId},
};
use sluice_shard::record::{ChunkRecord, EndError, Object, StoredUpload, UploadRecord, UploadSpec};

use super::codec::{self, damaged};

/// All uploads of the store, as [`StoredUpload::apply`] would have left them.
///
/// # Errors
/// What the database says, also of a column that holds what was never written there.
pub fn load(conn: &Connection) -> rusqlite::Result<Vec<StoredUpload>> {
    let mut chunks = load_chunks(conn)?;
    let mut select = conn.prepare("SELECT * FROM uploads")?;
    let uploads = select.query_map((), |row| {
        let upload: i64 = row.get("upload")?;
        Ok(StoredUpload {
            record: record(row)?,
            chunks: chunks.remove(&upload).unwrap_or_default(),
            hash_state: row.get("hash_state")?,
            rev: unsigned(row, "rev")?,
        })
    })?;
    uploads.collect()
}

fn load_chunks(conn: &Connection) -> rusqlite::Result<HashMap<i64, BTreeMap<u32, ChunkRecord>>> {
    let mut all: HashMap<i64, BTreeMap<u32, ChunkRecord>> = HashMap::new();
    let mut select = conn.prepare("SELECT * FROM chunks")?;
    let mut rows = select.query(())?;
    while let Some(row) = rows.next()? {
        let place = [row.get("place")?, row.get("place_segment")?, row.get("place_offset")?];
        let [kind, segment, offset] = place;
        let chunk = ChunkRecord {
            attempt: row.get("attempt")?,
            bytes: unsigned(row, "bytes")?,
            crc64nvme: unsigned(row, "crc64nvme")?,
            crc32c: row.get("crc32c")?,
            sha256: row.get::<_, Option<[u8; 32]>>("sha256")?.map(Box::new),
            place: codec::place(
                column(row, "place")?,
                [kind, segment, offset, row.get("place_bytes")?],
            )?,
        };
        all.entry(row.get("upload")?).or_default().insert(row.get("number")?, chunk);
    }
    Ok(all)
}

fn record(row: &Row<'_>) -> rusqlite::Result<UploadRecord> {
    let object_bytes: Option<i64> = row.get("object_bytes")?;
    let object = match object_bytes {
        Some(bytes) => Some(Object {
            size_bytes: bytes as u64,
            crc64nvme: unsigned(row, "object_crc64nvme")?,
            sha256: row.get("object_sha256")?,
        }),
        None => None,
    };
    let error_reason: Option<String> = row.get("error_reason")?;
    let error = match error_reason {
        Some(reason) => Some(EndError {
            reason: Reason::parse(&reason).ok_or_else(|| odd(row, "error_reason", reason))?,
            message: row.get("error_message")?,
        }),
        None => None,
    };
    Ok(UploadRecord {
        upload_id: parsed(row, "upload_id", UploadId::parse)?,
        spec: spec(row)?,
        state: codec::state(column(row, "state")?, row.get("state")?)?,
        total_chunks: row.get("total_chunks")?,
        create_ms: unsigned(row, "create_ms")?,
        update_ms: unsigned(row, "update_ms")?,
        expire_ms: unsigned(row, "expire_ms")?,
        object,
        error,
        cleanup_pending: row.get("cleanup_pending")?,
    })
}

fn spec(row: &Row<'_>) -> rusqlite::Result<UploadSpec> {
    let request_id = match row.get::<_, Option<String>>("request_id")? {
        Some(_) => Some(parsed(row, "request_id", RequestId::parse)?),
        None => None,
    };
    Ok(UploadSpec {
        tenant: row.get("tenant")?,
        drive_id: parsed(row, "drive_id", DriveId::parse)?,
        node_id: parsed(row, "node_id", NodeId::parse)?,
        filename: parsed(row, "filename", Filename::parse)?,
        mime_type: row.get("mime_type")?,
        metadata: parsed(row, "metadata", |text| serde_json::from_str(text))?,
        expected_size_bytes: optional(row, "expected_size_bytes")?,
        chunk_size_bytes: optional(row, "chunk_size_bytes")?,
        max_size_bytes: unsigned(row, "max_size_bytes")?,
        sha256: row.get("sha256")?,
        hash: row.get("hash")?,
        if_not_exists: row.get("if_not_exists")?,
        request_id,
        fingerprint: row.get("fingerprint")?,
    })
}

/// A number that is kept bit by bit.
fn unsigned(row: &Row<'_>, name: &str) -> rusqlite::Result<u64> {
    Ok(row.get::<_, i64>(name)? as u64)
}

fn optional(row: &Row<'_>, name: &str) -> rusqlite::Result<Option<u64>> {
    Ok(row.get::<_, Option<i64>>(name)?.map(|number| number as u64))
}

fn parsed<T, E>(
    row: &Row<'_>,
    name: &str,
    parse: impl FnOnce(&str) -> Result<T, E>,
) -> rusqlite::Result<T> {
    let text: String = row.get(name)?;
    parse(&text).map_err(|_| odd(row, name, text))
}

fn odd(row: &Row<'_>, name: &str, text: String) -> rusqlite::Error {
    let column = column(row, name).unwrap_or_default();
    damaged(column, format!("{name} holds {text:?}"))
}

fn column(row: &Row<'_>, name: &str) -> rusqlite::Result<usize> {
    row.as_ref().column_index(name)
}
