//! Why a command came to nothing.

use std::{error::Error as _, io, net::SocketAddr, sync::Arc};

use redis::{ErrorKind, ServerErrorKind};

use crate::tls::{self, ConnectError};

/// Why a command came to nothing. Except for [`RedisError::Server`] it may have been done or not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RedisError {
    /// There is no connection, or it broke.
    #[error("no connection: {0}")]
    Connection(String),
    /// One side doesn't trust the other, or doesn't understand it: no time mends that.
    #[error("TLS: {0}")]
    Tls(String),
    /// A host name that nobody knows.
    #[error("host {host}: {problem}")]
    Host {
        /// As it was given.
        host: String,
        /// What the resolver says.
        problem: String,
    },
    /// Redis didn't answer in time.
    #[error("no answer within {within_ms} ms")]
    Deadline {
        /// How long was waited.
        within_ms: u64,
    },
    /// It has no memory left (`OOM`): nothing was done.
    #[error("out of memory: {0}")]
    Full(String),
    /// It can't just now (`LOADING`, `BUSY`, `READONLY`, `MASTERDOWN`, `CLUSTERDOWN`, `TRYAGAIN`):
    /// nothing was done.
    #[error("{code}: {message}")]
    NotNow {
        /// The error's first word.
        code: String,
        /// The rest.
        message: String,
    },
    /// It refuses the command: nothing was done.
    #[error("{code}: {message}")]
    Server {
        /// The error's first word, such as `WRONGTYPE`.
        code: String,
        /// The rest.
        message: String,
    },
    /// It answered something else than the command's answer.
    #[error("unexpected answer: {0}")]
    Answer(String),
}

impl RedisError {
    /// Whether a connection on which this happened must not be used again.
    pub(super) fn breaks(&self) -> bool {
        match self {
            Self::Connection(_) | Self::Tls(_) | Self::Deadline { .. } | Self::Answer(_) => true,
            // A replica now: behind the same name there may be a new master.
            Self::NotNow { code, .. } => code == "READONLY",
            Self::Host { .. } | Self::Full(_) | Self::Server { .. } => false,
        }
    }

    /// Whether the slots may lie elsewhere now.
    pub(super) fn unsettles(&self) -> bool {
        match self {
            Self::Connection(_) | Self::Tls(_) | Self::Deadline { .. } | Self::Host { .. } => true,
            Self::NotNow { code, .. } => code != "BUSY",
            Self::Full(_) | Self::Server { .. } | Self::Answer(_) => false,
        }
    }

    pub(super) fn connect(host: &str, address: SocketAddr, error: &ConnectError) -> Self {
        match error {
            ConnectError::Name => Self::Host { host: host.to_owned(), problem: error.to_string() },
            ConnectError::Broken(error) => Self::connection(address, error),
        }
    }

    pub(super) fn connection(address: SocketAddr, error: &io::Error) -> Self {
        let text = format!("{address}: {error}");
        if tls::objection(error).is_some() { Self::Tls(text) } else { Self::Connection(text) }
    }
}

/// What the server wants done instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Redirect {
    /// The slot lies there now.
    Moved(String),
    /// This key lies there already, while its slot moves.
    Ask(String),
}

/// How a command failed.
#[derive(Clone, Debug)]
pub(super) enum Failed {
    Redirected(Redirect),
    NoScript,
    Error(RedisError),
}

impl From<RedisError> for Failed {
    fn from(error: RedisError) -> Self {
        Self::Error(error)
    }
}

impl From<redis::RedisError> for Failed {
    fn from(error: redis::RedisError) -> Self {
        let message = error.detail().unwrap_or_default().to_owned();
        let code = error.code().unwrap_or("ERR").to_owned();
        let redirected = error.redirect_node().map(|(address, _)| address.to_owned());
        Self::Error(match (error.kind(), redirected) {
            (ErrorKind::Server(ServerErrorKind::Moved), Some(address)) => {
                return Self::Redirected(Redirect::Moved(address));
            }
            (ErrorKind::Server(ServerErrorKind::Ask), Some(address)) => {
                return Self::Redirected(Redirect::Ask(address));
            }
            (ErrorKind::Server(ServerErrorKind::NoScript), _) => return Self::NoScript,
            (ErrorKind::Server(kind), _) if is_passing(kind) => {
                RedisError::NotNow { code, message }
            }
            (ErrorKind::Extension, _) if code == "BUSY" => RedisError::NotNow { code, message },
            (ErrorKind::Extension, _) if code == "OOM" => RedisError::Full(message),
            (ErrorKind::Server(_) | ErrorKind::Extension, _) => {
                RedisError::Server { code, message }
            }
            (ErrorKind::AuthenticationFailed, _) => {
                RedisError::Server { code: "WRONGPASS".to_owned(), message: error.to_string() }
            }
            _ if is_objection(&error) => RedisError::Tls(error.to_string()),
            _ => RedisError::Connection(error.to_string()),
        })
    }
}

/// Whether it is what TLS says, below the crate's layers.
fn is_objection(error: &redis::RedisError) -> bool {
    type Shared = Arc<dyn std::error::Error + Send + Sync>;
    let cause = error.source().and_then(|source| source.downcast_ref::<Shared>());
    let cause = cause.and_then(|cause| cause.downcast_ref::<io::Error>());
    cause.is_some_and(|cause| tls::objection(cause).is_some())
}

fn is_passing(kind: ServerErrorKind) -> bool {
    matches!(
        kind,
        ServerErrorKind::BusyLoading
            | ServerErrorKind::TryAgain
            | ServerErrorKind::ClusterDown
            | ServerErrorKind::MasterDown
            | ServerErrorKind::ReadOnly
    )
}
