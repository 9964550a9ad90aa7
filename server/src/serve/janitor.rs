//! What time takes away: ended uploads that nobody may ask for any more, the requests that made
//! them, and events that nobody fetches.

use std::{fmt::Display, time::Duration};

use sluice_io::{reactor::timer, sqlite::Database};
use sluice_proto::{ids::StoreId, limits::ENDED_KEPT_MS};

use super::{clock, stores::Stores};
use crate::metadata;

const INTERVAL: Duration = Duration::from_secs(60);

/// Between two steps: the databases have other things to do.
const PAUSE: Duration = Duration::from_millis(5);

/// An upload outlives its request by so much: a request that is known finds its upload.
const MARGIN_MS: u64 = 10 * 60 * 1000;

/// Rows that are removed in one step.
const ROWS_MAX: u32 = 500;

/// Sweeps these stores, and the metadata if they are given, for ever.
pub(super) async fn run(stores: Stores, own: Vec<StoreId>, metadata: Option<Database>) {
    loop {
        timer::sleep(INTERVAL).await;
        let before_ms = clock::wall_ms().saturating_sub(ENDED_KEPT_MS);
        if let Some(metadata) = &metadata {
            let sweep =
                move |conn: &rusqlite::Connection| metadata::sweep(conn, before_ms, ROWS_MAX);
            all("metadata", async || metadata.run(sweep).await.map(|rows| rows > 0)).await;
        }
        let before_ms = before_ms.saturating_sub(MARGIN_MS);
        for &store in &own {
            all("store", async || stores.forget(store, before_ms, ROWS_MAX).await).await;
        }
    }
}

/// Takes steps until one finds nothing to do.
async fn all<E: Display>(what: &str, step: impl AsyncFn() -> Result<bool, E>) {
    loop {
        match step().await {
            Ok(true) => timer::sleep(PAUSE).await,
            Ok(false) => return,
            // The next round tries again.
            Err(error) => return tracing::warn!(what, %error, "can't sweep"),
        }
    }
}
