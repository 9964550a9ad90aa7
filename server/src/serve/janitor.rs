//! What time takes away: ended uploads that nobody may ask for any more, the requests that made
//! them, and events that nobody fetches.

use std::time::Duration;

use sluice_io::{
    reactor::timer,
    sqlite::{Database, DatabaseError},
};
use sluice_proto::{ids::StoreId, limits::ENDED_KEPT_MS};

use super::{clock, stores::Stores};
use crate::metadata;

const INTERVAL: Duration = Duration::from_secs(60);

/// An upload outlives its request by so much: a request that is known always finds its upload.
const MARGIN_MS: u64 = 10 * 60 * 1000;

/// Rows of a kind that are removed in one go.
const ROWS_MAX: u32 = 10_000;

/// Sweeps these stores, and the metadata if they are given, for ever.
pub(super) async fn run(stores: Stores, own: Vec<StoreId>, metadata: Option<Database>) {
    loop {
        timer::sleep(INTERVAL).await;
        let before_ms = clock::wall_ms().saturating_sub(ENDED_KEPT_MS);
        if let Some(metadata) = &metadata {
            let swept = metadata.run(move |conn| metadata::sweep(conn, before_ms, ROWS_MAX)).await;
            tell("metadata", swept);
        }
        for &store in &own {
            let before_ms = before_ms.saturating_sub(MARGIN_MS);
            tell("store", stores.forget(store, before_ms, ROWS_MAX).await);
        }
    }
}

fn tell(what: &str, swept: Result<usize, DatabaseError>) {
    match swept {
        Ok(0) => {}
        Ok(rows) => tracing::debug!(what, rows, "swept what is too old"),
        // The next round tries again.
        Err(error) => tracing::warn!(what, %error, "can't sweep"),
    }
}
