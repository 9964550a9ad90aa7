//! A histogram with its sum, cheap to record, to merge and to read.

use std::time::Duration;

use hdrhistogram::Histogram;

/// Two digits: no answer is off by more than one percent.
const DIGITS: u8 = 2;
/// One hour in microseconds: longer is recorded as this.
const DURATION_US_MAX: u64 = 3_600_000_000;
/// One chunk never has more.
const SIZE_BYTES_MAX: u64 = 1 << 30;

/// How often which value came. Holds some 20 KB.
#[derive(Debug, Clone)]
pub struct Distribution {
    histogram: Histogram<u64>,
    sum: u64,
}

impl Distribution {
    /// Of durations, in microseconds.
    pub fn of_durations() -> Self {
        Self::up_to(DURATION_US_MAX)
    }

    /// Of sizes, in bytes.
    pub fn of_sizes() -> Self {
        Self::up_to(SIZE_BYTES_MAX)
    }

    /// Counts a value.
    pub fn record(&mut self, value: u64) {
        self.histogram.saturating_record(value);
        self.sum = self.sum.saturating_add(value);
    }

    /// Counts a duration.
    pub fn record_duration(&mut self, duration: Duration) {
        self.record(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX));
    }

    /// Adds what another one counted, of the same kind.
    pub fn merge(&mut self, other: &Self) {
        // Both have the same bounds, so every value fits.
        self.histogram.add(&other.histogram).expect("distributions of one kind");
        self.sum = self.sum.saturating_add(other.sum);
    }

    /// How many values there were.
    pub fn count(&self) -> u64 {
        self.histogram.len()
    }

    /// Their sum.
    pub fn sum(&self) -> u64 {
        self.sum
    }

    /// How many were at most this, within one percent of it.
    pub fn count_up_to(&self, value: u64) -> u64 {
        self.histogram.count_between(0, value.min(self.histogram.high()))
    }

    /// The value that `percent` of a hundred don't exceed; 0 when there is none.
    pub fn percentile(&self, percent: f64) -> u64 {
        match self.count() {
            0 => 0,
            // The edge of its bucket can lie above the largest value there was.
            _ => self.histogram.value_at_percentile(percent).min(self.histogram.max()),
        }
    }

    /// The largest value; 0 when there is none.
    pub fn max(&self) -> u64 {
        self.histogram.max()
    }

    fn up_to(highest: u64) -> Self {
        let histogram = Histogram::new_with_bounds(1, highest, DIGITS).expect("fixed bounds");
        Self { histogram, sum: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merged_is_as_if_recorded_in_one_place() {
        let (mut all, mut odd, mut even) = (
            Distribution::of_durations(),
            Distribution::of_durations(),
            Distribution::of_durations(),
        );
        for value in 1..=10_000 {
            all.record(value);
            if value % 2 == 0 { even.record(value) } else { odd.record(value) }
        }
        odd.merge(&even);
        assert_eq!((odd.count(), odd.sum()), (all.count(), all.sum()));
        assert_eq!(odd.percentile(99.0), all.percentile(99.0));
        let p50 = all.percentile(50.0);
        assert!((4_950..=5_050).contains(&p50), "{p50}");
        assert!((990..=1_010).contains(&all.count_up_to(1_000)));
    }

    #[test]
    fn nothing_is_too_large_or_too_few() {
        let mut lone = Distribution::of_sizes();
        assert_eq!((lone.percentile(99.9), lone.max(), lone.count_up_to(u64::MAX)), (0, 0, 0));
        lone.record(u64::MAX);
        assert_eq!((lone.count(), lone.count_up_to(u64::MAX)), (1, 1));
        lone.record_duration(Duration::MAX);
        assert_eq!(lone.sum(), u64::MAX);
    }
}
