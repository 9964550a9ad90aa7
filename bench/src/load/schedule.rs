//! When an open loop should begin each chunk.

use std::time::{Duration, Instant};

/// Intended starts: each chunk is due when all before it have had their share of the rate.
#[derive(Debug, Clone)]
pub struct Schedule {
    first: Instant,
    bytes_per_second: u64,
    bytes_before: u128,
}

impl Schedule {
    /// If all chunks are of `chunk_bytes`, one is due at `begin` exactly, and before it come those
    /// of at most `warm_up`.
    pub fn new(begin: Instant, warm_up: Duration, chunk_bytes: u64, bytes_per_second: u64) -> Self {
        assert!(chunk_bytes > 0 && bytes_per_second > 0, "a load is checked before it runs");
        let bytes = warm_up.as_nanos() * u128::from(bytes_per_second) / NANOS;
        let whole_chunks = bytes - bytes % u128::from(chunk_bytes);
        let first = begin - time_of(whole_chunks, bytes_per_second);
        Self { first, bytes_per_second, bytes_before: 0 }
    }

    /// When the next chunk is due, which has `bytes`.
    pub fn next(&mut self, bytes: u64) -> Instant {
        let due = self.first + time_of(self.bytes_before, self.bytes_per_second);
        self.bytes_before += u128::from(bytes);
        due
    }
}

const NANOS: u128 = 1_000_000_000;

fn time_of(bytes: u128, bytes_per_second: u64) -> Duration {
    let nanos = bytes * NANOS / u128::from(bytes_per_second);
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::now;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_chunk_is_due_when_the_measured_time_begins_and_then_at_the_rate() {
        let begin = now();
        // One of 1,000 bytes each 10 ms.
        let mut schedule = Schedule::new(begin, 35 * MS, 1_000, 100_000);
        let due: Vec<_> = (0..6).map(|_| schedule.next(1_000)).collect();
        assert_eq!(due[0], begin - 30 * MS);
        assert_eq!(due[3], begin);
        assert_eq!(due[5], begin + 20 * MS);
    }

    #[test]
    fn sizes_that_differ_keep_the_rate() {
        let begin = now();
        let mut schedule = Schedule::new(begin, Duration::ZERO, 1_000, 100_000);
        let due: Vec<_> = [1_000, 4_000, 500, 1].map(|bytes| schedule.next(bytes)).into();
        assert_eq!(due, [begin, begin + 10 * MS, begin + 50 * MS, begin + 55 * MS]);
    }

    #[test]
    fn a_rate_that_doesnt_divide_drifts_not_at_all() {
        let begin = now();
        let mut schedule = Schedule::new(begin, Duration::ZERO, 1, 3);
        let due = (0..=3_000_000).map(|_| schedule.next(1)).last();
        assert_eq!(due, Some(begin + Duration::from_secs(1_000_000)));
    }
}
