//! One connection's two lanes over its socket: h2 reads and writes here as if it were the socket,
//! while payload goes past it to whoever serves the stream.
//!
//! Invariants: every payload byte is counted by [`ConnectionCredit`] before anyone sees it, and
//! given back once; h2 sees every frame but the payload of open streams; nobody waits on a
//! stream whose client is gone.

use std::{
    cell::RefCell,
    collections::{BTreeMap, VecDeque},
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker, ready},
};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{
    connection::EdgeShard,
    credit::{Arrival, ConnectionCredit, NoCredit},
    data_lane::{Piece, Splitter},
    output::Output,
};
use crate::reactor::net::Stream;

/// One task reads so much at a time, then others have their turn.
const READ_TURN_BYTES: usize = 2 << 20;

/// Payload shorter than this is copied out of its block, which it would pin whole.
const TINY_BYTES: usize = 4 << 10;

/// Replies that the client doesn't read: beyond this, h2 has to wait.
const OUTPUT_BYTES_MAX: usize = 256 << 10;

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

#[derive(Default)]
struct Payload {
    queue: VecDeque<Bytes>,
    ended: bool,
    cut: Option<Cut>,
    waker: Option<Waker>,
}

impl Payload {
    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

/// A stream that is answered already, while its client still sends.
struct Drain {
    _body: h2::RecvStream,
    until_ms: u64,
}

pub(super) struct Lane {
    socket: Stream,
    shard: Rc<EdgeShard>,
    splitter: Splitter,
    pieces: Vec<Piece>,
    credit: ConnectionCredit,
    control: VecDeque<Bytes>,
    output: Output,
    streams: BTreeMap<u32, Payload>,
    drains: BTreeMap<u32, Drain>,
    connection: Option<Waker>,
    updates: Vec<super::credit::WindowUpdate>,
    /// Bytes read so far; tells whether the connection makes progress.
    pub(super) read_bytes: u64,
    pub(super) low_water: usize,
    /// No block was free at the last read.
    pub(super) starved: bool,
    over: bool,
}

impl Lane {
    pub(super) fn new(socket: Stream, shard: Rc<EdgeShard>, credit: ConnectionCredit) -> Self {
        Self {
            socket,
            splitter: Splitter::new(shard.config.max_frame_bytes as usize),
            shard,
            pieces: Vec::new(),
            credit,
            control: VecDeque::new(),
            output: Output::default(),
            streams: BTreeMap::new(),
            drains: BTreeMap::new(),
            connection: None,
            updates: Vec::new(),
            read_bytes: 0,
            low_water: 1,
            starved: false,
            over: false,
        }
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

    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let shard = self.shard.clone();
        let mut pool = shard.pool.borrow_mut();
        let Some(room) = pool.room() else {
            self.starved = true;
            return Poll::Pending;
        };
        self.starved = false;
        let filled = ready!(self.socket.poll_read(cx, room))?;
        let block = pool.filled(filled);
        drop(pool);
        self.read_bytes += filled as u64;
        let mut pieces = std::mem::take(&mut self.pieces);
        self.splitter.push(block, &mut pieces);
        let taken = pieces.drain(..).try_for_each(|piece| self.take(piece));
        self.pieces = pieces;
        taken?;
        self.set_low_water();
        Poll::Ready(Ok(filled))
    }

