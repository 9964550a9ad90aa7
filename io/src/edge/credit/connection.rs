//! One connection's window and streams, and what it has charged to its shard.

use std::{cell::RefCell, rc::Rc};

use super::{
    FLOOR_BYTES, LOW_WATER_BYTES, LOW_WATER_BYTES_MAX, STUCK_BYTES, WAITING_BYTES,
    WINDOW_BYTES_MAX, WindowUpdate,
    shard::{ShardCredit, WindowBudgetFull},
    stream::{Arrival, Fund, Phase, Stream},
    streams::{Streams, Totals},
};

/// The client sent more than it may: end the connection with FLOW_CONTROL_ERROR.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("DATA beyond the window of stream {stream} (0: of the connection)")]
pub struct FlowViolation {
    /// HTTP/2 stream number; 0 is the connection.
    pub stream: u32,
}

/// Neither budget nor reserve can pay for this stream now: refuse its message, and drain it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the shard has no window credit left for another message")]
pub struct NoCredit;

/// The credit of one connection. Gives all back to the shard when dropped.
///
/// After a round of calls, [`updates`](Self::updates) says what to tell the client.
#[derive(Debug)]
pub struct ConnectionCredit {
    shard: Rc<RefCell<ShardCredit>>,
    /// What the client may still send on the connection.
    window: u64,
    /// [`FLOOR_BYTES`]; 0 once disconnected.
    floor: u64,
    /// Charged to the shard beyond the floor. Never less than `needed`.
    extra: u64,
    busy: bool,
    streams: Streams,
}

impl ConnectionCredit {
    /// Counts a new connection's floor; call it at the accept.
    ///
    /// # Errors
    /// When the floor doesn't fit any more: close the connection without a word of HTTP/2.
    pub fn accept(shard: &Rc<RefCell<ShardCredit>>) -> Result<Self, WindowBudgetFull> {
        shard.borrow_mut().join()?;
        let stream_ceiling_bytes = shard.borrow().limits().stream_ceiling_bytes;
        Ok(Self {
            shard: Rc::clone(shard),
            window: FLOOR_BYTES,
            floor: FLOOR_BYTES,
            extra: 0,
            busy: false,
            streams: Streams::new(stream_ceiling_bytes),
        })
    }

    /// The client has opened this stream. DATA of a stream that was not opened is dropped.
    pub fn open(&mut self, stream: u32) {
        self.streams.open(stream);
    }

    /// Payload of the data lane came in.
    ///
    /// # Errors
    /// When the client had no window for it.
    pub fn received(&mut self, stream: u32, bytes: usize) -> Result<Arrival, FlowViolation> {
        let bytes = bytes as u64;
        self.spend(stream, bytes)?;
        Ok(self.streams.change(stream, |s| s.receive(bytes)).unwrap_or(Arrival::Drop))
    }

    /// Flow-controlled bytes came that nobody keeps: a DATA frame that went to h2 whole, with its
    /// padding, or the padding alone of a frame of the data lane. They don't count as part of a
    /// message: what of a whole frame did, the caller takes off by another [`grant`](Self::grant).
    ///
    /// # Errors
    /// When the client had no window for it.
    pub fn h2_consumed(&mut self, stream: u32, bytes: usize) -> Result<(), FlowViolation> {
        self.spend(stream, bytes as u64)?;
        self.streams.change(stream, |s| s.window -= bytes as u64);
        Ok(())
    }

    /// The message at hand was admitted; `message_bytes_left` of it must still come. What came
    /// already counts as granted too, so call it also with 0. A later call sets the number anew.
    /// A stream that was parked is always granted; one that is gone needs nothing.
    ///
    /// # Errors
    /// When neither budget nor reserve can pay; nothing has changed then.
    pub fn grant(&mut self, stream: u32, message_bytes_left: u64) -> Result<(), NoCredit> {
        let Some(before) = self.streams.get(stream) else { return Ok(()) };
        if matches!(before.phase, Phase::Draining | Phase::Closed) {
            return Ok(());
        }
        if self.fund_by_connection(stream, message_bytes_left) {
            return Ok(());
        }
        let reserved = before.reserved(false, message_bytes_left);
        if before.fund == Fund::Connection
            && !(before.fits_reserve() && self.shard.borrow_mut().park())
        {
            return Err(NoCredit);
        }
        self.streams.set(stream, reserved);
        Ok(())
    }

    /// The message at hand waits for admission. What the stream has in memory, and may still send
    /// unasked, is charged to the parked reserve, and the connection has its credit back.
    ///
    /// # Errors
    /// When the reserve is used up; nothing has changed then.
    pub fn park(&mut self, stream: u32) -> Result<(), NoCredit> {
        let Some(before) = self.streams.get(stream) else { return Ok(()) };
        if matches!(before.phase, Phase::Draining | Phase::Closed) {
            return Ok(());
        }
        if before.fund == Fund::Connection
            && !(before.fits_reserve() && self.shard.borrow_mut().park())
        {
            return Err(NoCredit);
        }
        self.streams.set(stream, before.reserved(true, 0));
        Ok(())
    }

