//! Keeps the latencies of a repeat as HdrHistogram's tools read them: one interval for each kind.

use std::fs;
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::{IntervalLogWriterBuilder, Tag};

use crate::result::Repeat;

/// Writes `file`. Times are Unix time; latencies are microseconds, their greatest milliseconds.
///
/// # Errors
/// When the file can't be written.
pub fn write(file: &Path, run: &str, repeat: &Repeat, began: SystemTime) -> io::Result<()> {
    let mut text = Vec::new();
    let mut serializer = V2DeflateSerializer::new();
    let mut builder = IntervalLogWriterBuilder::new();
    builder.add_comment(&format!("{run}, round {}; microseconds", repeat.round));
    builder.with_start_time(began).with_max_value_divisor(1_000.0);
    let mut log = builder.begin_log_with(&mut text, &mut serializer)?;
    let start = began.duration_since(UNIX_EPOCH).unwrap_or_default();
    let length = Duration::try_from_secs_f64(repeat.outcome.seconds).unwrap_or_default();
    let outcome = &repeat.outcome;
    let kinds =
        [("ack", &outcome.ack), ("ending-ack", &outcome.ending_ack), ("upload", &outcome.upload)];
    for (tag, latencies) in kinds {
        if let Some(latencies) = latencies.read() {
            log.write_histogram(&latencies, start, length, Tag::new(tag))
                .map_err(|error| io::Error::other(format!("{error:?}")))?;
        }
    }
    fs::write(file, text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::{Histogram64, Outcome};
    use hdrhistogram::Histogram;
    use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};

    #[test]
    fn what_is_written_is_read_by_others() {
        let mut latencies = Histogram::<u64>::new_with_bounds(1, 3_600_000_000, 3).unwrap();
        latencies.record(2_000).unwrap();
        let ack = Histogram64::of(&latencies);
        let outcome = Outcome { ack, seconds: 1.5, ..Outcome::default() };
        let repeat = Repeat { outcome, ..Repeat::default() };
        let file = std::env::temp_dir().join(format!("sluice-bench-{}.hlog", std::process::id()));
        write(&file, "intake", &repeat, UNIX_EPOCH + Duration::from_secs(100)).unwrap();
        let text = fs::read(&file).unwrap();
        fs::remove_file(&file).unwrap();
        let intervals: Vec<_> = IntervalLogIterator::new(&text)
            .filter_map(|entry| match entry.unwrap() {
                LogEntry::Interval(interval) => Some(interval),
                _ => None,
            })
            .collect();
        assert_eq!(intervals.len(), 1);
        assert_eq!(intervals[0].tag().unwrap().as_str(), "ack");
        assert_eq!(intervals[0].duration(), Duration::from_millis(1_500));
        assert!(intervals[0].encoded_histogram().starts_with("HISTFAAAA"));
    }
}
