//! Serves one connection: accepts its streams, gives its credit, notices when it is dead.

use std::{
    cell::{Cell, RefCell},
    future::Future,
    rc::Rc,
    task::Waker,
    time::Duration,
};

use super::{
    credit::{ConnectionCredit, CreditLimits, ShardCredit, WINDOW_BYTES_MAX},
    driver::{Driver, Step},
    lane::Lane,
    lane_io::LaneIo,
    pool::{Pool, PoolLimits},
    read_ahead::ReadAhead,
    request::EdgeRequest,
};
use crate::reactor::{net::Stream, pacer::PacerHandle, task, timer};

/// The client has so long for its preface.
const HANDSHAKE_MS: u64 = 10_000;
/// After the end, a client may read what we said last for so long.
const LINGER_MS: u64 = 1_000;
/// … while it sends no more than this.
const LINGER_BYTES_MAX: usize = 16 << 20;
const LINGER_READ_BYTES: usize = 16 << 10;
/// Connections of a shard that linger at one time; beyond these, a client may miss what we said.
const LINGERS_MAX: usize = 256;

/// Limits of the edge on one shard.
#[derive(Clone, Debug)]
pub struct EdgeConfig {
    /// Blocks that sockets are read into.
    pub pool: PoolLimits,
    /// Windows.
    pub credit: CreditLimits,
    /// SETTINGS_MAX_FRAME_SIZE, bytes.
    pub max_frame_bytes: u32,
    /// SETTINGS_MAX_CONCURRENT_STREAMS.
    pub streams_max: u32,
    /// SETTINGS_MAX_HEADER_LIST_SIZE, bytes.
    pub header_list_bytes_max: u32,
    /// Calls that are served at one time; a connection may have [`CALLS_FLOOR`] whatever the others
    /// have. What is beyond is reset, as not begun.
    pub calls_max: usize,
    /// A client that was answered may still send so much.
    pub drain_bytes_max: u64,
    /// … for so long.
    pub drain_ms_max: u64,
    /// An idle connection is pinged this often, and closed if a ping isn't answered by the next.
    pub keepalive_ms: u64,
    /// A client that takes nothing of an answer for so long doesn't get the rest.
    pub reply_ms_max: u64,
}

/// Calls that a connection may always have.
pub const CALLS_FLOOR: usize = 8;

/// What the connections of a shard share.
pub struct EdgeShard {
    pub(super) config: EdgeConfig,
    pub(super) pool: RefCell<Pool>,
    pub(super) credit: Rc<RefCell<ShardCredit>>,
    pub(super) pacer: PacerHandle,
    pub(super) draining: Cell<bool>,
    /// Calls that are served.
    pub(super) calls: Cell<usize>,
    lingering: Cell<usize>,
    pub(super) connections: RefCell<Vec<Waker>>,
    pub(super) read_ahead: ReadAhead,
}

impl EdgeShard {
    /// Makes the pool, which touches its memory.
    #[must_use]
    pub fn new(config: EdgeConfig, pacer: PacerHandle) -> Rc<Self> {
        Rc::new(Self {
            pool: RefCell::new(Pool::new(config.pool)),
            credit: ShardCredit::shared(config.credit),
            config,
            pacer,
            draining: Cell::new(false),
            calls: Cell::new(0),
            lingering: Cell::new(0),
            connections: RefCell::new(Vec::new()),
            read_ahead: ReadAhead::default(),
        })
    }

    /// Says GOAWAY on every connection; each ends with its last stream.
    pub fn drain(&self) {
        self.draining.set(true);
        self.connections.borrow_mut().drain(..).for_each(Waker::wake);
    }

    /// All that calls were given is taken in: connections may read on.
    pub fn taken_in(&self) {
        self.read_ahead.taken_in();
    }