    /// Bytes that were to be kept have left memory, whatever became of their stream since. Without
    /// effect once the stream was closed and had all released.
    ///
    /// # Panics
    /// When the stream doesn't hold as many.
    pub fn release(&mut self, stream: u32, bytes: usize) {
        self.streams.change(stream, |s| s.release(bytes as u64));
        self.tidy(stream);
    }

    /// All that the stream holds has left memory. None of it may be released again.
    pub fn release_all(&mut self, stream: u32) {
        self.streams.change(stream, |s| s.release(s.held.total()));
        self.tidy(stream);
    }

    /// Nobody wants what still comes on this stream: it is dropped, and its connection credit is
    /// back at once. The stream is forgotten once it has ended too. `bytes_max` bounds what the
    /// client is still let send beyond the window that it has, for clients that read no reply
    /// before they have sent all. What the stream holds is still to be released.
    pub fn drain(&mut self, stream: u32, bytes_max: u64) {
        self.turn(stream, Phase::Draining, bytes_max);
    }

    /// The client will send no more on this stream; its bytes may still be waiting or at work.
    pub fn ended(&mut self, stream: u32) {
        self.turn(stream, Phase::Ended, 0);
    }

    /// The stream was reset, or is over on both sides. What it holds is still to be released.
    pub fn close(&mut self, stream: u32) {
        self.turn(stream, Phase::Closed, 0);
    }

    /// The client is gone: no window is left, only what is held stays charged. Keep this value
    /// until that has been released, then drop it.
    pub fn disconnect(&mut self) {
        let streams: Vec<u32> = self.streams.iter().map(|(stream, _)| stream).collect();
        streams.into_iter().for_each(|stream| self.close(stream));
        self.window = 0;
        if self.floor > 0 {
            self.floor = 0;
            self.shard.borrow_mut().leave();
        }
        self.settle();
    }

    /// Gives what is to be given now, and adds the frames that tell it. Few: an increment waits
    /// until it is half of a window, or the client would be stuck.
    pub fn updates(&mut self, out: &mut Vec<WindowUpdate>) {
        self.settle();
        if self.floor == 0 {
            return;
        }
        self.promote();
        let from = out.len();
        self.give_streams(out);
        let target = self.window_target(self.streams.totals());
        let missing = target.saturating_sub(self.window);
        if missing >= FLOOR_BYTES / 2 || self.window < target.min(STUCK_BYTES) {
            self.window = target;
            // First, so that no stream waits for the connection.
            out.insert(from, WindowUpdate { stream: 0, increment: increment(missing) });
        }
        self.settle();
    }

    /// How many bytes must still come, whatever the client does next but leave: the rest of the
    /// frame at hand, or of the granted messages within the credit given. 1 to
    /// [`LOW_WATER_BYTES_MAX`], fit for SO_RCVLOWAT. `calls`: those that the shard serves, each of
    /// which may have so much waiting.
    #[must_use]
    pub fn low_water(&self, frame_bytes_left: usize, calls: usize) -> usize {
        let sure = self.streams.totals().coming.min(self.window).max(frame_bytes_left as u64);
        let each = WAITING_BYTES / calls.max(1) as u64;
        let wide = (self.window / 2).min(each);
        sure.clamp(1, wide.clamp(LOW_WATER_BYTES, LOW_WATER_BYTES_MAX)) as usize
    }

    /// Whether the parked reserve pays for what comes on this stream.
    #[must_use]
    pub fn is_reserved(&self, stream: u32) -> bool {
        self.streams.get(stream).is_some_and(|s| matches!(s.fund, Fund::Reserve { .. }))
    }

    /// Whether the client has too little window on this stream to go on as it likes, though it
    /// has to send so much more.
    #[must_use]
    pub fn is_held_up(&self, stream: u32, bytes_left: u64) -> bool {
        let window = self.streams.get(stream).map_or(0, |s| s.window.min(self.window));
        window < bytes_left.min(STUCK_BYTES)
    }

    /// Whether a granted stream can't go on before it is given more.
    #[must_use]
    pub fn is_stuck(&self) -> bool {
        self.window < STUCK_BYTES || self.streams.totals().stuck > 0
    }

    /// What the client may still send on the connection, bytes.
    #[must_use]
    pub fn window_bytes(&self) -> u64 {
        self.window
    }

    /// What is in memory, bytes, parked ones too.
    #[must_use]
    pub fn held_bytes(&self) -> u64 {
        self.streams.iter().map(|(_, s)| s.held.total()).sum()
    }

    /// Window that no message needs any more, bytes: what cut messages left behind. It can't be
    /// taken back, and serves the connection's next messages; only closing frees it.
    #[must_use]
    pub fn surplus_bytes(&self) -> u64 {
        self.window.saturating_sub(self.window_target(self.streams.totals()))
    }

    #[cfg(test)]
    pub(super) fn streams(&self) -> &Streams {
        &self.streams
    }

    fn spend(&mut self, stream: u32, bytes: u64) -> Result<(), FlowViolation> {
        let known = self.streams.get(stream);
        if known.is_some_and(|s| s.window < bytes) {
            return Err(FlowViolation { stream });
        }
        self.window = self.window.checked_sub(bytes).ok_or(FlowViolation { stream: 0 })?;
        Ok(())
    }

