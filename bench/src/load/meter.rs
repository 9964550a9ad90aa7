//! What a run counts: everything about the measured time in one place.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::outcome::{Histogram64, Outcome, Second};

/// Counts, and latencies in microseconds. What comes before the measured time begins or after it
/// ended is left out, except where a field says otherwise.
#[derive(Debug)]
pub struct Meter {
    begin: Option<Instant>,
    end: Option<Instant>,
    /// What it came to so far; the histograms and the series are put in at last.
    counts: Outcome,
    ack_us: Histogram<u64>,
    ending_ack_us: Histogram<u64>,
    upload_us: Histogram<u64>,
    complete_us: Histogram<u64>,
    second: Current,
}

/// The second that is under way.
#[derive(Debug)]
struct Current {
    nth: u64,
    so_far: Second,
    ack_us: Histogram<u64>,
}

/// A chunk's ack.
#[derive(Debug, Clone, Copy)]
pub struct Ack {
    /// When the chunk began, or should have.
    pub started: Instant,
    /// When the ack came.
    pub acked: Instant,
    /// Payload.
    pub bytes: u64,
    /// Whether it waited for the end of its upload.
    pub ending: bool,
    /// Whether the latency counts: in a closed loop when the ack is in the measured time, in an
    /// open one when the intended start is.
    pub timed: bool,
}

impl Meter {
    /// One that waits for the measured time.
    pub fn new() -> Self {
        let second = Current { nth: 0, so_far: Second::default(), ack_us: histogram() };
        Self {
            begin: None,
            end: None,
            counts: Outcome::default(),
            ack_us: histogram(),
            ending_ack_us: histogram(),
            upload_us: histogram(),
            complete_us: histogram(),
            second,
        }
    }

    /// The measured time begins.
    pub fn begin(&mut self, at: Instant) {
        self.begin = Some(at);
    }

    /// The measured time is over. Only the first word counts.
    pub fn end(&mut self, at: Instant) {
        self.end.get_or_insert(at);
    }

    /// Whether `at` is in the measured time.
    pub fn measures(&self, at: Instant) -> bool {
        self.begin.is_some_and(|begin| at >= begin) && self.end.is_none_or(|end| at < end)
    }

    /// A chunk was acked. Gives the bytes acked in the measured time so far.
    pub fn acked(&mut self, ack: Ack) -> u64 {
        let us = micros(ack.acked.saturating_duration_since(ack.started));
        if ack.timed {
            let histogram = if ack.ending { &mut self.ending_ack_us } else { &mut self.ack_us };
            histogram.saturating_record(us);
        }
        if self.measures(ack.acked) {
            self.counts.bytes += ack.bytes;
            self.counts.chunks += 1;
            let second = self.second_of(ack.acked);
            second.so_far.bytes += ack.bytes;
            second.so_far.acks += 1;
            if !ack.ending {
                second.ack_us.saturating_record(us);
            }
        }
        self.counts.bytes
    }

    /// An ack said that its chunk was in already; counted in the whole run.
    pub fn duplicate(&mut self) {
        self.counts.duplicates += 1;
    }

    /// A call was refused, and perhaps is sent again.
    pub fn refused(&mut self, at: Instant, name: String, again: bool) {
        if self.measures(at) {
            *self.counts.refusals.entry(name).or_default() += 1;
            self.counts.retries += u64::from(again);
            self.second_of(at).so_far.refusals += 1;
        }
    }

    /// An upload ended as it was sent; counted in the whole run, its time if it ended in the
    /// measured time. `summed`: the server told its checksum too.
    pub fn verified(&mut self, started: Instant, ended: Instant, summed: bool) {
        self.counts.uploads += 1;
        self.counts.sizes_verified += 1;
        self.counts.checksums_verified += u64::from(summed);
        if self.measures(ended) {
            self.upload_us.saturating_record(micros(ended - started));
        }
    }

