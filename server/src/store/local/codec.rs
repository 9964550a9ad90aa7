//! How states and places stand in a column.

use rusqlite::types::Type;
use sluice_shard::{
    keys::BodyId,
    record::{ChunkPlace, Extent, State},
};

/// By their numbers here, which are kept for ever.
const STATES: [State; 7] = [
    State::Pending,
    State::Uploading,
    State::Completing,
    State::Completed,
    State::Failed,
    State::Aborted,
    State::Expired,
];

pub(super) fn state_number(state: State) -> i64 {
    STATES.iter().position(|&known| known == state).expect("all are listed") as i64
}

pub(super) fn state(column: usize, number: i64) -> rusqlite::Result<State> {
    let known = usize::try_from(number).ok().and_then(|number| STATES.get(number));
    known.copied().ok_or_else(|| damaged(column, format!("no state {number}")))
}

const OBJECT: i64 = 0;
const SPOOL: i64 = 1;
const MEMORY: i64 = 2;
const DISCARDED: i64 = 3;
const REDIS: i64 = 4;

/// The kinds of places whose bytes are as far as they go.
pub(super) const STORED_PLACES: [i64; 2] = [OBJECT, DISCARDED];

/// A place as four columns: kind, segment, offset, bytes.
pub(super) fn place_columns(place: ChunkPlace) -> [i64; 4] {
    match place {
        ChunkPlace::Object => [OBJECT, 0, 0, 0],
        ChunkPlace::Spool(Extent { segment, offset, bytes }) => {
            [SPOOL, i64::from(segment), offset as i64, bytes as i64]
        }
        ChunkPlace::Memory(BodyId(body)) => [MEMORY, body as i64, 0, 0],
        ChunkPlace::Discarded => [DISCARDED, 0, 0, 0],
        ChunkPlace::Redis => [REDIS, 0, 0, 0],
    }
}

pub(super) fn place(column: usize, columns: [i64; 4]) -> rusqlite::Result<ChunkPlace> {
    let [kind, segment, offset, bytes] = columns;
    Ok(match kind {
        OBJECT => ChunkPlace::Object,
        SPOOL => {
            let segment = u32::try_from(segment)
                .map_err(|_| damaged(column, format!("no segment {segment}")))?;
            ChunkPlace::Spool(Extent { segment, offset: offset as u64, bytes: bytes as u64 })
        }
        MEMORY => ChunkPlace::Memory(BodyId(segment as u64)),
        DISCARDED => ChunkPlace::Discarded,
        REDIS => ChunkPlace::Redis,
        _ => return Err(damaged(column, format!("no kind of place {kind}"))),
    })
}

/// The error of a column that holds what was never written there.
pub(super) fn damaged(column: usize, message: String) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Integer, message.into())
}
