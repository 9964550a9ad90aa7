//! Drives: where nodes live, and how much each may hold.
//!
//! A drive with a quota keeps count of what it holds: the sizes of its nodes, and those that its
//! running uploads declared. Without a quota nobody asks, so nothing is counted.

use rusqlite::{Connection, OptionalExtension as _, Row, named_params, params};
use sluice_proto::{
    error::{Reason, Refusal},
    ids::DriveId,
};

use super::{
    page::{Page, PageLimit},
    parsed,
};

/// Of drive `default`, while no object store was ever set.
const BUCKET_ON_DISK: &str = "objects";

/// A full drive stays so for a while: nodes aren't deleted, but uploads end.
const QUOTA_RETRY_MS: u64 = 30_000;

/// A drive, as it is kept or asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drive {
    /// Its id.
    pub drive_id: DriveId,
    /// The bucket of its objects. Asked for as empty, it becomes that of `default`.
    pub bucket: String,
    /// What every key begins with.
    pub prefix: String,
    /// The name of its credentials.
    pub credentials_ref: String,
    /// What it may hold, bytes.
    pub quota_bytes: Option<u64>,
    /// When it was made, Unix ms.
    pub create_ms: u64,
}

const COLUMNS: &str = "drive_id, bucket, prefix, credentials_ref, quota_bytes, create_ms";

/// Makes a drive, or finds it as it was made before by the same parameters.
///
/// # Errors
/// What the database says: then nothing was changed.
pub fn create_drive(
    conn: &Connection,
    mut asked: Drive,
) -> rusqlite::Result<Result<Drive, Refusal>> {
    if asked.bucket.is_empty() {
        let default = get_drive(conn, DriveId::DEFAULT)?;
        asked.bucket = default.map(|drive| drive.bucket).unwrap_or_default();
    }
    if let Some(known) = get_drive(conn, asked.drive_id.as_str())? {
        let wanted = Drive { create_ms: known.create_ms, ..asked };
        return Ok(if known == wanted { Ok(known) } else { Err(exists(&known)) });
    }
    conn.prepare_cached(
        "INSERT INTO drives (drive_id, bucket, prefix, credentials_ref, quota_bytes, create_ms)
         VALUES (:drive_id, :bucket, :prefix, :credentials_ref, :quota_bytes, :create_ms)",
    )?
    .execute(named_params! {
        ":drive_id": asked.drive_id.as_str(),
        ":bucket": asked.bucket,
        ":prefix": asked.prefix,
        ":credentials_ref": asked.credentials_ref,
        ":quota_bytes": asked.quota_bytes.map(|bytes| bytes as i64),
        ":create_ms": asked.create_ms as i64,
    })?;
    Ok(Ok(asked))
}

/// Has drive `default` lie in a bucket of an object store. Where it has nodes in another one, nothing is
/// changed: that one.
///
/// # Errors
/// What the database says: then nothing was changed.
pub fn place_default(conn: &Connection, bucket: &str) -> rusqlite::Result<Result<(), String>> {
    let known = get_drive(conn, DriveId::DEFAULT)?.map(|drive| drive.bucket).unwrap_or_default();
    if known == bucket {
        return Ok(Ok(()));
    }
    let select = "SELECT 1 FROM nodes WHERE drive_id = ?1 LIMIT 1";
    let has_nodes = conn.prepare_cached(select)?.exists([DriveId::DEFAULT])?;
    if has_nodes && known != BUCKET_ON_DISK {
        return Ok(Err(known));
    }
    conn.prepare_cached("UPDATE drives SET bucket = ?2 WHERE drive_id = ?1")?
        .execute([DriveId::DEFAULT, bucket])?;
    Ok(Ok(()))
}

/// One drive, if it is there.
///
/// # Errors
/// What the database says.
pub fn get_drive(conn: &Connection, drive_id: &str) -> rusqlite::Result<Option<Drive>> {
    conn.prepare_cached(&format!("SELECT {COLUMNS} FROM drives WHERE drive_id = ?1"))?
        .query_row([drive_id], drive)
        .optional()
}

