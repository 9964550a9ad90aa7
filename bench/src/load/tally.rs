//! What a run counted.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;

/// From 1 µs to 10 minutes, to three digits.
const LATENCY_US_MAX: u64 = 600_000_000;
const DIGITS: u8 = 3;

/// Counts and latencies. Latencies are in microseconds.
#[derive(Debug)]
pub struct Tally {
    /// Uploads whose object was verified.
    pub uploads: u64,
    /// Bytes of those uploads.
    pub bytes: u64,
    /// From the first sending of a chunk to its ack, waits and repeats included.
    pub ack_us: Histogram<u64>,
    /// The same of the chunk that ends its upload: that ack waits for the object.
    pub end_us: Histogram<u64>,
    /// From opening an upload to its verified object.
    pub upload_us: Histogram<u64>,
    /// Refusals by reason.
    pub refusals: BTreeMap<String, u64>,
    /// Calls that were sent again.
    pub retries: u64,
    /// Acks that said `duplicate`: none is expected where nothing was repeated.
    pub duplicates: u64,
}

impl Default for Tally {
    fn default() -> Self {
        let histogram = || {
            Histogram::new_with_max(LATENCY_US_MAX, DIGITS).expect("bounds that hdrhistogram takes")
        };
        Self {
            uploads: 0,
            bytes: 0,
            ack_us: histogram(),
            end_us: histogram(),
            upload_us: histogram(),
            refusals: BTreeMap::new(),
            retries: 0,
            duplicates: 0,
        }
    }
}

impl Tally {
    /// An upload came out as it should.
    pub fn upload_verified(&mut self, bytes: u64, took: Duration) {
        self.uploads += 1;
        self.bytes += bytes;
        record(&mut self.upload_us, took);
    }

    /// A chunk was acknowledged; `ending` says that its ack waited for the upload's end.
    pub fn acked(&mut self, took: Duration, ending: bool, duplicate: bool) {
        record(if ending { &mut self.end_us } else { &mut self.ack_us }, took);
        self.duplicates += u64::from(duplicate);
    }

    /// A call was refused, and perhaps is sent again.
    pub fn refused(&mut self, name: String, repeated: bool) {
        *self.refusals.entry(name).or_default() += 1;
        self.retries += u64::from(repeated);
    }
}

fn record(histogram: &mut Histogram<u64>, took: Duration) {
    let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    histogram.saturating_record(us);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn acks_that_wait_for_the_end_are_kept_apart() {
        let mut tally = Tally::default();
        tally.acked(Duration::from_millis(2), false, false);
        tally.acked(Duration::from_millis(80), true, true);
        assert_eq!((tally.ack_us.len(), tally.end_us.len(), tally.duplicates), (1, 1, 1));
        assert!(tally.ack_us.max() < 2_100 && tally.end_us.max() >= 80_000);
    }

    #[test]
    fn refusals_are_counted_by_reason_and_repeats_beside_them() {
        let mut tally = Tally::default();
        for (name, repeated) in [("BUDGET", true), ("BUDGET", false), ("RATE", true)] {
            tally.refused(name.to_owned(), repeated);
        }
        assert_eq!((tally.refusals["BUDGET"], tally.refusals["RATE"], tally.retries), (2, 1, 2));
    }

    #[test]
    fn a_latency_beyond_the_range_is_not_lost() {
        let mut tally = Tally::default();
        tally.acked(Duration::from_secs(3_600), false, false);
        assert_eq!(tally.ack_us.len(), 1);
    }
}
