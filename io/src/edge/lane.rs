//! One connection's two lanes over its socket: h2 reads and writes here as if it were the socket,
//! while payload goes past it to whoever serves the stream.
//!
//! Invariants: every payload byte is counted by [`ConnectionCredit`] before anyone sees it, and
//! given back once; h2 sees every frame but the payload of open streams and what comes late on
//! streams that we reset; nobody waits on a stream whose client is gone.

use std::{
    collections::BTreeMap,
    io,
    rc::Rc,
    task::{Context, Poll, Waker, ready},
};

use bytes::{Buf, Bytes, BytesMut};
use h2::Reason;
use tokio::io::ReadBuf;

use super::{
    connection::EdgeShard,
    credit::{Arrival, ConnectionCredit, LOW_WATER_BYTES_MAX, NoCredit},
    data_lane::{Piece, Splitter},
    flood::Flood,
    output::Output,
    payload::Payload,
};
use crate::reactor::{net::Stream, timer};

/// Memory for h2's bytes that is kept while there are none.
const CONTROL_KEPT_BYTES: usize = 16 << 10;

/// Streams that h2 has yet to accept or refuse, at most, beside those that it may have open.
const UNJUDGED_MAX: usize = 4096;

/// A client that once was stuck with bytes outstanding is not relied on for so many.
const WARY_BYTES: u64 = 16 << 20;

/// The rest of a stream will never come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Cut {
    /// The client reset the stream.
    #[error("the client reset the stream")]
    Reset,
    /// The connection is gone.
    #[error("the connection is gone")]
    Disconnected,
}

/// A stream that is answered already, while its client still sends.
struct Drain {
    _body: h2::RecvStream,
    until_ms: u64,
}

pub(super) struct Lane {
    /// `None` once the connection is over.
    socket: Option<Stream>,
    shard: Rc<EdgeShard>,
    splitter: Splitter,
    pieces: Vec<Piece>,
    credit: ConnectionCredit,
    control: BytesMut,
    output: Output,
    streams: BTreeMap<u32, Payload>,
    drains: BTreeMap<u32, Drain>,
    /// Drains that are over, though h2 may not know it yet.
    drained: Vec<Drain>,
    flood: Flood,
    fault: Option<Reason>,
    is_greeted: bool,
    connection: Option<Waker>,
    updates: Vec<super::credit::WindowUpdate>,
    /// Bytes read so far; tells whether the connection makes progress.
    pub(super) read_bytes: u64,
    pub(super) low_water: usize,
    is_lowered: bool,
    /// Until so many bytes were read, only the rest of a frame is taken for sure to come.
    wary_until_bytes: u64,
    /// No block was free at the last read.
    pub(super) starved: bool,
    over: bool,
}

impl Lane {
    pub(super) fn new(socket: Stream, shard: Rc<EdgeShard>, credit: ConnectionCredit) -> Self {
        Self {
            socket: Some(socket),
            splitter: Splitter::new(shard.config.max_frame_bytes as usize),
            shard,
            pieces: Vec::new(),
            credit,
            control: BytesMut::new(),
            output: Output::default(),
            streams: BTreeMap::new(),
            drains: BTreeMap::new(),
            drained: Vec::new(),
            flood: Flood::new(timer::now_ms()),
            fault: None,
            is_greeted: false,
            connection: None,
            updates: Vec::new(),
            read_bytes: 0,
            low_water: 1,
            is_lowered: false,
            wary_until_bytes: 0,
            starved: false,
            over: false,
        }
    }

    /// The handshake is over.
    pub(super) fn greeted(&mut self) {
        self.is_greeted = true;
    }

    /// Who is to be woken when there is something to write.
    pub(super) fn set_connection_waker(&mut self, waker: &Waker) {
        if !self.connection.as_ref().is_some_and(|known| known.will_wake(waker)) {
            self.connection = Some(waker.clone());
        }
    }

    fn wake_connection(&mut self) {
        if let Some(waker) = self.connection.take() {
            waker.wake();
        }
    }

    pub(super) fn is_busy(&self) -> bool {
        !self.streams.is_empty() || !self.drains.is_empty()
    }

    /// What the client did wrong. From then on nothing more is read.
    pub(super) fn fault(&self) -> Option<Reason> {
        self.fault
    }

