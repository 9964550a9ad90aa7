//! What the admin port answers: health, metrics and status. Pure: figures in, pages out; whoever
//! holds the socket carries them.

mod status;

use crate::metrics::{CONTENT_TYPE, ShardSnapshot, render};

pub use status::{ServerFacts, status_json};

const TEXT: &str = "text/plain; charset=utf-8";

/// The pages that there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// `/livez`
    Live,
    /// `/readyz`
    Ready,
    /// `/metrics`
    Metrics,
    /// `/status.json`, and `/`
    Status,
}

impl Route {
    /// The page of a request's path; `None` answers with [`Page::not_found`].
    pub fn of_path(path: &str) -> Option<Self> {
        match path {
            "/livez" => Some(Self::Live),
            "/readyz" => Some(Self::Ready),
            "/metrics" => Some(Self::Metrics),
            "/" | "/status.json" => Some(Self::Status),
            _ => None,
        }
    }

    /// Whether the shards must be asked first.
    pub fn needs_snapshots(self) -> bool {
        matches!(self, Self::Metrics | Self::Status)
    }
}

/// Why the server takes no uploads just now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotReady {
    /// Shards are still reading their stores.
    Loading {
        /// Stores to come.
        stores_left: usize,
    },
    /// It is shutting down.
    Draining,
    /// Something that it depends on is down.
    BackendDown {
        /// Which.
        backend: &'static str,
    },
}

impl std::fmt::Display for NotReady {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Loading { stores_left } => write!(f, "loading: {stores_left} stores to go"),
            Self::Draining => f.write_str("draining"),
            Self::BackendDown { backend } => write!(f, "{backend} is down"),
        }
    }
}

/// One answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// HTTP status code.
    pub code: u16,
    /// Media type of the body.
    pub content_type: &'static str,
    /// The body.
    pub body: String,
}

impl Page {
    /// The process runs: it answered.
    pub fn live() -> Self {
        Self { code: 200, content_type: TEXT, body: "ok\n".into() }
    }

    /// A shard shows no sign of life: only a restart helps.
    pub fn dead(shard: usize) -> Self {
        Self { code: 503, content_type: TEXT, body: format!("shard {shard} doesn't answer\n") }
    }

    /// A shard gave no figures in time; they may come a moment later.
    pub fn no_answer() -> Self {
        Self { code: 503, content_type: TEXT, body: "a shard doesn't answer just now\n".into() }
    }

    /// Whether uploads are taken, and if not, every reason on a line of its own.
    pub fn ready(reasons: &[NotReady]) -> Self {
        if reasons.is_empty() {
            return Self { code: 200, content_type: TEXT, body: "ok\n".into() };
        }
        let body = reasons.iter().map(|reason| format!("{reason}\n")).collect();
        Self { code: 503, content_type: TEXT, body }
    }

    /// All metrics; `shards` in the order of their numbers.
    pub fn metrics(shards: &[ShardSnapshot]) -> Self {
        let body = render(shards, env!("CARGO_PKG_VERSION"));
        Self { code: 200, content_type: CONTENT_TYPE, body }
    }

    /// The figures for people and small programs.
    pub fn status(facts: &ServerFacts, reasons: &[NotReady], shards: &[ShardSnapshot]) -> Self {
        let body = status_json(facts, reasons, shards);
        Self { code: 200, content_type: "application/json", body }
    }

    /// There is no such page.
    pub fn not_found() -> Self {
        let body = "there are /livez, /readyz, /metrics and /status.json\n".into();
        Self { code: 404, content_type: TEXT, body }
    }

    /// Only GET and HEAD are answered.
    pub fn method_not_allowed() -> Self {
        Self { code: 405, content_type: TEXT, body: "only GET and HEAD\n".into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readiness_says_why_not() {
        assert_eq!(Page::ready(&[]).code, 200);
        let page = Page::ready(&[NotReady::Loading { stores_left: 3 }, NotReady::Draining]);
        assert_eq!((page.code, page.body.as_str()), (503, "loading: 3 stores to go\ndraining\n"));
    }

    #[test]
    fn paths_find_their_page() {
        assert_eq!(Route::of_path("/livez"), Some(Route::Live));
        assert_eq!(Route::of_path("/status.json"), Some(Route::Status));
        assert_eq!(Route::of_path("/metrics/"), None);
        assert!(Route::Metrics.needs_snapshots() && !Route::Ready.needs_snapshots());
    }
}
