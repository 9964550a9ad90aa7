//! Questions of clients to the databases, and the pages that answer them.

use rusqlite::Connection;
use sluice_proto::{
    error::{Reason, Refusal},
    limits::{PAGE_BYTES_MAX, PAGE_ITEMS_DEFAULT},
};

use super::{RETRY_AFTER_MS, Service, token};
use crate::{metadata::PageLimit, metrics::Work, serve::work::Cause};

/// Asks the metadata.
pub(super) async fn metadata<T: Send + 'static>(
    service: &Service,
    question: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
) -> Result<T, Refusal> {
    of(service, Work::Query, service.metadata.run(question)).await
}

/// Waits for the answer of a database. What is wrong with it is for the log.
pub(super) async fn of<T>(
    service: &Service,
    work: Work,
    asking: impl Future<Output = Result<T, impl Cause>>,
) -> Result<T, Refusal> {
    service.work.watch_question(work, asking).await.map_err(|_logged| {
        Refusal::new(Reason::BackendDown, "the database can't be asked just now")
            .retry_after_ms(RETRY_AFTER_MS)
    })
}

/// What one page of a List takes.
pub(super) fn page_limit(page_size: i32) -> Result<PageLimit, Refusal> {
    let items_max = token::page_size(page_size, PAGE_ITEMS_DEFAULT)?;
    Ok(PageLimit { items_max, bytes_max: PAGE_BYTES_MAX })
}
