//! What those who serve the streams do with them.

use std::task::{Context, Poll};

use bytes::Bytes;

use super::{Cut, Drain, Lane};
use crate::{
    edge::{connection::CALLS_FLOOR, credit::NoCredit, payload::Payload},
    reactor::net::Stream,
};

/// Streams of a connection that are drained at one time. They take the places of others, and some
/// clients never end a stream that was answered early: grpc-go forgets it.
const DRAINS_MAX: usize = 16;

impl Lane {
    /// Whether one more call may be served.
    pub(in crate::edge) fn has_room_for_call(&self) -> bool {
        self.calls < CALLS_FLOOR || self.shard.calls.get() < self.shard.config.calls_max
    }

    /// A call begins; it is over at [`call_ended`](Self::call_ended).
    pub(in crate::edge) fn call_began(&mut self) {
        self.calls += 1;
        self.shard.calls.set(self.shard.calls.get() + 1);
    }

    pub(in crate::edge) fn call_ended(&mut self) {
        self.calls -= 1;
        self.shard.calls.set(self.shard.calls.get() - 1);
    }

    pub(in crate::edge) fn reply_ms_max(&self) -> u64 {
        self.shard.config.reply_ms_max
    }

    /// h2 hands the request out, so that somebody serves it from now on. `is_whole`: h2 knows the
    /// request's end. `is_declared`: it tells its length.
    pub(in crate::edge) fn serve(&mut self, stream: u32, is_whole: bool, is_declared: bool) {
        let Some(payload) = self.streams.get_mut(&stream) else {
            if !is_whole {
                // It was reset before h2 handed it out.
                self.streams.insert(stream, Payload::cut(Cut::Reset));
            }
            return;
        };
        payload.served = true;
        let end_unshown = std::mem::take(&mut payload.end_unshown);
        let is_declared = is_declared && (end_unshown || !payload.ended);
        if is_declared || end_unshown {
            self.show_late(stream, is_declared, end_unshown);
        }
    }

    /// The connection is over: whoever still serves a stream of it is told. Gives the socket.
    pub(in crate::edge) fn disconnect(&mut self) -> Option<Stream> {
        self.over = true;
        self.drains.clear();
        self.drained.clear();
        self.declared.clear();
        let unserved = self.streams.iter().filter(|(_, payload)| !payload.served);
        let unserved: Vec<u32> = unserved.map(|(&stream, _)| stream).collect();
        unserved.into_iter().for_each(|stream| self.forget(stream));
        self.credit.disconnect();
        for payload in self.streams.values_mut() {
            payload.cut = payload.cut.or(Some(Cut::Disconnected));
            payload.wake();
        }
        self.socket.take()
    }

    pub(in crate::edge) fn poll_next(
        &mut self,
        stream: u32,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Cut>>> {
        // A request without a body never enters the data lane.
        self.streams.get_mut(&stream).map_or(Poll::Ready(None), |payload| payload.poll_next(cx))
    }

    /// `bytes_left` as whoever serves the stream sees it: of these, some may be here already.
    pub(in crate::edge) fn grant(&mut self, stream: u32, bytes_left: u64) -> Result<(), NoCredit> {
        let here_bytes = self.streams.get(&stream).map_or(0, Payload::queued_bytes) as u64;
        self.credit.grant(stream, bytes_left.saturating_sub(here_bytes))?;
        self.set_low_water();
        self.wake_connection();
        Ok(())
    }

    pub(in crate::edge) fn is_held_up(&self, stream: u32, bytes_left: u64) -> bool {
        self.credit.is_held_up(stream, bytes_left)
    }

    pub(in crate::edge) fn park(&mut self, stream: u32) -> Result<(), NoCredit> {
        self.credit.park(stream)?;
        if let Some(payload) = self.streams.get_mut(&stream) {
            payload.unpin();
        }
        self.wake_connection();
        Ok(())
    }

    pub(in crate::edge) fn release(&mut self, stream: u32, bytes: usize) {
        self.credit.release(stream, bytes);
        self.wake_connection();
    }

    /// Whoever served the stream is done with it. `handle` keeps h2 from resetting it while the
    /// client still sends: what comes is dropped, up to a bound in bytes and time.
    pub(in crate::edge) fn leave(&mut self, stream: u32, handle: h2::FlowControl, now_ms: u64) {
        let Some(payload) = self.streams.remove(&stream) else { return };
        self.credit.release(stream, payload.queued_bytes());
        let config = &self.shard.config;
        let drain = Drain { _stream: handle, until_ms: now_ms + config.drain_ms_max };
        if payload.ended || payload.cut.is_some() || self.over {
            self.credit.close(stream);
            if !self.over && !self.knows_all() {
                // h2 may not know of the end yet, and would reset it.
                self.drained.push(drain);
            }
        } else {
            self.credit.drain(stream, config.drain_bytes_max);
            self.drains.insert(stream, drain);
            let drains_max = DRAINS_MAX.min(self.shard.config.streams_max as usize / 4).max(1);
            if self.drains.len() > drains_max {
                // The oldest. h2 resets it, which its client was answered before.
                self.drained.extend(self.drains.pop_first().map(|(_, drain)| drain));
            }
        }
        self.wake_connection();
    }
}
