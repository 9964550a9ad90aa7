//! Parts of objects, chunks that must come again as they were, and how objects are cut: `objects = s3`.

use std::collections::BTreeMap;

use rusqlite::{Connection, Row, params};
use sluice_shard::{
    parts::Schedule,
    record::{LostChunk, PartRecord, StoredAs},
};

use super::codec::damaged;

/// Kind and length: how an object is cut.
pub(super) fn schedule_columns(schedule: Option<Schedule>) -> (Option<i64>, Option<i64>) {
    match schedule {
        None => (None, None),
        Some(Schedule::Single { size_bytes }) => (Some(0), Some(size_bytes as i64)),
        Some(Schedule::Fixed { part_bytes }) => (Some(1), Some(part_bytes as i64)),
        Some(Schedule::Growing { first_part_bytes }) => (Some(2), Some(first_part_bytes as i64)),
    }
}

pub(super) fn schedule(row: &Row<'_>) -> rusqlite::Result<Option<Schedule>> {
    let Some(kind) = row.get::<_, Option<i64>>("schedule_kind")? else { return Ok(None) };
    let bytes = row.get::<_, i64>("schedule_bytes")? as u64;
    Ok(Some(match kind {
        0 => Schedule::Single { size_bytes: bytes },
        1 => Schedule::Fixed { part_bytes: bytes },
        2 => Schedule::Growing { first_part_bytes: bytes },
        _ => return Err(damaged(0, format!("no schedule {kind}"))),
    }))
}

pub(super) fn plan(conn: &Connection, upload: i64, part: u32, bytes: u64) -> rusqlite::Result<()> {
    conn.prepare_cached(
        "INSERT OR REPLACE INTO parts (upload, part, bytes, etag, version_id)
         VALUES (?1, ?2, ?3, NULL, NULL)",
    )?
    .execute(params![upload, part, bytes as i64])?;
    Ok(())
}

pub(super) fn store(
    conn: &Connection,
    upload: i64,
    part: u32,
    stored: &StoredAs,
) -> rusqlite::Result<()> {
    conn.prepare_cached(
        "UPDATE parts SET etag = ?3, version_id = ?4 WHERE upload = ?1 AND part = ?2",
    )?
    .execute(params![upload, part, stored.etag, stored.version_id])?;
    Ok(())
}

/// Has a chunk come again as it was.
pub(super) fn bind(conn: &Connection, upload: i64, number: u32) -> rusqlite::Result<()> {
    conn.prepare_cached(
        "INSERT OR REPLACE INTO lost_chunks (upload, number, bytes, crc64nvme, crc32c)
         SELECT upload, number, bytes, crc64nvme, crc32c FROM chunks
         WHERE upload = ?1 AND number = ?2",
    )?
    .execute(params![upload, number])?;
    Ok(())
}

pub(super) fn found(conn: &Connection, upload: i64, number: u32) -> rusqlite::Result<()> {
    conn.prepare_cached("DELETE FROM lost_chunks WHERE upload = ?1 AND number = ?2")?
        .execute(params![upload, number])?;
    Ok(())
}

pub(super) fn clear(conn: &Connection, upload: i64) -> rusqlite::Result<()> {
    conn.prepare_cached("DELETE FROM parts WHERE upload = ?1")?.execute([upload])?;
    conn.prepare_cached("DELETE FROM lost_chunks WHERE upload = ?1")?.execute([upload])?;
    Ok(())
}

pub(super) fn parts(conn: &Connection, upload: i64) -> rusqlite::Result<BTreeMap<u32, PartRecord>> {
    let select = "SELECT part, bytes, etag, version_id FROM parts WHERE upload = ?1";
    let mut select = conn.prepare_cached(select)?;
    let parts = select.query_map([upload], |row| {
        let etag: Option<String> = row.get(2)?;
        let version_id = row.get(3)?;
        let stored = etag.map(|etag| StoredAs { etag, version_id });
        Ok((row.get(0)?, PartRecord { bytes: row.get::<_, i64>(1)? as u64, stored }))
    })?;
    parts.collect()
}

pub(super) fn lost(conn: &Connection, upload: i64) -> rusqlite::Result<BTreeMap<u32, LostChunk>> {
    let select = "SELECT number, bytes, crc64nvme, crc32c FROM lost_chunks WHERE upload = ?1";
    let mut select = conn.prepare_cached(select)?;
    let lost = select.query_map([upload], |row| {
        let [bytes, crc64nvme] = [row.get::<_, i64>(1)?, row.get(2)?].map(|n| n as u64);
        Ok((row.get(0)?, LostChunk { bytes, crc64nvme, crc32c: row.get(3)? }))
    })?;
    lost.collect()
}
