//! Drives one connection: polls h2 and the lane, watches the clock.

use std::{
    cell::RefCell,
    future::Future,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;

use super::{
    connection::{ConnectionError, EdgeShard},
    lane::Lane,
    lane_io::LaneIo,
    request::EdgeRequest,
};
use crate::reactor::{
    pacer::InFlight,
    timer::{self, Sleep},
};

/// A raised low water mark is lowered when nothing came for so long.
const LOW_WATER_GUARD_MS: u64 = 20;
/// With streams open, the connection is looked at this often.
const BUSY_TICK_MS: u64 = 1_000;
/// No block was free: look again.
const STARVED_TICK_MS: u64 = 1;

pub(super) enum Step {
    Request(Box<EdgeRequest>),
    Tick,
    End(Result<(), h2::Error>),
}

pub(super) struct Driver {
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
    saying_fault: bool,
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
    pub(super) fn new(
        lane: Rc<RefCell<Lane>>,
        shard: Rc<EdgeShard>,
        mut connection: h2::server::Connection<LaneIo, Bytes>,
    ) -> Self {
        let now_ms = timer::now_ms();
        lane.borrow_mut().greeted();
        Self {
            ping: connection.ping_pong(),
            ping_sent: false,
            quiet_since_ms: now_ms,
            seen_bytes: 0,
            sleep: timer::sleep_until(now_ms + BUSY_TICK_MS),
            sleep_until_ms: now_ms + BUSY_TICK_MS,
            saying_goaway: false,
            saying_fault: false,
            known: None,
            in_flight: None,
            lane,
            shard,
            connection,
        }
    }

    pub(super) fn poll_step(&mut self, cx: &mut Context<'_>) -> Poll<Step> {
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
        let mut accepted = self.connection.poll_accept(cx);
        let fault = self.lane.borrow().fault().filter(|_| !self.saying_fault);
        if let Some(reason) = fault {
            self.saying_fault = true;
            self.connection.abrupt_shutdown(reason);
            if accepted.is_pending() {
                accepted = self.connection.poll_accept(cx);
            }
        }
        self.lane.borrow_mut().drop_drained();
        let written = self.lane.borrow_mut().poll_write_out(cx);
        match accepted {
            Poll::Ready(Some(Ok((_, mut respond)))) if !self.lane.borrow().has_room_for_call() => {
                respond.send_reset(h2::Reason::REFUSED_STREAM);
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
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
        } else if lane.is_busy() || lane.is_unfinished() {
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

    pub(super) fn tick(&mut self) -> Result<(), ConnectionError> {
        let now_ms = timer::now_ms();
        self.sleep_until_ms = u64::MAX;
        let mut lane = self.lane.borrow_mut();
        lane.end_drains(now_ms);
        if lane.is_stuck(now_ms) {
            return Err(ConnectionError::Silent);
        }
        if lane.read_bytes != self.seen_bytes {
            self.seen_bytes = lane.read_bytes;
            self.quiet_since_ms = now_ms;
            return Ok(());
        }
        if lane.low_water > 1 {
            lane.lower_low_water();
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