    fn turn(&mut self, stream: u32, phase: Phase, left: u64) {
        self.streams.change(stream, |known| {
            let waits = known.fund == Fund::Reserve { waiting: true };
            match (known.phase, phase) {
                (Phase::Closed, _) => {}
                // Nobody serves it and nothing comes: it is over.
                (Phase::Ended, Phase::Draining) | (Phase::Draining, Phase::Ended) => {
                    (known.phase, known.left) = (Phase::Closed, 0);
                }
                _ => (known.phase, known.left) = (phase, left),
            }
            if waits && phase != Phase::Ended {
                known.fund = Fund::Reserve { waiting: false };
            }
        });
        self.tidy(stream);
    }

    /// Gives back a reserve that is not needed any more, and forgets a stream that is over.
    fn tidy(&mut self, stream: u32) {
        let Some(known) = self.streams.get(stream) else { return };
        if known.done_with_reserve() {
            self.streams.change(stream, |s| s.fund = Fund::Connection);
            self.shard.borrow_mut().unpark();
        }
        if known.phase == Phase::Closed && known.held.total() == 0 {
            self.streams.forget(stream);
        }
    }

    /// Where the connection's window should stand: open for all that was granted, and the floor.
    fn window_target(&self, totals: &Totals) -> u64 {
        (self.floor + totals.cover).saturating_sub(totals.plain)
    }

    /// What must be charged beyond the floor: what is promised, and what can't be taken back.
    fn needed(&self, totals: &Totals) -> u64 {
        totals.commit.max((self.window + totals.held).saturating_sub(self.floor))
    }

    fn settle(&mut self) {
        let totals = self.streams.totals();
        let needed = self.needed(totals);
        let (busy, held) = (totals.commit > 0, totals.held);
        let mut shard = self.shard.borrow_mut();
        shard.recharge(self.extra, needed);
        if busy != self.busy {
            shard.set_busy(busy);
        }
        (self.extra, self.busy) = (needed, busy);
        assert!(self.window <= WINDOW_BYTES_MAX);
        assert!(self.window + held <= self.floor + self.extra, "window not paid for");
    }

    /// Grants if the budget and the ceiling allow the stream's first bytes.
    fn fund_by_connection(&mut self, stream: u32, left: u64) -> bool {
        let Some(before) = self.streams.get(stream) else { return false };
        self.streams.set(stream, before.granted(left));
        let needed = self.needed(self.streams.totals());
        let (free, ceiling) = {
            let shard = self.shard.borrow();
            (shard.free(), shard.limits().connection_ceiling_bytes)
        };
        let fits = needed <= self.extra + free && needed <= ceiling - FLOOR_BYTES;
        if needed > self.extra && !fits {
            self.streams.set(stream, before);
            return false;
        }
        if matches!(before.fund, Fund::Reserve { .. }) {
            self.shard.borrow_mut().unpark();
        }
        self.settle();
        true
    }

    /// Lets the budget pay for grants that trickle through the reserve, where it can by now.
    fn promote(&mut self) {
        if self.streams.totals().trickling == 0 {
            return;
        }
        let trickling = self.streams.iter().filter(|(_, s)| s.trickles());
        let found: Vec<_> = trickling.map(|(stream, s)| (stream, s.left)).collect();
        for (stream, left) in found {
            if !self.fund_by_connection(stream, left) {
                break;
            }
        }
    }

    fn give_streams(&mut self, out: &mut Vec<WindowUpdate>) {
        let Some(first) = self.streams.next_short(0) else { return };
        let totals = self.streams.totals();
        let (target, growth, stream_ceiling) = {
            let shard = self.shard.borrow();
            (shard.target_bytes(), shard.growth_room(), shard.limits().stream_ceiling_bytes)
        };
        let mut room =
            (target - FLOOR_BYTES).min(self.extra + growth).saturating_sub(totals.commit);
        let share = (target - FLOOR_BYTES) / totals.granted.max(1);
        let cap = share.min(stream_ceiling).max(FLOOR_BYTES);
        let mut next = Some(first);
        while let Some(stream) = next {
            let given = self.streams.change(stream, |known| known.give_up_to(cap, &mut room));
            if let Some(given) = given.filter(|&bytes| bytes > 0) {
                out.push(WindowUpdate { stream, increment: increment(given) });
            }
            next = self.streams.next_short(stream + 1);
        }
    }
}

impl Drop for ConnectionCredit {
    fn drop(&mut self) {
        let is_reserved = |&(_, s): &(_, &Stream)| matches!(s.fund, Fund::Reserve { .. });
        let reserved = self.streams.iter().filter(is_reserved).count();
        let mut shard = self.shard.borrow_mut();
        (0..reserved).for_each(|_| shard.unpark());
        shard.recharge(self.extra, 0);
        if self.busy {
            shard.set_busy(false);
        }
        if self.floor > 0 {
            shard.leave();
        }
    }
}

fn increment(bytes: u64) -> u32 {
    u32::try_from(bytes).expect("no window is above 2^31-1")
}
