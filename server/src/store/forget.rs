//! Ended uploads, after the time that they stay readable.

use rusqlite::{Connection, params};

use super::{Fence, check_fence};

/// Forgets uploads that ended and were swept before `before_ms`, Unix ms, at most `uploads_max` of
/// them. How many it forgot.
///
/// # Errors
/// What the database says: then none is forgotten.
pub fn forget_ended(
    conn: &Connection,
    fence: Fence,
    before_ms: u64,
    uploads_max: u32,
) -> rusqlite::Result<usize> {
    check_fence(conn, fence)?;
    let old: Vec<i64> = conn
        .prepare_cached(
            "SELECT upload FROM uploads
             WHERE NOT (state < 3 OR cleanup_pending) AND update_ms < ?1 LIMIT ?2",
        )?
        .query_map(params![before_ms as i64, uploads_max], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    for upload in &old {
        conn.prepare_cached("DELETE FROM chunks WHERE upload = ?1")?.execute([upload])?;
        conn.prepare_cached("DELETE FROM uploads WHERE upload = ?1")?.execute([upload])?;
    }
    Ok(old.len())
}