    fn take(&mut self, piece: Piece) -> io::Result<()> {
        let violation = |error| io::Error::new(io::ErrorKind::InvalidData, error);
        match piece {
            Piece::Control(bytes) => self.control.push_back(unpinned(bytes)),
            Piece::Opened { stream } => {
                self.credit.open(stream);
                self.streams.insert(stream, Payload::default());
            }
            Piece::Data { stream, bytes } => {
                let arrival = self.credit.received(stream, bytes.len()).map_err(violation)?;
                match self.streams.get_mut(&stream) {
                    Some(payload) if arrival == Arrival::Keep => {
                        payload.queue.push_back(unpinned(bytes));
                        payload.wake();
                    }
                    None if arrival == Arrival::Keep => self.credit.release(stream, bytes.len()),
                    _ => {}
                }
            }
            Piece::Padding { stream, bytes } => {
                self.credit.h2_consumed(stream, bytes).map_err(violation)?;
            }
            Piece::Foreign { stream, bytes } => {
                self.credit.h2_consumed(stream, bytes).map_err(violation)?;
            }
            Piece::Ended { stream } => {
                self.credit.ended(stream);
                self.drains.remove(&stream);
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
        self.drains.remove(&stream);
        if let Some(payload) = self.streams.get_mut(&stream) {
            payload.cut = Some(cut);
            payload.wake();
        }
    }

    /// Reads on only once what is sure to come has come; see [`ConnectionCredit::low_water`].
    fn set_low_water(&mut self) {
        let wanted = self.credit.low_water(self.splitter.payload_left());
        self.lower_to(wanted);
    }

    /// Sets the mark; an error here shows at the next read.
    pub(super) fn lower_to(&mut self, bytes: usize) {
        self.low_water = bytes;
        drop(self.socket.set_receive_low_water(bytes));
    }

    /// Writes what there is to write; called by the connection's own task alone.
    pub(super) fn poll_write_out(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.credit.updates(&mut self.updates);
        self.output.give(&mut self.updates);
        for stream in self.output.take_reset() {
            self.splitter.close(stream);
            self.cut(stream, Cut::Reset);
        }
        while !self.output.ready().is_empty() {
            let written = ready!(self.socket.poll_write(cx, self.output.ready()))?;
            self.output.wrote(written);
        }
        Poll::Ready(Ok(()))
    }

    /// Ends drains that take too long: h2 resets their streams.
    pub(super) fn end_drains(&mut self, now_ms: u64) {
        self.drains.retain(|_, drain| drain.until_ms > now_ms);
    }

    /// The connection is over: whoever still serves a stream of it is told.
    pub(super) fn disconnect(&mut self) {
        self.over = true;
        self.drains.clear();
        self.credit.disconnect();
        for payload in self.streams.values_mut() {
            payload.cut = payload.cut.or(Some(Cut::Disconnected));
            payload.wake();
        }
    }

    pub(super) fn poll_next(
        &mut self,
        stream: u32,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Cut>>> {
        // A request without a body never enters the data lane.
        let Some(payload) = self.streams.get_mut(&stream) else { return Poll::Ready(None) };
        if let Some(cut) = payload.cut {
            return Poll::Ready(Some(Err(cut)));
        }
        if let Some(bytes) = payload.queue.pop_front() {
            return Poll::Ready(Some(Ok(bytes)));
        }
        if payload.ended {
            return Poll::Ready(None);
        }
        payload.waker = Some(cx.waker().clone());
        Poll::Pending
    }

    pub(super) fn grant(&mut self, stream: u32, bytes: u64) -> Result<(), NoCredit> {
        self.credit.grant(stream, bytes)?;
        self.set_low_water();
        self.wake_connection();
        Ok(())
    }

    pub(super) fn park(&mut self, stream: u32) -> Result<(), NoCredit> {
        self.credit.park(stream)?;
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
        let queued: usize = payload.queue.iter().map(Bytes::len).sum();
        if queued > 0 {
            self.credit.release(stream, queued);
        }
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

/// Keeps short pieces from pinning the block that they lie in.
fn unpinned(bytes: Bytes) -> Bytes {
    if bytes.len() < TINY_BYTES { Bytes::copy_from_slice(&bytes) } else { bytes }
}

/// The lane as h2 sees it.
pub(super) struct LaneIo(pub(super) Rc<RefCell<Lane>>);

impl AsyncRead for LaneIo {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut lane = self.0.borrow_mut();
        let mut turn_bytes = 0;
        loop {
            if let Some(front) = lane.control.front_mut() {
                let some = front.len().min(buffer.remaining());
                buffer.put_slice(&front[..some]);
                front.advance(some);
                if front.is_empty() {
                    lane.control.pop_front();
                }
                return Poll::Ready(Ok(()));
            }
            if turn_bytes >= READ_TURN_BYTES {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            let read = ready!(lane.poll_fill(cx))?;
            if read == 0 {
                return Poll::Ready(Ok(()));
            }
            turn_bytes += read;
        }
    }
}

impl AsyncWrite for LaneIo {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut lane = self.0.borrow_mut();
        if lane.output.ready().len() >= OUTPUT_BYTES_MAX {
            ready!(lane.poll_write_out(cx))?;
        }
        lane.output.push(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.borrow_mut().poll_write_out(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut lane = self.0.borrow_mut();
        ready!(lane.poll_write_out(cx))?;
        Poll::Ready(lane.socket.shutdown(std::net::Shutdown::Write))
    }
}
