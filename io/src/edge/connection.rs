//! Serves one connection: accepts its streams, gives its credit, notices when it is dead.

use std::{
    cell::{Cell, RefCell},
    future::Future,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;

use super::{
    credit::{ConnectionCredit, CreditLimits, ShardCredit},
    lane::{Lane, LaneIo},
    pool::{Pool, PoolLimits},
    request::EdgeRequest,
};
use crate::reactor::{
    net::Stream,
    pacer::{InFlight, PacerHandle},
    task,
    timer::{self, Sleep},
};

/// The client has so long for its preface and first SETTINGS.
const HANDSHAKE_MS: u64 = 10_000;
/// A raised low water mark is lowered when nothing came for so long.
const LOW_WATER_GUARD_MS: u64 = 20;
/// With streams open, the connection is looked at this often.
const BUSY_TICK_MS: u64 = 1_000;
/// No block was free: look again.
const STARVED_TICK_MS: u64 = 1;

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
    /// A client that was answered may still send so much.
    pub drain_bytes_max: u64,
    /// … for so long.
    pub drain_ms_max: u64,
    /// An idle connection is pinged this often, and closed if a ping isn't answered by the next.
    pub keepalive_ms: u64,
}

/// What the connections of a shard share.
pub struct EdgeShard {
    pub(super) config: EdgeConfig,
    pub(super) pool: RefCell<Pool>,
    pub(super) credit: Rc<RefCell<ShardCredit>>,
    pacer: PacerHandle,
    draining: Cell<bool>,
    connections: RefCell<Vec<Waker>>,
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
            connections: RefCell::new(Vec::new()),
        })
    }

    /// Says GOAWAY on every connection; each ends with its last stream.
    pub fn drain(&self) {
        self.draining.set(true);
        self.connections.borrow_mut().drain(..).for_each(Waker::wake);
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

    /// Memory of the block pool, bytes.
    #[must_use]
    pub fn pool_bytes(&self) -> usize {
        self.pool.borrow().committed_bytes()
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
    /// The client broke the protocol, or the socket failed.
    #[error(transparent)]
    Http2(#[from] h2::Error),
}

enum Step {
    Request(Box<EdgeRequest>),
    Tick,
    End(Result<(), h2::Error>),
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
    lane.borrow_mut().disconnect();
    ended
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
        .handshake(LaneIo(lane.clone()));
    let handshake = timer::deadline(handshake, Duration::from_millis(HANDSHAKE_MS)).await;
    let connection = handshake.map_err(|_elapsed| ConnectionError::Silent)??;
    let mut driver = Driver::new(lane.clone(), shard.clone(), connection);
    loop {
        match std::future::poll_fn(|cx| driver.poll_step(cx)).await {
            Step::Request(request) => task::spawn_local(handler(*request)).detach(),
            Step::Tick => driver.tick()?,
            Step::End(result) => return Ok(result?),
        }
    }
}

struct Driver {
    lane: Rc<RefCell<Lane>>,
    shard: Rc<EdgeShard>,
    connection: h2::server::Connection<LaneIo, Bytes>,
    ping: Option<h2::PingPong>,
    ping_sent: bool,
    quiet_since_ms: u64,
    seen_bytes: u64,
    sleep: Sleep,
    sleep_until_ms: u64,
    saying_goaway: bool,
    /// Our waker among those that a drain wakes.
    known: Option<Waker>,
    in_flight: Option<InFlight>,
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.forget_waker();
    }
}

impl Driver {
    fn new(
        lane: Rc<RefCell<Lane>>,
        shard: Rc<EdgeShard>,
        mut connection: h2::server::Connection<LaneIo, Bytes>,
    ) -> Self {
        let now_ms = timer::now_ms();
        Self {
            ping: connection.ping_pong(),
            ping_sent: false,
            quiet_since_ms: now_ms,
            seen_bytes: 0,
            sleep: timer::sleep_until(now_ms + BUSY_TICK_MS),
            sleep_until_ms: now_ms + BUSY_TICK_MS,
            saying_goaway: false,
            known: None,
            in_flight: None,
            lane,
            shard,
            connection,
        }
    }

    fn poll_step(&mut self, cx: &mut Context<'_>) -> Poll<Step> {
        self.lane.borrow_mut().set_connection_waker(cx.waker());
        if !self.saying_goaway {
            if self.shard.draining.get() {
                self.saying_goaway = true;
                self.connection.graceful_shutdown();
            } else if !self.known.as_ref().is_some_and(|known| known.will_wake(cx.waker())) {
                self.forget_waker();
                self.known = Some(cx.waker().clone());
                self.shard.connections.borrow_mut().push(cx.waker().clone());
            }
        }
        let accepted = self.connection.poll_accept(cx);
        let written = self.lane.borrow_mut().poll_write_out(cx);
        match accepted {
            Poll::Ready(Some(Ok((request, respond)))) => {
                let request = EdgeRequest::new(request, respond, self.lane.clone());
                return Poll::Ready(Step::Request(Box::new(request)));
            }
            Poll::Ready(Some(Err(error))) => return Poll::Ready(Step::End(Err(error))),
            Poll::Ready(None) => return Poll::Ready(Step::End(Ok(()))),
            Poll::Pending => {}
        }
        if let Poll::Ready(Err(_gone)) = written {
            return Poll::Ready(Step::End(Ok(())));
        }
        if let Some(ping) = &mut self.ping
            && self.ping_sent
            && let Poll::Ready(Ok(_)) = ping.poll_pong(cx)
        {
            self.ping_sent = false;
        }
        self.pace();
        self.set_sleep();
        Pin::new(&mut self.sleep).poll(cx).map(|()| Step::Tick)
    }

    fn forget_waker(&mut self) {
        if let Some(known) = self.known.take() {
            self.shard.connections.borrow_mut().retain(|waker| !waker.will_wake(&known));
        }
    }

    /// The pacer beats fast while a stream is open.
    fn pace(&mut self) {
        match (self.lane.borrow().is_busy(), &self.in_flight) {
            (true, None) => self.in_flight = Some(self.shard.pacer.begin()),
            (false, Some(_)) => self.in_flight = None,
            _ => {}
        }
    }

    /// Sleeps shorter when there is more to watch.
    fn set_sleep(&mut self) {
        let lane = self.lane.borrow();
        let tick_ms = if lane.starved {
            STARVED_TICK_MS
        } else if lane.low_water > 1 {
            LOW_WATER_GUARD_MS
        } else if lane.is_busy() {
            BUSY_TICK_MS
        } else {
            self.shard.config.keepalive_ms
        };
        let at_ms = timer::now_ms() + tick_ms;
        if at_ms < self.sleep_until_ms {
            self.sleep_until_ms = at_ms;
            self.sleep = timer::sleep_until(at_ms);
        }
    }

    fn tick(&mut self) -> Result<(), ConnectionError> {
        let now_ms = timer::now_ms();
        self.sleep_until_ms = u64::MAX;
        let mut lane = self.lane.borrow_mut();
        lane.end_drains(now_ms);
        if lane.read_bytes != self.seen_bytes {
            self.seen_bytes = lane.read_bytes;
            self.quiet_since_ms = now_ms;
            return Ok(());
        }
        if lane.low_water > 1 {
            lane.lower_to(1);
        }
        drop(lane);
        let quiet_ms = now_ms.saturating_sub(self.quiet_since_ms);
        let keepalive_ms = self.shard.config.keepalive_ms;
        if quiet_ms >= 2 * keepalive_ms && self.ping_sent {
            return Err(ConnectionError::Silent);
        }
        if quiet_ms >= keepalive_ms
            && !self.ping_sent
            && let Some(ping) = &mut self.ping
        {
            self.ping_sent = ping.send_ping(h2::Ping::opaque()).is_ok();
        }
        Ok(())
    }
}
