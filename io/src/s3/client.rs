//! How a store is reached, and its buckets.

use std::{cell::Cell, fmt, rc::Rc, time::Duration};

use http::HeaderValue;

use super::{
    credentials::{Credentials, Seen},
    endpoint::Endpoint,
    pool::Pool,
    sign::Signer,
};
use crate::tls::Tls;

/// How a store is reached.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where it is.
    pub endpoint: Endpoint,
    /// As requests are signed for, such as `us-east-1`.
    pub region: String,
    /// Whether a bucket is the first folder of the path; else it is the first label of the host.
    pub is_path_style: bool,
    /// How TLS is spoken, if the endpoint says that it is.
    pub tls: Option<Tls>,
    /// Connections at a time, busy and idle; what comes beyond waits.
    pub connections_max: usize,
    /// A connection that is idle for longer is closed. Stores close theirs after some 20 s or more.
    pub idle: Duration,
    /// When requests are given up.
    pub times: Times,
}

/// When requests are given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// Finding a host, connecting, TLS: all together. Divided among the addresses of a host.
    pub connect: Duration,
    /// A request from its first byte to its answer's last, beside what its bytes take. Also how long
    /// it waits for a connection.
    pub request: Duration,
    /// A body of b bytes adds b / this to `request`.
    pub bytes_per_s_min: u64,
    /// No byte moves in either direction, and it isn't a body of ours that is awaited.
    pub stall: Duration,
    /// Instead of `request` and `stall` where a multipart is completed: stores put it together in
    /// silence.
    pub complete: Duration,
}

impl Default for Times {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            request: Duration::from_secs(30),
            bytes_per_s_min: 256 << 10,
            stall: Duration::from_secs(20),
            complete: Duration::from_secs(300),
        }
    }
}

/// What a client has done so far, and has now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Connections that were made.
    pub connects: u64,
    /// Requests that went out, each try counted.
    pub requests: u64,
    /// Connections that have something on their way, and who is about to have one.
    pub busy: usize,
    /// Connections that are kept.
    pub idle: usize,
}

/// A store, for one executor. Clones share its connections.
#[derive(Clone)]
pub struct Client(pub(super) Rc<Inner>);

pub(super) struct Inner {
    pub(super) settings: Settings,
    pub(super) credentials: Credentials,
    pub(super) seen: Seen,
    pub(super) signer: Signer,
    pub(super) pool: Rc<Pool>,
    /// How far the store's clock is ahead of ours; learnt when it minds.
    pub(super) ahead_ms: Cell<i64>,
    pub(super) connects: Cell<u64>,
    pub(super) requests: Cell<u64>,
}

/// A bucket of a store.
#[derive(Clone)]
pub struct Bucket {
    pub(super) client: Client,
    pub(super) name: Rc<str>,
    /// Whom to connect to.
    pub(super) host: Rc<str>,
    /// How requests name it.
    pub(super) authority: HeaderValue,
}

impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bucket({} at {})", self.name, self.host)
    }
}

impl Client {
    /// Doesn't connect yet.
    ///
    /// # Panics
    /// When the endpoint wants TLS and there is none, or the other way round, and without any
    /// connection.
    pub fn new(settings: Settings, credentials: Credentials) -> Self {
        let is_fit = settings.endpoint.is_tls == settings.tls.is_some();
        assert!(is_fit, "what is to be secret isn't sent as it is");
        let inner = Inner {
            signer: Signer::new(settings.region.clone()),
            pool: Pool::new(settings.connections_max, settings.idle),
            settings,
            credentials,
            seen: Seen::default(),
            ahead_ms: Cell::default(),
            connects: Cell::default(),
            requests: Cell::default(),
        };
        Self(Rc::new(inner))
    }

    /// A bucket; it isn't looked at.
    ///
    /// # Panics
    /// When the name has other bytes than letters, digits and `-._`, or none.
    pub fn bucket(&self, name: &str) -> Bucket {
        let is_fit = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
        assert!(!name.is_empty() && name.bytes().all(is_fit), "no name of a bucket: {name:?}");
        let Settings { endpoint, is_path_style, .. } = &self.0.settings;
        let host = match is_path_style {
            true => endpoint.host.clone(),
            false => format!("{name}.{}", endpoint.host),
        };
        let authority = endpoint.authority(&host);
        let authority = HeaderValue::try_from(authority).expect("names and addresses are ASCII");
        Bucket { client: self.clone(), name: name.into(), host: host.into(), authority }
    }

    /// What it has done so far, and has now.
    pub fn counts(&self) -> Counts {
        Counts {
            connects: self.0.connects.get(),
            requests: self.0.requests.get(),
            busy: self.0.pool.busy(),
            idle: self.0.pool.idle(),
        }
    }
}

impl Bucket {
    /// As it is called.
    pub fn name(&self) -> &str {
        &self.name
    }
}