    /// An upload, all of whose chunks were acked by `acked`, was told to be stored.
    pub fn completed(&mut self, acked: Instant, ended: Instant) {
        if self.measures(ended) {
            self.complete_us.saturating_record(micros(ended - acked));
        }
    }

    /// An open loop should have begun a chunk.
    pub fn offered(&mut self) {
        self.counts.offered_chunks += 1;
    }

    /// Answers that never came.
    pub fn lost(&mut self, acks: u64) {
        self.counts.acks_lost += acks;
    }

    /// The run doesn't count. The first reason is kept.
    pub fn failed(&mut self, why: String) {
        self.counts.failed.get_or_insert(why);
    }

    /// Whether the run counts no more.
    pub fn has_failed(&self) -> bool {
        self.counts.failed.is_some()
    }

    /// Something that a reader should know.
    pub fn note(&mut self, note: String) {
        self.counts.notes.push(note);
    }

    /// Adds what another thread counted in the same measured time.
    pub fn merge(&mut self, mut other: Self) {
        let whole = other.whole_seconds();
        other.close_seconds(whole);
        let whole = self.whole_seconds();
        self.close_seconds(whole);
        for (sum, second) in self.counts.series.iter_mut().zip(&other.counts.series) {
            sum.bytes += second.bytes;
            sum.acks += second.acks;
            sum.refusals += second.refusals;
            sum.ack_p99_us = sum.ack_p99_us.max(second.ack_p99_us);
        }
        let (sum, counts) = (&mut self.counts, other.counts);
        sum.bytes += counts.bytes;
        sum.chunks += counts.chunks;
        sum.uploads += counts.uploads;
        sum.sizes_verified += counts.sizes_verified;
        sum.checksums_verified += counts.checksums_verified;
        sum.acks_lost += counts.acks_lost;
        sum.failed = sum.failed.take().or(counts.failed);
        for (mine, its) in [
            (&mut self.ack_us, &other.ack_us),
            (&mut self.ending_ack_us, &other.ending_ack_us),
            (&mut self.upload_us, &other.upload_us),
            (&mut self.complete_us, &other.complete_us),
        ] {
            mine.add(its).expect("all have the same bounds");
        }
    }

    /// All of it. A run in which nothing was acked doesn't count.
    pub fn finish(mut self) -> Outcome {
        let whole = self.whole_seconds();
        self.close_seconds(whole);
        self.counts.seconds = self.measured().as_secs_f64();
        if self.counts.chunks == 0 {
            self.failed("nothing was acked in the measured time".to_owned());
        }
        self.counts.ack = Histogram64::of(&self.ack_us);
        self.counts.ending_ack = Histogram64::of(&self.ending_ack_us);
        self.counts.upload = Histogram64::of(&self.upload_us);
        self.counts.complete = Histogram64::of(&self.complete_us);
        self.counts
    }

    fn measured(&self) -> Duration {
        let (Some(begin), Some(end)) = (self.begin, self.end) else { return Duration::ZERO };
        end.saturating_duration_since(begin)
    }

    fn second_of(&mut self, at: Instant) -> &mut Current {
        let begin = self.begin.expect("asked only in the measured time");
        self.close_seconds((at - begin).as_secs());
        &mut self.second
    }

    /// A second that the measured time ends in would look like a dip, so it is left out, unless it
    /// is as good as over.
    fn whole_seconds(&self) -> u64 {
        (self.measured() + ALMOST).as_secs()
    }

    /// Puts all seconds before `nth` into the series.
    fn close_seconds(&mut self, nth: u64) {
        while self.second.nth < nth {
            let mut second = std::mem::take(&mut self.second.so_far);
            second.ack_p99_us = self.second.ack_us.value_at_quantile(0.99);
            self.counts.series.push(second);
            self.second.ack_us.reset();
            self.second.nth += 1;
        }
    }
}

/// From 1 µs to 1 h, to three digits.
fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LATENCY_US_MAX, DIGITS).expect("bounds that hdrhistogram takes")
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

