//! Sizes and durations as people write them, the way the server reads them too.

use std::time::Duration;

const SIZE_UNITS: &[(&str, u64)] = &[
    ("", 1),
    ("b", 1),
    ("k", 1 << 10),
    ("kib", 1 << 10),
    ("kb", 1_000),
    ("m", 1 << 20),
    ("mib", 1 << 20),
    ("mb", 1_000_000),
    ("g", 1 << 30),
    ("gib", 1 << 30),
    ("gb", 1_000_000_000),
];
const DURATION_UNITS: &[(&str, u64)] = &[("ms", 1), ("s", 1_000), ("min", 60_000)];

/// Reads a size above zero: `8 MiB`, `8M` (binary too), `100 MB` (decimal), `4096`. In bytes.
///
/// # Errors
/// What would have been one.
pub fn parse_size(text: &str) -> Result<u64, &'static str> {
    let bytes = parse(text, SIZE_UNITS).filter(|&bytes| bytes > 0 && bytes <= i64::MAX as u64);
    bytes.ok_or("not a size such as 8 MiB or 100 MB")
}

/// Reads a duration above zero: `500 ms`, `10 s`, `2 min`.
///
/// # Errors
/// What would have been one.
pub fn parse_duration(text: &str) -> Result<Duration, &'static str> {
    let ms = parse(text, DURATION_UNITS).filter(|&ms| ms > 0);
    ms.map(Duration::from_millis).ok_or("not a duration such as 10 s or 2 min")
}

/// Writes a size in the largest binary unit that leaves at least 1: `8.0 MiB`, `512 B`.
pub fn format_size(bytes: u64) -> String {
    for (unit, scale) in [("GiB", 1u64 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)] {
        if bytes >= scale {
            return format!("{:.1} {unit}", bytes as f64 / scale as f64);
        }
    }
    format!("{bytes} B")
}

fn parse(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (amount, unit) = text.split_at(end);
    let unit = unit.trim_start().to_ascii_lowercase();
    let &(_, scale) = units.iter().find(|(name, _)| *name == unit)?;
    amount.parse::<u64>().ok()?.checked_mul(scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_with_either_kind_of_unit() {
        let read = [("8 MiB", 8 << 20), ("8M", 8 << 20), ("100 MB", 100_000_000), (" 4096 ", 4096)];
        for (text, bytes) in read {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
        for bad in ["", "0", "MiB", "-1", "1.5 M", "8 Mibi", "99999999999 GiB"] {
            assert!(parse_size(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn durations_need_their_unit() {
        assert_eq!(parse_duration("500 ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse_duration("2min"), Ok(Duration::from_secs(120)));
        for bad in ["10", "0 s", "1 h", "-1 s"] {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn sizes_are_written_for_people() {
        assert_eq!(format_size(512), "512 B");
        assert_eq!(format_size(8 << 20), "8.0 MiB");
        assert_eq!(format_size((3 << 30) / 2), "1.5 GiB");
    }
}
