//! Sizes and durations as people write them: the same in every command and setting.

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
    ("t", 1 << 40),
    ("tib", 1 << 40),
    ("tb", 1_000_000_000_000),
];

const DURATION_UNITS: &[(&str, u64)] =
    &[("ms", 1), ("s", 1_000), ("min", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

/// Reads a size: `4 GiB`, `256M` (binary too), `1.5g`, `100 MB` (decimal), `4096`. In bytes.
///
/// `None` when it isn't one, or is above `i64::MAX`, the most that the contract can tell.
pub fn parse_size(text: &str) -> Option<u64> {
    parse(text, SIZE_UNITS).filter(|&bytes| bytes <= i64::MAX as u64)
}

/// Reads a duration of whole milliseconds: `250ms`, `10 s`, `5min`, `24h`, `7 d`.
///
/// `None` when it isn't one, or has no unit.
pub fn parse_duration(text: &str) -> Option<Duration> {
    parse(text, DURATION_UNITS).map(Duration::from_millis)
}

/// Writes a size for people, in binary units: `4.0 GiB`, `512 B`.
pub fn format_size(bytes: u64) -> String {
    let mut value = bytes as f64;
    let mut units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"].into_iter();
    let mut unit = units.next().unwrap_or_default();
    while value >= 1024.0
        && let Some(next) = units.next()
    {
        (value, unit) = (value / 1024.0, next);
    }
    match unit {
        "B" => format!("{bytes} B"),
        _ => format!("{value:.1} {unit}"),
    }
}

/// Writes a size so that [`parse_size`] reads the same back: `4 GiB`, `1000`.
pub fn format_size_exact(bytes: u64) -> String {
    for (unit, scale) in [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)] {
        if bytes > 0 && bytes.is_multiple_of(scale) {
            return format!("{} {unit}", bytes / scale);
        }
    }
    bytes.to_string()
}

/// Writes a duration so that [`parse_duration`] reads the same back: `24 h`, `250 ms`.
pub fn format_duration(duration: Duration) -> String {
    let ms = duration.as_millis() as u64;
    let fits = DURATION_UNITS.iter().rev().find(|(_, scale)| ms > 0 && ms.is_multiple_of(*scale));
    let (unit, scale) = fits.unwrap_or(&("ms", 1));
    format!("{} {unit}", ms / scale)
}

fn parse(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (amount, unit) = text.split_at(end);
    let unit = unit.trim_start().to_ascii_lowercase();
    let &(_, scale) = units.iter().find(|(name, _)| *name == unit)?;
    if let Ok(whole) = amount.parse::<u64>() {
        return whole.checked_mul(scale);
    }
    let (whole, fraction) = amount.split_once('.')?;
    let whole = number::<u64>(whole)?.checked_mul(scale)?;
    // More digits than this say nothing of a size, and would overflow.
    let fraction = fraction.get(..fraction.len().min(9)).filter(|digits| !digits.is_empty())?;
    let part = u128::from(number::<u64>(fraction)?) * u128::from(scale);
    whole.checked_add((part / 10_u128.pow(fraction.len() as u32)) as u64)
}

/// A number of digits alone: `parse` by itself would also take a sign.
pub fn number<T: std::str::FromStr>(text: &str) -> Option<T> {
    let text = text.trim();
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_with_either_kind_of_unit() {
        let read = [
            ("4 GiB", 4 << 30),
            ("256M", 256 << 20),
            ("1.5g", 3 << 29),
            ("100 MB", 100_000_000),
            ("4096", 4096),
            (" 0.5 KiB ", 512),
        ];
        for (text, bytes) in read {
            assert_eq!(parse_size(text), Some(bytes), "{text}");
        }
        for bad in ["", "GiB", "-1", "+1", "4 Gibi", "1.M", ".5 M", "1..5M", "1e9", "99999999 TiB"]
        {
            assert_eq!(parse_size(bad), None, "{bad}");
        }
    }

    #[test]
    fn durations_need_their_unit() {
        let read = [("250ms", 250), ("10 s", 10_000), ("5min", 300_000), ("1.5 h", 5_400_000)];
        for (text, ms) in read {
            assert_eq!(parse_duration(text), Some(Duration::from_millis(ms)), "{text}");
        }
        for bad in ["", "10", "5 m", "-1 s", "ten s"] {
            assert_eq!(parse_duration(bad), None, "{bad}");
        }
    }

    #[test]
    fn what_is_written_exactly_reads_the_same() {
        for bytes in [0, 1, 1000, 1 << 10, 3 << 30, (1 << 40) + 1, i64::MAX as u64] {
            assert_eq!(parse_size(&format_size_exact(bytes)), Some(bytes));
        }
        for ms in [0, 1, 1_500, 60_000, 86_400_000] {
            let duration = Duration::from_millis(ms);
            assert_eq!(parse_duration(&format_duration(duration)), Some(duration));
        }
    }
}
