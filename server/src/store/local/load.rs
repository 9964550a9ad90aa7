//! Reads uploads.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension as _, Row};
use sluice_proto::{
    error::Reason,
    ids::{DriveId, Filename, NodeId, RequestId, UploadId},
};
use sluice_shard::record::{
    ChunkRecord, EndError, Object, StoredAs, StoredUpload, UploadRecord, UploadSpec,
};

use super::{
    codec::{self, damaged},
    parts,
};
use crate::store::{LiveUploads, Loaded, damage};

/// All live uploads, as [`StoredUpload::apply`] would have left them.
///
/// # Errors
/// What the database says, also of an id that was never written there: it stands for nobody's claims.
pub fn load_open(conn: &Connection) -> rusqlite::Result<LiveUploads> {
    // The condition is that of the index.
    let mut select = conn.prepare("SELECT * FROM uploads WHERE state < 3 OR cleanup_pending")?;
    let mut rows = select.query(())?;
    let mut found = LiveUploads::default();
    while let Some(row) = rows.next()? {
        match readable(row, stored(conn, row))? {
            Some(upload) => found.uploads.push(upload),
            None => found.damaged.push(parsed(row, "upload_id", UploadId::parse)?),
        }
    }
    Ok(found)
}

/// `None`: it is damaged, which is told, and keeps nobody from the others.
pub(super) fn readable<T>(row: &Row<'_>, read: rusqlite::Result<T>) -> rusqlite::Result<Option<T>> {
    match read {
        Ok(read) => Ok(Some(read)),
        Err(error) if is_damage(&error) => {
            let text = row.get_ref("upload_id")?.as_bytes().unwrap_or_default();
            damage::met(&String::from_utf8_lossy(text), &error);
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// A column holds what was never written there.
fn is_damage(error: &rusqlite::Error) -> bool {
    use rusqlite::Error::{
        FromSqlConversionFailure, IntegralValueOutOfRange, InvalidColumnType, Utf8Error,
    };
    matches!(
        error,
        FromSqlConversionFailure(..)
            | IntegralValueOutOfRange(..)
            | InvalidColumnType(..)
            | Utf8Error(..)
    )
}

/// One upload, if it has at most `chunks_max` chunks.
///
/// # Errors
/// What the database says.
pub fn load_one(
    conn: &Connection,
    upload_id: &UploadId,
    chunks_max: usize,
) -> rusqlite::Result<Loaded> {
    let upload_id = upload_id.to_string();
    let chunks: Option<i64> = conn
        .prepare_cached(
            "SELECT (SELECT count(*) FROM chunks WHERE chunks.upload = uploads.upload)
             FROM uploads WHERE upload_id = ?1",
        )?
        .query_row([&upload_id], |row| row.get(0))
        .optional()?;
    match chunks.and_then(|chunks| usize::try_from(chunks).ok()) {
        None => Ok(Loaded::Nothing),
        Some(chunks) if chunks > chunks_max => Ok(Loaded::TooLarge),
        Some(_) => conn.prepare_cached("SELECT * FROM uploads WHERE upload_id = ?1")?.query_row(
            [&upload_id],
            |row| {
                let upload = readable(row, stored(conn, row))?;
                Ok(upload.map_or(Loaded::Damaged, |upload| Loaded::Whole(Box::new(upload))))
            },
        ),
    }
}

fn stored(conn: &Connection, row: &Row<'_>) -> rusqlite::Result<StoredUpload> {
    Ok(StoredUpload {
        record: record(row)?,
        chunks: chunks(conn, row.get("upload")?)?,
        lost: parts::lost(conn, row.get("upload")?)?,
        parts: parts::parts(conn, row.get("upload")?)?,
        hash_state: row.get("hash_state")?,
        rev: unsigned(row, "rev")?,
    })
}

fn chunks(conn: &Connection, upload: i64) -> rusqlite::Result<BTreeMap<u32, ChunkRecord>> {
    let mut select = conn.prepare_cached("SELECT * FROM chunks WHERE upload = ?1")?;
    let chunks = select.query_map([upload], |row| {
        let columns = [
            row.get("place")?,
            row.get("place_segment")?,
            row.get("place_offset")?,
            row.get("place_bytes")?,
        ];
        let chunk = ChunkRecord {
            attempt: row.get("attempt")?,
            bytes: unsigned(row, "bytes")?,
            crc64nvme: unsigned(row, "crc64nvme")?,
            crc32c: row.get("crc32c")?,
            sha256: row.get::<_, Option<[u8; 32]>>("sha256")?.map(Box::new),
            place: codec::place(column(row, "place")?, columns)?,
        };
        Ok((row.get("number")?, chunk))
    })?;
    chunks.collect()
}

pub(super) fn record(row: &Row<'_>) -> rusqlite::Result<UploadRecord> {
    let object_bytes: Option<i64> = row.get("object_bytes")?;
    let object = match object_bytes {
        Some(bytes) => Some(Object {
            size_bytes: bytes as u64,
            crc64nvme: row.get::<_, Option<i64>>("object_crc64nvme")?.map(|sum| sum as u64),
            sha256: row.get("object_sha256")?,
            stored: stored_as(row)?,
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
        schedule: parts::schedule(row)?,
        multipart_id: row.get("multipart_id")?,
    })
}

fn stored_as(row: &Row<'_>) -> rusqlite::Result<Option<StoredAs>> {
    let version_id = row.get("object_version_id")?;
    let etag: Option<String> = row.get("object_etag")?;
    Ok(etag.map(|etag| StoredAs { etag, version_id }))
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

pub(super) fn parsed<T, E>(
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

pub(super) fn column(row: &Row<'_>, name: &str) -> rusqlite::Result<usize> {
    row.as_ref().column_index(name)
}