    /// Connections that are open.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.credit.borrow().connections()
    }

    /// Window budget that is spoken for, bytes.
    #[must_use]
    pub fn window_bytes(&self) -> u64 {
        self.credit.borrow().charged_bytes()
    }

    /// What streams that wait for admission hold of the parked reserve, bytes.
    #[must_use]
    pub fn parked_bytes(&self) -> u64 {
        self.credit.borrow().parked_bytes()
    }

    /// Memory of the block pool, bytes.
    #[must_use]
    pub fn pool_bytes(&self) -> usize {
        self.pool.borrow().committed_bytes()
    }

    /// Memory that [`trim`](Self::trim) may give back is kept for so long after its last use,
    /// milliseconds; 10,000 if nobody says so.
    pub fn keep_spare_ms(&self, spare_kept_ms: u64) {
        self.pool.borrow_mut().keep_spare_ms(spare_kept_ms);
    }

    /// Gives unused memory back; call it every second or so.
    pub fn trim(&self) {
        self.pool.borrow_mut().trim(timer::now_ms());
    }
}

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
pub enum ConnectionError {
    /// No room for another connection's window.
    #[error("the shard's window budget has no room for another connection")]
    NoRoom,
    /// The client was silent for too long.
    #[error("the client doesn't answer")]
    Silent,
    /// The client broke a limit that the edge holds itself, or sent too much that brings nothing;
    /// it was told so.
    #[error("the client broke the rules: {0}")]
    Fault(h2::Reason),
    /// The client broke the protocol, or the socket failed.
    #[error(transparent)]
    Http2(#[from] h2::Error),
}

/// Serves a connection until it ends. `handler` makes the future that serves one request.
///
/// # Errors
/// Why it ended, if not by the client's or our own will.
pub async fn serve_connection<F>(
    socket: Stream,
    shard: Rc<EdgeShard>,
    handler: impl Fn(EdgeRequest) -> F,
) -> Result<(), ConnectionError>
where
    F: Future<Output = ()> + 'static,
{
    let credit =
        ConnectionCredit::accept(&shard.credit).map_err(|_full| ConnectionError::NoRoom)?;
    let lane = Rc::new(RefCell::new(Lane::new(socket, shard.clone(), credit)));
    let ended = run(&lane, &shard, handler).await;
    let socket = lane.borrow_mut().disconnect();
    if let Some(socket) = socket
        && shard.lingering.get() < LINGERS_MAX
    {
        shard.lingering.set(shard.lingering.get() + 1);
        linger(socket).await;
        shard.lingering.set(shard.lingering.get() - 1);
    }
    ended
}

/// Reads on for a moment after we have said our last: to close a socket that holds unread bytes
/// resets the connection, and the client might lose what we said.
async fn linger(mut socket: Stream) {
    drop(socket.shutdown(std::net::Shutdown::Write));
    let mut block = vec![0; LINGER_READ_BYTES];
    let mut left_bytes = LINGER_BYTES_MAX;
    let read_on = async {
        loop {
            match std::future::poll_fn(|cx| socket.poll_read(cx, &mut block)).await {
                Ok(bytes @ 1..) if left_bytes > bytes => left_bytes -= bytes,
                _ => return,
            }
            task::yield_if_needed().await;
        }
    };
    let _ = timer::deadline(read_on, Duration::from_millis(LINGER_MS)).await;
}

async fn run<F>(
    lane: &Rc<RefCell<Lane>>,
    shard: &Rc<EdgeShard>,
    handler: impl Fn(EdgeRequest) -> F,
) -> Result<(), ConnectionError>
where
    F: Future<Output = ()> + 'static,
{
    let config = &shard.config;
    // Windows stay at HTTP/2's defaults: all credit is given by `credit`.
    let handshake = h2::server::Builder::new()
        .max_frame_size(config.max_frame_bytes)
        .max_concurrent_streams(config.streams_max)
        .max_header_list_size(config.header_list_bytes_max)
        .max_send_buffer_size(256 << 10)
        .max_local_error_reset_streams(None)
        .max_pending_accept_reset_streams(config.streams_max as usize)
        // h2 sees only part of what comes, so it must not hold that against its own window.
        .initial_connection_window_size(WINDOW_BYTES_MAX as u32)
        .handshake(LaneIo(lane.clone()));
    let handshake = timer::deadline(handshake, Duration::from_millis(HANDSHAKE_MS)).await;
    let connection = handshake.map_err(|_elapsed| ConnectionError::Silent)??;
    let mut driver = Driver::new(lane.clone(), shard.clone(), connection);
    loop {
        match std::future::poll_fn(|cx| driver.poll_step(cx)).await {
            Step::Request(request) => task::spawn_local(handler(*request)).detach(),
            Step::Tick => driver.tick()?,
            Step::End(result) => {
                let fault = lane.borrow().fault();
                return fault.map_or(Ok(result?), |reason| Err(ConnectionError::Fault(reason)));
            }
        }
    }
}