const ALMOST: Duration = Duration::from_millis(20);
const LATENCY_US_MAX: u64 = 3_600_000_000;
const DIGITS: u8 = 3;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::now;

    const MS: Duration = Duration::from_millis(1);

    fn ack(acked: Instant, took: Duration, ending: bool) -> Ack {
        Ack { started: acked - took, acked, bytes: 100, ending, timed: true }
    }

    #[test]
    fn only_the_measured_time_counts() {
        let (mut meter, begin) = (Meter::new(), now());
        meter.acked(ack(begin - MS, MS, false));
        meter.refused(begin - MS, "RATE".into(), true);
        meter.begin(begin);
        meter.acked(ack(begin, MS, false));
        meter.refused(begin, "BUDGET".into(), true);
        meter.refused(begin, "BUDGET".into(), false);
        meter.end(begin + 10 * MS);
        meter.end(begin + 90 * MS);
        meter.acked(ack(begin + 10 * MS, MS, false));
        let outcome = meter.finish();
        assert_eq!((outcome.chunks, outcome.bytes, outcome.seconds), (1, 100, 0.01));
        assert_eq!(
            (outcome.refusals.len(), outcome.refusals["BUDGET"], outcome.retries),
            (1, 2, 1)
        );
    }

    #[test]
    fn acks_that_wait_for_the_end_are_kept_apart_and_none_is_beyond_the_range() {
        let (mut meter, begin) = (Meter::new(), now());
        let begin = begin + Duration::from_secs(10_000);
        meter.begin(begin);
        meter.acked(ack(begin, 2 * MS, false));
        meter.acked(ack(begin, 80 * MS, true));
        meter.acked(Ack { timed: false, ..ack(begin, MS, false) });
        meter.acked(ack(begin, Duration::from_secs(8_000), false));
        let outcome = meter.finish();
        let (acks, ending) = (outcome.ack.read().unwrap(), outcome.ending_ack.read().unwrap());
        assert_eq!((acks.len(), ending.len()), (2, 1));
        assert!(acks.min() < 2_010 && acks.max() >= LATENCY_US_MAX && ending.min() > 79_900);
    }

    #[test]
    fn the_series_has_every_whole_second_also_an_empty_one() {
        let (mut meter, begin) = (Meter::new(), now());
        meter.begin(begin);
        for ms in [0, 999, 2_500, 3_200] {
            meter.acked(ack(begin + ms * MS, 5 * MS, false));
        }
        meter.end(begin + 3_400 * MS);
        let series = meter.finish().series;
        let acks: Vec<_> = series.iter().map(|second| second.acks).collect();
        assert_eq!(acks, [2, 0, 1]);
        assert_eq!((series[0].bytes, series[0].ack_p99_us / 100), (200, 50));
    }

    #[test]
    fn threads_add_up() {
        let begin = now();
        let meter = || {
            let mut meter = Meter::new();
            meter.begin(begin);
            meter.end(begin + 1_000 * MS);
            meter
        };
        let (mut one, mut other) = (meter(), meter());
        one.acked(ack(begin + MS, MS, false));
        other.acked(ack(begin + 2 * MS, 9 * MS, false));
        other.verified(begin, begin + MS, false);
        other.completed(begin, begin + 3 * MS);
        other.completed(begin, begin + 2_000 * MS);
        one.merge(other);
        let outcome = one.finish();
        assert_eq!((outcome.chunks, outcome.uploads, outcome.sizes_verified), (2, 1, 1));
        assert_eq!((outcome.series[0].acks, outcome.ack.read().unwrap().len()), (2, 2));
        assert!(outcome.series[0].ack_p99_us >= 9_000);
        let completed = outcome.complete.read().unwrap();
        assert!((2_990..3_010).contains(&completed.max()) && completed.len() == 1);
    }

    #[test]
    fn a_run_without_an_ack_doesnt_count() {
        assert!(Meter::new().finish().failed.is_some());
    }
}
