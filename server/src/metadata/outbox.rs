//! Event rows.

use rusqlite::{Connection, OptionalExtension as _, params};

/// What an event tells.
#[derive(Clone, Copy)]
pub(super) enum Transition {
    Initiated,
    Completed,
    Failed,
}

impl Transition {
    fn name(self) -> &'static str {
        match self {
            Self::Initiated => "UploadInitiated",
            Self::Completed => "UploadCompleted",
            Self::Failed => "UploadFailed",
        }
    }
}

/// Whose event it is.
pub(super) struct Subject<'a> {
    pub(super) upload_id: &'a str,
    pub(super) tenant: &'a str,
    pub(super) drive_id: &'a str,
    pub(super) node_id: &'a str,
}

/// Writes an event, unless it was written before.
pub(super) fn put(
    conn: &Connection,
    subject: &Subject<'_>,
    transition: Transition,
    cause: Option<&str>,
    wall_ms: u64,
) -> rusqlite::Result<()> {
    let name = transition.name();
    conn.prepare_cached(
        "INSERT INTO outbox (upload_id, transition, cause, tenant, drive_id, node_id, create_ms)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (upload_id, transition) DO NOTHING",
    )?
    .execute(params![
        subject.upload_id,
        name,
        cause,
        subject.tenant,
        subject.drive_id,
        subject.node_id,
        wall_ms as i64,
    ])?;
    Ok(())
}

/// The cause in the event that an upload became nothing, while the event is kept.
pub(super) fn failure_cause(
    conn: &Connection,
    upload_id: &str,
) -> rusqlite::Result<Option<String>> {
    let cause: Option<Option<String>> = conn
        .prepare_cached("SELECT cause FROM outbox WHERE upload_id = ?1 AND transition = ?2")?
        .query_row(params![upload_id, Transition::Failed.name()], |row| row.get(0))
        .optional()?;
    Ok(cause.flatten())
}