    /// Reads once, and deals out what came; how many bytes, 0 at the end.
    pub(super) fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
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
        let mut pieces = std::mem::take(&mut self.pieces);
        self.splitter.push(block, &mut pieces);
        let taken = pieces.drain(..).try_for_each(|piece| self.take(piece));
        self.pieces = pieces;
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
            Piece::Ended { stream } => {
                self.credit.ended(stream);
                self.drained.extend(self.drains.remove(&stream));
                if let Some(payload) = self.streams.get_mut(&stream) {
                    payload.ended = true;
                    payload.wake();
                }
            }
            Piece::Reset { stream } => self.cut(stream, Cut::Reset),
        }
        Ok(())
    }

    fn cut(&mut self, stream: u32, cut: Cut) {
        self.credit.close(stream);
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

    fn forget(&mut self, stream: u32) {
        self.credit.release_all(stream);
        self.streams.remove(&stream);
    }

    /// h2 hands the request out, so that somebody serves it from now on. `is_whole`: h2 knows the
    /// request's end.
    pub(super) fn serve(&mut self, stream: u32, is_whole: bool) {
        match self.streams.get_mut(&stream) {
            Some(payload) => payload.served = true,
            None if is_whole => {}
            // It was reset before h2 handed it out.
            None => drop(self.streams.insert(stream, Payload::cut(Cut::Reset))),
        }
    }

    /// Reads on only once what is sure to come has come; see [`ConnectionCredit::low_water`].
    fn set_low_water(&mut self) {
        let frame_bytes_left = self.splitter.payload_left();
        let wanted = match self.read_bytes < self.wary_until_bytes {
            true => frame_bytes_left.clamp(1, LOW_WATER_BYTES_MAX as usize),
            false => self.credit.low_water(frame_bytes_left),
        };
        self.set_low_water_to(wanted);
    }

    /// Nothing came for a while: reads what is there.
    pub(super) fn lower_low_water(&mut self) {
        self.set_low_water_to(1);
        self.is_lowered = true;
    }

    /// An error here shows at the next read.
    fn set_low_water_to(&mut self, bytes: usize) {
        self.low_water = bytes;
        if let Some(socket) = &mut self.socket {
            drop(socket.set_receive_low_water(bytes));
        }
    }

    /// Writes what there is to write; called by the connection's own task alone.
    pub(super) fn poll_write_out(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.credit.updates(&mut self.updates);
        self.output.give(&mut self.updates);
        let socket = self.socket.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        while !self.output.ready().is_empty() {
            let written = ready!(socket.poll_write(cx, self.output.ready()))?;
            self.output.wrote(written);
        }
        Poll::Ready(Ok(()))
    }

    /// Gives h2 what is its own of what was read; whether there was any.
    pub(super) fn take_control(&mut self, buffer: &mut ReadBuf<'_>) -> bool {
        if self.control.is_empty() {
            return false;
        }
        let some = self.control.len().min(buffer.remaining());
        buffer.put_slice(&self.control[..some]);
        self.control.advance(some);
        if self.control.is_empty() && self.control.capacity() > CONTROL_KEPT_BYTES {
            self.control = BytesMut::new();
        }
        true
    }

    pub(super) fn output_bytes(&self) -> usize {
        self.output.ready().len()
    }

    /// Takes what h2 writes.
    pub(super) fn push_output(&mut self, bytes: &[u8]) {
        self.output.push(bytes);
        self.take_resets();
    }

    /// Says that nothing more will be written.
    pub(super) fn shut(&self) -> io::Result<()> {
        let shut = |socket: &Stream| socket.shutdown(std::net::Shutdown::Write);
        self.socket.as_ref().map_or(Ok(()), shut)
    }

    /// h2 has written; what it reset is over.
    fn take_resets(&mut self) {
        for (stream, reason) in self.output.take_reset() {
            self.splitter.close(stream);
            self.cut(stream, Cut::Reset);
            self.charge(reset_cost(reason));
        }
    }

    /// Lets go of streams whose drain is over, once h2 knows of their ends: before, it would
    /// reset them. Not to be called by h2.
    pub(super) fn drop_drained(&mut self) {
        if self.control.is_empty() {
            self.drained.clear();
        }
    }

    /// Ends drains that take too long: h2 resets their streams.
    pub(super) fn end_drains(&mut self, now_ms: u64) {
        self.drains.retain(|_, drain| drain.until_ms > now_ms);
    }

    /// The connection is over: whoever still serves a stream of it is told. Gives the socket.
    pub(super) fn disconnect(&mut self) -> Option<Stream> {
        self.over = true;
        self.drains.clear();
        self.drained.clear();
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

    pub(super) fn poll_next(
        &mut self,
        stream: u32,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Cut>>> {
        // A request without a body never enters the data lane.
        self.streams.get_mut(&stream).map_or(Poll::Ready(None), |payload| payload.poll_next(cx))
    }

    /// `bytes_left` as whoever serves the stream sees it: of these, some may be here already.
    pub(super) fn grant(&mut self, stream: u32, bytes_left: u64) -> Result<(), NoCredit> {
        let here_bytes = self.streams.get(&stream).map_or(0, Payload::queued_bytes) as u64;
        self.credit.grant(stream, bytes_left.saturating_sub(here_bytes))?;
        self.set_low_water();
        self.wake_connection();
        Ok(())
    }

    pub(super) fn park(&mut self, stream: u32) -> Result<(), NoCredit> {
        self.credit.park(stream)?;
        if let Some(payload) = self.streams.get_mut(&stream) {
            payload.unpin();
        }
        self.wake_connection();
        Ok(())
    }

    pub(super) fn release(&mut self, stream: u32, bytes: usize) {
        self.credit.release(stream, bytes);
        self.wake_connection();
    }

    /// Whoever served the stream is done with it. `body` keeps h2 from resetting it while the
    /// client still sends: what comes is dropped, up to a bound in bytes and time.
    pub(super) fn leave(&mut self, stream: u32, body: h2::RecvStream, now_ms: u64) {
        let Some(payload) = self.streams.remove(&stream) else { return };
        self.credit.release(stream, payload.queued_bytes());
        if payload.ended || payload.cut.is_some() || self.over {
            self.credit.close(stream);
        } else {
            let config = &self.shard.config;
            self.credit.drain(stream, config.drain_bytes_max);
            let until_ms = now_ms + config.drain_ms_max;
            self.drains.insert(stream, Drain { _body: body, until_ms });
        }
        self.wake_connection();
    }
}

/// What a reset of ours says about the client.
fn reset_cost(reason: Reason) -> i64 {
    match reason {
        // It caused the reset by breaking a rule, which is as good as a reset of its own.
        Reason::PROTOCOL_ERROR | Reason::FLOW_CONTROL_ERROR | Reason::FRAME_SIZE_ERROR => 4,
        // It could not know.
        Reason::REFUSED_STREAM | Reason::STREAM_CLOSED => 1,
        _ => 0,
    }
}
