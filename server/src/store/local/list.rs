//! Uploads of a store, a stretch at a time, in the order that they were made.
//!
//! The thread that lists is the one that records, so a stretch is short; and it goes on behind
//! the last row that it looked at, which no insert, end or removal moves.

use rusqlite::{Connection, Row, params};
use sluice_proto::ids::UploadId;

use super::{
    codec,
    load::{column, parsed, readable, record},
};
use crate::store::query::{Filter, Found, Room, Stage, Stretch, Sums};

/// The uploads behind `after`, as far as there is room.
///
/// Those that can't be read are left out.
///
/// # Errors
/// What the database says.
pub fn list(
    conn: &Connection,
    filter: &Filter,
    after: i64,
    mut room: Room,
) -> rusqlite::Result<Stretch> {
    let request_id = filter.request_id.as_ref().map(|id| id.as_str());
    // Each condition is that of an index, which ends with `upload`; without one it is the table.
    let indexed = match (request_id, filter.stage) {
        (Some(_), _) => "request_id = ?2",
        (None, Stage::Live) => "?2 IS NULL AND (state < 3 OR cleanup_pending)",
        (None, _) => "?2 IS NULL",
    };
    let select = format!("SELECT * FROM uploads WHERE upload > ?1 AND {indexed} ORDER BY upload");
    let mut select = conn.prepare_cached(&select)?;
    let mut rows = select.query(params![after, request_id])?;
    let (mut found, mut last) = (Vec::new(), after);
    while let Some(row) = rows.next()? {
        if room.is_full() {
            return Ok(Stretch { found, next: Some(last), room });
        }
        last = row.get("upload")?;
        room.rows -= 1;
        let upload = matches(filter, row).and_then(|fits| match fits {
            true => find(conn, row, &mut room).map(Some),
            false => Ok(None),
        });
        found.extend(readable(row, upload)?.flatten());
    }
    Ok(Stretch { found, next: None, room })
}

fn matches(filter: &Filter, row: &Row<'_>) -> rusqlite::Result<bool> {
    let is = |name, wanted: &str| Ok::<_, rusqlite::Error>(row.get_ref(name)?.as_str()? == wanted);
    let stage = match filter.stage {
        Stage::Any => true,
        Stage::Live => is_live(row)?,
        Stage::Ended(state) => row.get::<_, i64>("state")? == codec::state_number(state),
    };
    Ok(stage
        && is("drive_id", filter.drive_id.as_str())?
        && is("tenant", &filter.tenant)?
        && (filter.filename.is_empty() || is("filename", &filter.filename)?))
}

fn is_live(row: &Row<'_>) -> rusqlite::Result<bool> {
    let state = codec::state(column(row, "state")?, row.get("state")?)?;
    Ok(!state.ended() || row.get("cleanup_pending")?)
}

fn find(conn: &Connection, row: &Row<'_>, room: &mut Room) -> rusqlite::Result<Found> {
    let length = |name| Ok::<_, rusqlite::Error>(row.get_ref(name)?.as_str()?.len());
    let bytes = length("filename")? + length("mime_type")? + length("metadata")?;
    room.take(bytes);
    if is_live(row)? {
        return Ok(Found::Live(parsed(row, "upload_id", UploadId::parse)?));
    }
    let record = record(row)?;
    let sums = match Sums::of_object(&record) {
        Some(sums) => sums,
        None => room.take_chunks(sum(conn, row.get("upload")?)?),
    };
    Ok(Found::at_rest(record, sums))
}

fn sum(conn: &Connection, upload: i64) -> rusqlite::Result<Sums> {
    let mut select = conn.prepare_cached(
        "SELECT count(*), coalesce(sum(bytes), 0),
            coalesce(sum(bytes) FILTER (WHERE place IN (?2, ?3)), 0)
         FROM chunks WHERE upload = ?1",
    )?;
    let [object, discarded] = codec::STORED_PLACES;
    select.query_row(params![upload, object, discarded], |row| {
        let [chunks, bytes, stored_bytes]: [i64; 3] = [row.get(0)?, row.get(1)?, row.get(2)?];
        let [chunks, bytes, stored_bytes] = [chunks, bytes, stored_bytes].map(|sum| sum as u64);
        Ok(Sums { chunks, bytes, stored_bytes })
    })
}
