//! What comes in: read, counted, and dealt out to h2 and to those who serve the streams.

use std::{
    io,
    task::{Context, Poll, ready},
};

use bytes::BytesMut;
use h2::Reason;

use super::{Cut, Lane, UNJUDGED_MAX, WARY_BYTES};
use crate::{
    edge::{credit::Arrival, data_lane::Piece, payload::Payload},
    reactor::timer,
};

impl Lane {
    /// Whether others should have their turns before this connection reads on.
    pub(in crate::edge) fn is_to_wait(&mut self) -> bool {
        self.shard.read_ahead.is_to_wait(&mut self.deferrals)
    }

    /// Reads once, and deals out what came; how many bytes, 0 at the end.
    pub(in crate::edge) fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let shard = self.shard.clone();
        let mut pool = shard.pool.borrow_mut();
        let Some(room) = pool.room() else {
            self.starved = true;
            return Poll::Pending;
        };
        self.starved = false;
        let socket = self.socket.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        let filled = ready!(socket.poll_read(cx, room))?;
        let block = pool.filled(filled);
        drop(pool);
        self.read_bytes += filled as u64;
        self.shard.read_ahead.read(filled);
        let mut pieces = std::mem::take(&mut self.pieces);
        self.splitter.push(block, &mut pieces);
        let taken = pieces.drain(..).try_for_each(|piece| self.take(piece));
        self.pieces = pieces;
        self.begun = self.splitter.control_begun().min(self.control.len());
        self.unfinished_since_ms = match self.splitter.is_unfinished() {
            true => self.unfinished_since_ms.or_else(|| Some(timer::now_ms())),
            false => None,
        };
        let cost = self.splitter.take_cost();
        self.charge(cost);
        if let Err(fault) = taken {
            self.break_off(fault);
        }
        if std::mem::take(&mut self.is_lowered) && self.credit.is_stuck() {
            // It waited for us while we waited for it, as it doesn't use all that it may send.
            self.wary_until_bytes = self.read_bytes + WARY_BYTES;
        }
        self.set_low_water();
        Poll::Ready(Ok(filled))
    }

    fn charge(&mut self, cost: i64) {
        if cost != 0 && !self.flood.pay(cost, timer::now_ms()) {
            self.break_off(Reason::ENHANCE_YOUR_CALM);
        }
    }

    /// The connection is to end for what the client did; h2 tells it why.
    fn break_off(&mut self, fault: Reason) {
        self.fault = self.fault.or(Some(fault));
        // Before its handshake, h2 can't tell the client anything.
        if self.is_greeted {
            self.control = BytesMut::new();
            self.begun = 0;
        }
        self.wake_connection();
    }

    fn take(&mut self, piece: Piece) -> Result<(), Reason> {
        let violation = |_| Reason::FLOW_CONTROL_ERROR;
        match piece {
            Piece::Control(bytes) => self.control.extend_from_slice(&bytes),
            Piece::Opened { stream } => {
                if self.streams.len() >= self.shard.config.streams_max as usize + UNJUDGED_MAX {
                    return Err(Reason::ENHANCE_YOUR_CALM);
                }
                self.credit.open(stream);
                self.streams.insert(stream, Payload::default());
            }
            Piece::Data { stream, bytes } => {
                let arrival = self.credit.received(stream, bytes.len()).map_err(violation)?;
                let is_late = self.credit.is_reserved(stream);
                self.show(stream, bytes.len());
                match self.streams.get_mut(&stream) {
                    Some(payload) if arrival == Arrival::Keep => payload.push(bytes, is_late),
                    None if arrival == Arrival::Keep => self.credit.release(stream, bytes.len()),
                    _ => {}
                }
            }
            Piece::Padding { stream, bytes } | Piece::Foreign { stream, bytes } => {
                self.credit.h2_consumed(stream, bytes).map_err(violation)?;
            }
            Piece::TooLong => return Err(Reason::FRAME_SIZE_ERROR),
            Piece::Ended { stream } => self.end(stream),
            Piece::PayloadEnded { stream } => {
                self.show_end(stream);
                self.end(stream);
            }
            Piece::Reset { stream } => self.cut(stream, Cut::Reset),
        }
        Ok(())
    }

    fn end(&mut self, stream: u32) {
        self.credit.ended(stream);
        self.declared.remove(&stream);
        self.drained.extend(self.drains.remove(&stream));
        if let Some(payload) = self.streams.get_mut(&stream) {
            payload.ended = true;
            payload.wake();
        }
    }

    pub(super) fn cut(&mut self, stream: u32, cut: Cut) {
        self.credit.close(stream);
        self.declared.remove(&stream);
        // Not dropped here: h2 may be at work, and would lock itself out.
        self.drained.extend(self.drains.remove(&stream));
        match self.streams.get_mut(&stream) {
            Some(payload) if payload.served => {
                payload.cut = Some(cut);
                payload.wake();
            }
            // Nobody has it, and nobody may ever get it.
            Some(_) => self.forget(stream),
            None => {}
        }
    }

    pub(super) fn forget(&mut self, stream: u32) {
        self.credit.release_all(stream);
        self.streams.remove(&stream);
    }

    /// h2 has written; what it reset is over.
    pub(super) fn take_resets(&mut self) {
        for (stream, reason) in self.output.take_reset() {
            self.splitter.close(stream);
            self.cut(stream, Cut::Reset);
            self.charge(reset_cost(reason));
        }
    }
}

/// What a reset of ours says about the client.
fn reset_cost(reason: Reason) -> i64 {
    match reason {
        // It caused the reset by breaking a rule, which is as good as a reset of its own.
        Reason::PROTOCOL_ERROR | Reason::FLOW_CONTROL_ERROR | Reason::FRAME_SIZE_ERROR => 4,
        // It may not have known; but to be refused must cost more than opening a stream pays back.
        Reason::REFUSED_STREAM => 3,
        // It could not know.
        Reason::STREAM_CLOSED => 1,
        _ => 0,
    }
}
