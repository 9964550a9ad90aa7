//! How far the connections of a shard have read ahead of whoever takes in what they read.
//!
//! Tasks run in turn: without this all connections would read a lot each before the first of it is
//! taken in, which with many of them is more than caches hold, and grows as long as more comes than
//! is taken in. So one that would read too far ahead lets the others have their turns first. It does
//! that a few times at most, as nobody may be there to take anything in: then windows are the bound.

use std::cell::Cell;

/// What was read and not yet taken in may be so much, bytes: it should stay in the nearest caches.
const AHEAD_BYTES_MAX: usize = 4 << 20;

/// So often a connection lets the others have their turns: they take two to take something in.
const DEFERRALS_MAX: u8 = 4;

/// The count of one shard.
#[derive(Default)]
pub(super) struct ReadAhead {
    bytes: Cell<usize>,
    /// How often all was taken in.
    taken_in: Cell<u64>,
}

/// How often a connection deferred its read since something was taken in.
#[derive(Default)]
pub(super) struct Deferrals {
    since: u64,
    count: u8,
}

impl ReadAhead {
    pub(super) fn read(&self, bytes: usize) {
        self.bytes.set(self.bytes.get() + bytes);
    }

    /// All that was handed on is taken in.
    pub(super) fn taken_in(&self) {
        self.bytes.set(0);
        self.taken_in.set(self.taken_in.get() + 1);
    }

    /// Whether the others should have their turns before more is read.
    pub(super) fn is_to_wait(&self, deferrals: &mut Deferrals) -> bool {
        if self.bytes.get() < AHEAD_BYTES_MAX {
            return false;
        }
        if deferrals.since != self.taken_in.get() {
            *deferrals = Deferrals { since: self.taken_in.get(), count: 0 };
        }
        deferrals.count = deferrals.count.saturating_add(1);
        deferrals.count <= DEFERRALS_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_reads_too_far_ahead_waits_until_all_is_taken_in_but_not_for_ever() {
        let (ahead, mut deferrals) = (ReadAhead::default(), Deferrals::default());
        ahead.read(AHEAD_BYTES_MAX - 1);
        assert!(!ahead.is_to_wait(&mut deferrals));
        ahead.read(1);
        for _ in 0..2 {
            let waits = (0..10).filter(|_| ahead.is_to_wait(&mut deferrals)).count();
            assert_eq!(waits, usize::from(DEFERRALS_MAX), "then it reads");
            ahead.taken_in();
            assert!(!ahead.is_to_wait(&mut deferrals));
            ahead.read(AHEAD_BYTES_MAX);
        }
    }
}