/// The drives after this id, by ascending id.
///
/// # Errors
/// What the database says.
pub fn list_drives(
    conn: &Connection,
    after: &str,
    limit: PageLimit,
) -> rusqlite::Result<Page<Drive>> {
    let select = format!("SELECT {COLUMNS} FROM drives WHERE drive_id > ?1 ORDER BY drive_id");
    let mut select = conn.prepare_cached(&select)?;
    limit.take(select.query([after])?, |row| {
        let drive = drive(row)?;
        let texts = [&drive.bucket, &drive.prefix, &drive.credentials_ref];
        let bytes = drive.drive_id.as_str().len() + texts.iter().map(|t| t.len()).sum::<usize>();
        Ok((drive, bytes))
    })
}

/// Refuses a drive that there is not.
///
/// # Errors
/// What the database says.
pub fn check_drive(conn: &Connection, drive_id: &DriveId) -> rusqlite::Result<Result<(), Refusal>> {
    let select = "SELECT 1 FROM drives WHERE drive_id = ?1";
    let is_there = conn.prepare_cached(select)?.exists([drive_id.as_str()])?;
    Ok(if is_there { Ok(()) } else { Err(unknown_drive(drive_id)) })
}

/// DRIVE_UNKNOWN.
pub fn unknown_drive(drive_id: &DriveId) -> Refusal {
    Refusal::new(Reason::DriveUnknown, "no such drive").field("drive_id").with("drive_id", drive_id)
}

fn exists(known: &Drive) -> Refusal {
    Refusal::new(Reason::DriveExists, "the drive is there, with other parameters")
        .field("drive_id")
        .with("drive_id", &known.drive_id)
}

/// Whether a drive has room for one more upload, of this size if it is declared.
pub(super) fn check_room(
    conn: &Connection,
    drive_id: &str,
    size_bytes: Option<u64>,
) -> rusqlite::Result<Result<(), Refusal>> {
    let (quota, held): (Option<i64>, i64) = conn
        .prepare_cached("SELECT quota_bytes, held_bytes FROM drives WHERE drive_id = ?1")?
        .query_row([drive_id], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let Some(quota) = quota else { return Ok(Ok(())) };
    let (quota, held) = (quota as u64, held as u64);
    // One that declares nothing needs some room at least.
    let fits = match size_bytes {
        Some(bytes) => bytes == 0 || held.saturating_add(bytes) <= quota,
        None => held < quota,
    };
    if fits {
        return Ok(Ok(()));
    }
    let message = format!("the drive holds {held} of {quota} bytes");
    Ok(Err(Refusal::new(Reason::Quota, message)
        .with("drive_id", drive_id)
        .with("quota_bytes", quota)
        .with("held_bytes", held)
        .with("size_bytes", size_bytes.unwrap_or_default())
        .retry_after_ms(QUOTA_RETRY_MS)))
}

/// A drive holds so much more, or less.
pub(super) fn hold(conn: &Connection, drive_id: &str, bytes: i64) -> rusqlite::Result<()> {
    if bytes != 0 {
        conn.prepare_cached(
            "UPDATE drives SET held_bytes = held_bytes + ?2
             WHERE drive_id = ?1 AND quota_bytes IS NOT NULL",
        )?
        .execute(params![drive_id, bytes])?;
    }
    Ok(())
}

fn drive(row: &Row<'_>) -> rusqlite::Result<Drive> {
    let drive_id: String = row.get(0)?;
    Ok(Drive {
        drive_id: parsed(&drive_id, DriveId::parse(&drive_id))?,
        bucket: row.get(1)?,
        prefix: row.get(2)?,
        credentials_ref: row.get(3)?,
        quota_bytes: row.get::<_, Option<i64>>(4)?.map(|bytes| bytes as u64),
        create_ms: row.get::<_, i64>(5)? as u64,
    })
}
