//! The admin port: HTTP/1.1 on a thread of its own, so that it answers whatever the shards do.

use std::{convert::Infallible, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Method, Request, Response, header::CONTENT_TYPE};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use sluice_io::reactor::timer;
use tokio::{net::TcpListener, sync::Semaphore};

use super::process::Process;
use crate::admin::{Page, Route, ServerFacts};

const CONNECTIONS_MAX: usize = 64;
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);
/// One connection is kept for so long at most.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(300);
const SNAPSHOT_TIMEOUT: Duration = Duration::from_secs(2);
/// When files are short, accepting goes on after this.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What the pages are made of.
pub(super) struct Pages {
    pub(super) process: Arc<Process>,
    pub(super) facts: ServerFacts,
    pub(super) start_ms: u64,
}

/// Serves the admin pages. Never ends by itself.
pub(super) async fn serve(listener: TcpListener, pages: Arc<Pages>) {
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok((socket, _)) = listener.accept().await else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        // Beyond the limit connections are closed, so that a scraper sees it at once.
        let Ok(permit) = Arc::clone(&room).try_acquire_owned() else { continue };
        let pages = Arc::clone(&pages);
        tokio::spawn(async move {
            let service = service_fn(move |request| answer(Arc::clone(&pages), request));
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEADER_TIMEOUT)
                .serve_connection(TokioIo::new(socket), service);
            // A client that goes away is no event.
            drop(tokio::time::timeout(CONNECTION_TIMEOUT, connection).await);
            drop(permit);
        });
    }
}

async fn answer(
    pages: Arc<Pages>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let page = pages.page(request.method(), request.uri().path()).await;
    let body = if request.method() == Method::HEAD { String::new() } else { page.body };
    let response = Response::builder()
        .status(page.code)
        .header(CONTENT_TYPE, page.content_type)
        .body(Full::from(body));
    Ok(response.expect("pages have valid codes and types"))
}

impl Pages {
    async fn page(&self, method: &Method, path: &str) -> Page {
        if !matches!(*method, Method::GET | Method::HEAD) {
            return Page::method_not_allowed();
        }
        let Some(route) = Route::of_path(path) else { return Page::not_found() };
        let now_ms = timer::now_ms();
        let reasons = self.process.not_ready();
        let snapshots = match route.needs_snapshots() {
            true => match self.process.snapshots(SNAPSHOT_TIMEOUT).await {
                Some(snapshots) => snapshots,
                None => return Page::no_answer(),
            },
            false => Vec::new(),
        };
        match route {
            Route::Live => match self.process.dead(now_ms).first() {
                None => Page::live(),
                Some(&shard) => Page::dead(shard),
            },
            Route::Ready => Page::ready(&reasons),
            Route::Metrics => Page::metrics(&snapshots),
            Route::Status => {
                let uptime_ms = now_ms.saturating_sub(self.start_ms);
                let facts = ServerFacts { uptime_ms, ..self.facts.clone() };
                Page::status(&facts, &reasons, &snapshots)
            }
        }
    }
}
