//! The uploads of one store in one SQLite file.
//!
//! Says in SQL what `StoredUpload::apply` of the shard says in memory; a test holds the two
//! together.

mod codec;
mod forget;
mod list;
mod load;
mod parts;
mod schema;
mod steps;

use rusqlite::{Connection, params};

pub use forget::forget_ended;
pub use list::list;
pub use load::{load_one, load_open};
pub use steps::take_steps;

use super::StepError;

/// The tables, for [`sluice_io::sqlite::Database::open`].
pub fn migrations() -> &'static [&'static str] {
    schema::MIGRATIONS
}

/// Who writes, and since which opening of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fence {
    node: u64,
    epoch: i64,
}

impl From<StepError> for rusqlite::Error {
    fn from(error: StepError) -> Self {
        Self::ToSqlConversionFailure(Box::new(error))
    }
}

/// Shuts every earlier process out of the store.
///
/// # Errors
/// What the database says.
pub fn take_fence(conn: &Connection, node: u64) -> rusqlite::Result<Fence> {
    let epoch = conn.query_row(
        "INSERT INTO fence (one, node, epoch) VALUES (1, ?1, 1)
         ON CONFLICT (one) DO UPDATE SET node = excluded.node, epoch = epoch + 1
         RETURNING epoch",
        params![node as i64],
        |row| row.get(0),
    )?;
    Ok(Fence { node, epoch })
}

fn check_fence(conn: &Connection, fence: Fence) -> rusqlite::Result<()> {
    let mut select = conn.prepare_cached("SELECT node, epoch FROM fence")?;
    let held: (i64, i64) = select.query_row((), |row| Ok((row.get(0)?, row.get(1)?)))?;
    if held == (fence.node as i64, fence.epoch) { Ok(()) } else { Err(StepError::Fenced.into()) }
}
