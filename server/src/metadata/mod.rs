//! Drives, nodes, claims and the outbox: what all stores share, in one SQLite file.
//!
//! Invariants: a node, a name that had to be new, and a request are held by one upload at a time;
//! a node row and each event of an upload are written once, whatever is repeated.

mod claims;
mod drives;
mod nodes;
mod outbox;
mod page;
mod schema;
#[cfg(test)]
mod tests;

use rusqlite::{Connection, params};

pub use claims::{claim, lost_end, orphans, release, release_orphan};
pub use drives::{
    Drive, check_drive, create_drive, get_drive, list_drives, place_default, unknown_drive,
};
pub use nodes::{Node, NodeFilter, finish, get_node, list_nodes};
pub use page::{Page, PageLimit};

/// The tables, for [`sluice_io::sqlite::Database::open`].
pub fn migrations() -> &'static [&'static str] {
    schema::MIGRATIONS
}

/// Forgets requests of uploads that finished before `before_ms`, and events of before that nobody
/// takes, of each `rows_max` at most. How many rows it removed.
///
/// # Errors
/// What the database says.
pub fn sweep(conn: &Connection, before_ms: u64, rows_max: u32) -> rusqlite::Result<usize> {
    let claims = conn
        .prepare_cached(
            "DELETE FROM claims WHERE rowid IN
             (SELECT rowid FROM claims WHERE finish_ms < ?1 LIMIT ?2)",
        )?
        .execute(params![before_ms as i64, rows_max])?;
    let events = conn
        .prepare_cached(
            "DELETE FROM outbox WHERE event IN
             (SELECT event FROM outbox WHERE create_ms < ?1 LIMIT ?2)",
        )?
        .execute(params![before_ms as i64, rows_max])?;
    Ok(claims + events)
}

/// A value that only we write.
fn parsed<T, E>(text: &str, value: Result<T, E>) -> rusqlite::Result<T> {
    value.map_err(|_| {
        let message = format!("the metadata holds {text:?}");
        rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Text, message.into())
    })
}
