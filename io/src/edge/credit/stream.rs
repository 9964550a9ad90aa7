//! One stream's window, what it has in memory, and who pays for that.

use super::{FLOOR_BYTES, STUCK_BYTES};

/// What is to become of payload that came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Arrival {
    /// Held from now on, until [`release`](super::ConnectionCredit::release).
    Keep,
    /// Nobody wants it, and its credit is back already: drop it, and don't release it.
    Drop,
}

/// A shorter window may be too short for a last frame that is padded.
const PADDED_BYTES: u64 = 1 << 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Open,
    /// The client sends no more.
    Ended,
    /// What comes is dropped.
    Draining,
    /// Known only until what it holds was released.
    Closed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fund {
    Connection,
    /// `waiting`: for admission. Else it was granted while the budget could not pay.
    Reserve {
        waiting: bool,
    },
}

/// Held bytes by their payer. They leave in this order, as a stream's bytes are in order.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Held {
    /// Of granted messages: the connection's part beyond its floor.
    pub(super) granted: u64,
    /// Not granted, nor parked: the connection's floor.
    pub(super) plain: u64,
    /// The shard's parked reserve.
    pub(super) parked: u64,
}

impl Held {
    pub(super) fn total(&self) -> u64 {
        self.granted + self.plain + self.parked
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Stream {
    /// What the client may still send on it.
    pub(super) window: u64,
    /// What must still come of the granted message; when draining, what may still be let in.
    pub(super) left: u64,
    pub(super) held: Held,
    pub(super) fund: Fund,
    pub(super) phase: Phase,
}

impl Stream {
    pub(super) fn new() -> Self {
        Self {
            window: FLOOR_BYTES,
            left: 0,
            held: Held::default(),
            fund: Fund::Connection,
            phase: Phase::Open,
        }
    }

    pub(super) fn receive(&mut self, bytes: u64) -> Arrival {
        self.window -= bytes;
        let awaited = bytes.min(self.left);
        self.left -= awaited;
        if self.phase != Phase::Open {
            return Arrival::Drop;
        }
        if matches!(self.fund, Fund::Reserve { .. }) {
            self.held.parked += bytes;
        } else {
            self.held.granted += awaited;
            self.held.plain += bytes - awaited;
        }
        Arrival::Keep
    }

    pub(super) fn release(&mut self, mut bytes: u64) {
        assert!(bytes <= self.held.total(), "released more than is held");
        for part in [&mut self.held.granted, &mut self.held.plain, &mut self.held.parked] {
            let some = bytes.min(*part);
            *part -= some;
            bytes -= some;
        }
    }

    /// The same stream, its message granted and paid by the connection.
    pub(super) fn granted(mut self, left: u64) -> Self {
        self.held = Held { granted: self.held.total(), plain: 0, parked: 0 };
        self.fund = Fund::Connection;
        self.left = if self.phase == Phase::Open { left } else { 0 };
        self
    }

    /// Whether the reserve's one floor would cover all that this stream may have unadmitted.
    pub(super) fn fits_reserve(&self) -> bool {
        self.window + self.held.plain + self.held.parked <= FLOOR_BYTES
    }

    /// The same stream, paid by the reserve.
    pub(super) fn reserved(mut self, waiting: bool, left: u64) -> Self {
        self.held.parked += self.held.plain;
        self.held.plain = 0;
        self.fund = Fund::Reserve { waiting };
        self.left = if self.phase == Phase::Open { left } else { 0 };
        self
    }

    /// The reserve pays for it and has nothing more to pay for.
    pub(super) fn done_with_reserve(&self) -> bool {
        let more = self.phase == Phase::Open && self.left > 0;
        self.fund == Fund::Reserve { waiting: false } && self.held.parked == 0 && !more
    }

    /// What must come and may come.
    pub(super) fn coming(&self) -> u64 {
        if self.phase == Phase::Open { self.window.min(self.left) } else { 0 }
    }

    /// The part of [`coming`](Self::coming) that the connection pays.
    pub(super) fn cover(&self) -> u64 {
        if self.fund == Fund::Connection { self.coming() } else { 0 }
    }

    /// What a granted stream may take from the connection without asking the shard again.
    pub(super) fn base(&self) -> u64 {
        if self.wants_connection() {
            self.left.min(FLOOR_BYTES.saturating_sub(self.held.granted))
        } else {
            0
        }
    }

    /// The connection's charge for it, beyond the floor.
    pub(super) fn commit(&self) -> u64 {
        self.held.granted + self.cover().max(self.base())
    }

    /// Granted, unfinished, and paid by the connection.
    pub(super) fn wants_connection(&self) -> bool {
        self.phase == Phase::Open && self.left > 0 && self.fund == Fund::Connection
    }

    /// Granted while the budget could not pay, and unfinished.
    pub(super) fn trickles(&self) -> bool {
        self.fund == Fund::Reserve { waiting: false } && self.phase == Phase::Open && self.left > 0
    }

    /// Can't go on with its granted message before it is given more.
    pub(super) fn is_stuck(&self) -> bool {
        self.phase == Phase::Open && self.window < self.left.min(STUCK_BYTES)
    }

    /// Where its window should stand; `cap` bounds window and held bytes of a granted stream.
    pub(super) fn window_target(&self, cap: u64) -> u64 {
        match (self.phase, self.fund) {
            (Phase::Ended | Phase::Closed, _) | (Phase::Open, Fund::Reserve { waiting: true }) => 0,
            (Phase::Draining, _) => self.left.min(FLOOR_BYTES),
            // Another message may follow, and its head must get in; or padding shut the window
            // before the message's last bytes.
            (Phase::Open, Fund::Connection) if self.left <= self.window.min(PADDED_BYTES) => {
                FLOOR_BYTES.saturating_sub(self.held.total())
            }
            (Phase::Open, Fund::Connection) => self.left.min(cap.saturating_sub(self.held.granted)),
            (Phase::Open, Fund::Reserve { waiting: false }) => FLOOR_BYTES - self.held.parked,
        }
    }

    /// Opens the window to where it should stand, if the connection has `room` and it is worth a
    /// frame; how far it did.
    pub(super) fn give_up_to(&mut self, cap: u64, room: &mut u64) -> u64 {
        let mut most = self.window_target(cap).saturating_sub(self.window);
        let commit = self.commit();
        if self.wants_connection() {
            let owned = commit - self.held.granted - self.cover();
            // Window beyond the message is the floor's.
            if self.left - self.cover() > owned + *room {
                most = most.min(owned + *room);
            }
        }
        if most == 0 {
            return 0;
        }
        let given = self.give(most);
        if given > 0 {
            *room -= self.commit() - commit;
        }
        given
    }

    /// Opens the window by at most `bytes`, if that is worth a frame; how far it did.
    fn give(&mut self, bytes: u64) -> u64 {
        let target = self.window + bytes;
        // The last that the message needs: no other frame will be worth more.
        let is_last = self.window < self.left && target >= self.left;
        if !is_last && bytes < self.window && self.window >= target.min(STUCK_BYTES) {
            return 0;
        }
        self.window = target;
        bytes
    }
}
