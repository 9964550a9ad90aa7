//! What is to happen at a time: waits by the monotonic clock, lifetimes by the wall clock.

use std::collections::BTreeSet;

use sluice_proto::ids::UploadId;

use crate::keys::{BodyId, Now, OpId, StreamKey};

/// One thing whose time comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    /// A chunk has waited long enough for memory.
    Admission(StreamKey),
    /// Someone has waited long enough for the end of an upload.
    EndWait(UploadId),
    /// A whole body has waited long enough for its turn at the SHA-256.
    HashTurn(UploadId, BodyId),
    /// A failed effect is tried again.
    Retry(OpId),
    /// An upload's lifetime is over. Wall clock.
    Expire(UploadId),
}

impl Timer {
    fn by_wall_clock(self) -> bool {
        matches!(self, Timer::Expire(_))
    }
}

/// All timers of a shard.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    mono: BTreeSet<(u64, Timer)>,
    wall: BTreeSet<(u64, Timer)>,
}

impl Timers {
    /// Sets one; `at_ms` is of the clock that its kind goes by.
    pub(crate) fn set(&mut self, at_ms: u64, timer: Timer) {
        let clock = if timer.by_wall_clock() { &mut self.wall } else { &mut self.mono };
        clock.insert((at_ms, timer));
    }

    /// Takes one whose time has come.
    pub(crate) fn pop(&mut self, now: Now) -> Option<Timer> {
        for (clock, now_ms) in [(&mut self.mono, now.mono_ms), (&mut self.wall, now.wall_ms)] {
            if clock.first().is_some_and(|&(at_ms, _)| at_ms <= now_ms) {
                return clock.pop_first().map(|(_, timer)| timer);
            }
        }
        None
    }

    /// When the next time comes, monotonic ms.
    pub(crate) fn next_mono_ms(&self, now: Now) -> Option<u64> {
        let mono = self.mono.first().map(|&(at_ms, _)| at_ms);
        let wall = self
            .wall
            .first()
            .map(|&(at_ms, _)| now.mono_ms.saturating_add(at_ms.saturating_sub(now.wall_ms)));
        mono.into_iter().chain(wall).min()
    }
}
