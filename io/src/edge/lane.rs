//! One connection's two lanes over its socket: h2 reads and writes here as if it were the socket,
//! while payload goes past it to whoever serves the stream.
//!
//! Invariants: every payload byte is counted by [`ConnectionCredit`] before anyone sees it, and
//! given back once; h2 sees every frame but the payload of open streams and what comes late on
//! streams that we reset; nobody waits on a stream whose client is gone.

mod incoming;
mod serving;
mod shown;

use std::{
    collections::BTreeMap,
    io,
    rc::Rc,
    task::{Context, Poll, Waker, ready},
};

use bytes::{Buf, BytesMut};
use h2::Reason;
use tokio::io::ReadBuf;

use super::{
    connection::EdgeShard,
    credit::{ConnectionCredit, LOW_WATER_BYTES_MAX},
    data_lane::{Piece, Splitter},
    flood::Flood,
    output::Output,
    payload::Payload,
    read_ahead::Deferrals,
};
use crate::reactor::{net::Stream, timer};

/// Memory for h2's bytes that is kept while there are none.
const CONTROL_KEPT_BYTES: usize = 16 << 10;

/// Streams that h2 has yet to accept or refuse, at most, beside those that it may have open.
const UNJUDGED_MAX: usize = 4096;

/// A header block comes whole within this time, and so does the client's first frame.
const UNFINISHED_MS_MAX: u64 = 10_000;

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
    _stream: h2::FlowControl,
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
    /// Bytes at the end of `control` that are the beginning of a frame.
    begun: usize,
    output: Output,
    streams: BTreeMap<u32, Payload>,
    drains: BTreeMap<u32, Drain>,
    /// Drains that are over, though h2 may not know it yet.
    drained: Vec<Drain>,
    /// Streams that declared their length, and payload that h2 wasn't shown yet, bytes.
    declared: BTreeMap<u32, u64>,
    flood: Flood,
    fault: Option<Reason>,
    /// Since when a header block, or the very first frame, has not come whole.
    unfinished_since_ms: Option<u64>,
    calls: usize,
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
    deferrals: Deferrals,
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
            begun: 0,
            output: Output::default(),
            streams: BTreeMap::new(),
            drains: BTreeMap::new(),
            drained: Vec::new(),
            declared: BTreeMap::new(),
            flood: Flood::new(timer::now_ms()),
            fault: None,
            unfinished_since_ms: Some(timer::now_ms()),
            calls: 0,
            is_greeted: false,
            connection: None,
            updates: Vec::new(),
            read_bytes: 0,
            low_water: 1,
            is_lowered: false,
            wary_until_bytes: 0,
            starved: false,
            deferrals: Deferrals::default(),
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

    /// Whether something has begun to come that doesn't take long.
    pub(super) fn is_unfinished(&self) -> bool {
        self.unfinished_since_ms.is_some()
    }

    /// What the client did wrong. From then on nothing more is read.
    pub(super) fn fault(&self) -> Option<Reason> {
        self.fault
    }

    /// Reads on only once what is sure to come has come; see [`ConnectionCredit::low_water`].
    fn set_low_water(&mut self) {
        let frame_bytes_left = self.splitter.payload_left();
        let wanted = match self.read_bytes < self.wary_until_bytes {
            true => frame_bytes_left.clamp(1, LOW_WATER_BYTES_MAX as usize),
            false => self.credit.low_water(frame_bytes_left, self.shard.calls.get()),
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

    /// Gives h2 what is its own of what was read, in whole frames; whether there was any.
    pub(super) fn take_control(&mut self, buffer: &mut ReadBuf<'_>) -> bool {
        let some = (self.control.len() - self.begun).min(buffer.remaining());
        if some == 0 {
            return false;
        }
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

    /// Whether h2 has taken all that is there for it.
    fn knows_all(&self) -> bool {
        self.control.len() == self.begun
    }

    /// Lets go of streams whose drain is over, once h2 knows of their ends: before, it would
    /// reset them. Not to be called by h2.
    pub(super) fn drop_drained(&mut self) {
        if self.knows_all() {
            self.drained.clear();
        }
    }

    /// Whether that takes longer than anybody needs.
    pub(super) fn is_stuck(&self, now_ms: u64) -> bool {
        self.unfinished_since_ms.is_some_and(|since_ms| now_ms >= since_ms + UNFINISHED_MS_MAX)
    }

    /// Ends drains that take too long: h2 resets their streams.
    pub(super) fn end_drains(&mut self, now_ms: u64) {
        self.drains.retain(|_, drain| drain.until_ms > now_ms);
    }
}
