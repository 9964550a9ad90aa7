//! The database's thread: connection set-up, migrations and the group commit.

use std::collections::VecDeque;
use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;

use super::error::{DatabaseError, DatabaseErrorKind};
use super::queue::{Job, Queue, Settle};
use super::{Durability, GROUP_JOBS_MAX};

pub(super) fn connect(
    path: &Path,
    migrations: &[&str],
    durability: Durability,
) -> Result<Connection, DatabaseError> {
    let mut connection = Connection::open(path)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // In WAL mode NORMAL syncs only at checkpoints: commits are in the kernel's hands.
    let synchronous = match durability {
        Durability::Process => "NORMAL",
        Durability::Power => "FULL",
    };
    connection.pragma_update(None, "synchronous", synchronous)?;
    connection.pragma_update(None, "journal_size_limit", LOG_BYTES_KEPT)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_CACHED);
    migrate(&mut connection, migrations)?;
    Ok(connection)
}

fn migrate(connection: &mut Connection, migrations: &[&str]) -> Result<(), DatabaseError> {
    let applied: u32 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if applied as usize > migrations.len() {
        return Err(DatabaseError::new(
            DatabaseErrorKind::Unusable,
            format!("schema {applied} is newer than the {} known here", migrations.len()),
        ));
    }
    for (version, migration) in (1u32..).zip(migrations).skip(applied as usize) {
        let transaction = connection.transaction()?;
        transaction.execute_batch(migration)?;
        transaction.pragma_update(None, "user_version", version)?;
        transaction.commit()?;
    }
    Ok(())
}

pub(super) fn serve(connection: Connection, queue: &Queue) {
    while let Some(mut group) = queue.take(GROUP_JOBS_MAX) {
        while !group.is_empty() {
            run_group(&connection, &mut group);
        }
    }
}

/// Runs jobs of `group` in one transaction. Leaves those for which another must be begun.
fn run_group(connection: &Connection, group: &mut VecDeque<Job>) {
    if let Err(error) = connection.execute_batch("BEGIN IMMEDIATE") {
        let error = DatabaseError::from(error);
        for job in group.drain(..) {
            let (_, settle) = job(Err(error.clone()));
            settle(Err(error.clone()));
        }
        return;
    }
    let mut settles: Vec<Settle> = Vec::with_capacity(group.len());
    let mut outcome = run_jobs(connection, group, &mut settles);
    if outcome.is_ok() {
        outcome = connection.execute_batch("COMMIT").map_err(DatabaseError::from);
    }
    if outcome.is_err() && !connection.is_autocommit() {
        // Frees the connection for the next group; should even this fail, its BEGIN says so.
        let _ = connection.execute_batch("ROLLBACK");
    }
    for settle in settles {
        settle(outcome.clone());
    }
}

/// Runs jobs until none is left or the whole transaction is lost.
fn run_jobs(
    connection: &Connection,
    group: &mut VecDeque<Job>,
    settles: &mut Vec<Settle>,
) -> Result<(), DatabaseError> {
    while let Some(job) = group.pop_front() {
        if let Err(error) = connection.execute_batch("SAVEPOINT job") {
            let error = DatabaseError::from(error);
            let (_, settle) = job(Err(error.clone()));
            settles.push(settle);
            return Err(error);
        }
        let (kept, settle) = job(Ok(connection));
        settles.push(settle);
        // A full disk or an I/O error may make SQLite roll all of the transaction back.
        if connection.is_autocommit() {
            return Err(DatabaseError::new(
                DatabaseErrorKind::Unavailable,
                "the transaction was rolled back by an error in its group",
            ));
        }
        let end = if kept { "RELEASE job" } else { "ROLLBACK TO job; RELEASE job" };
        connection.execute_batch(end)?;
    }
    Ok(())
}

const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
const LOG_BYTES_KEPT: i64 = 64 << 20;
const STATEMENTS_CACHED: usize = 128;
