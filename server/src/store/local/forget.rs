//! Ended uploads, after the time that they stay readable.
//!
//! In small steps: the thread that forgets is the one that records.

use rusqlite::{Connection, OptionalExtension as _, params};

use super::{Fence, check_fence};

/// Removes what ended and was swept before `before_ms`, Unix ms: some uploads, or chunks of one
/// that was forgotten, at most `rows_max` of either. `false` once there is nothing left to do.
///
/// # Errors
/// What the database says: then nothing was removed.
pub fn forget_ended(
    conn: &Connection,
    fence: Fence,
    before_ms: u64,
    rows_max: u32,
) -> rusqlite::Result<bool> {
    check_fence(conn, fence)?;
    let forgotten: Option<i64> = conn
        .prepare_cached("SELECT upload FROM forgotten LIMIT 1")?
        .query_row((), |row| row.get(0))
        .optional()?;
    match forgotten {
        Some(upload) => remove_chunks(conn, upload, rows_max).map(|()| true),
        None => forget_uploads(conn, before_ms, rows_max),
    }
}

fn remove_chunks(conn: &Connection, upload: i64, rows_max: u32) -> rusqlite::Result<()> {
    let removed = conn
        .prepare_cached(
            "DELETE FROM chunks WHERE upload = ?1 AND number IN
             (SELECT number FROM chunks WHERE upload = ?1 LIMIT ?2)",
        )?
        .execute(params![upload, rows_max])?;
    if removed < rows_max as usize {
        conn.prepare_cached("DELETE FROM forgotten WHERE upload = ?1")?.execute([upload])?;
    }
    Ok(())
}

fn forget_uploads(conn: &Connection, before_ms: u64, rows_max: u32) -> rusqlite::Result<bool> {
    // The condition is that of the index; a state that there isn't is left alone.
    let old: Vec<i64> = conn
        .prepare_cached(
            "SELECT upload FROM uploads
             WHERE NOT (state < 3 OR cleanup_pending) AND update_ms < ?1 AND state <= 6 LIMIT ?2",
        )?
        .query_map(params![before_ms as i64, rows_max], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    for upload in &old {
        conn.prepare_cached("INSERT INTO forgotten VALUES (?1)")?.execute([upload])?;
        conn.prepare_cached("DELETE FROM uploads WHERE upload = ?1")?.execute([upload])?;
    }
    Ok(!old.is_empty())
}
