//! Numbers as people read them: three digits that count, and a dash for what is none.

use sluice_proto::units::format_size;

/// Shown where there is no value.
pub const NONE: &str = "–";

/// Three digits that count, more where the number is whole: `0.123`, `12.3`, `1,234`.
pub fn short(value: f64) -> String {
    if !value.is_finite() {
        return NONE.into();
    }
    let size = value.abs();
    if size >= 999.5 {
        return grouped(value);
    }
    // Below this a figure of a bench is nothing.
    if size < 5e-7 {
        return "0".into();
    }
    // By what is left after rounding: 9.999 is 10.0.
    let digits = size.log10().floor();
    let rounded = (size / 10f64.powf(digits - 2.0)).round() * 10f64.powf(digits - 2.0);
    let decimals = (2.0 - rounded.log10().floor()).clamp(0.0, 6.0) as usize;
    format!("{value:.decimals$}")
}

/// With its unit; bytes become KiB or MiB.
pub fn with_unit(value: f64, unit: &str) -> String {
    match unit {
        _ if !value.is_finite() => NONE.into(),
        "bytes" if value < 0.0 => format!("−{}", format_size(-value as u64)),
        "bytes" => format_size(value as u64),
        "" => short(value),
        _ if unit.starts_with('/') => format!("{}{unit}", short(value)),
        _ => format!("{} {unit}", short(value)),
    }
}

/// A count, in groups of three digits.
pub fn count(count: u64) -> String {
    let digits = count.to_string();
    let mut out = String::new();
    for (nth, digit) in digits.chars().enumerate() {
        if nth > 0 && (digits.len() - nth).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A part of a whole: `0.03 %`.
pub fn percent(part: f64) -> String {
    match part.is_finite() {
        true => format!("{} %", short(part * 100.0)),
        false => NONE.into(),
    }
}

/// Seconds: `850 ms`, `3.2 s`, `12 min 5 s`.
pub fn time(seconds: f64) -> String {
    match seconds {
        s if !s.is_finite() || s < 0.0 => NONE.into(),
        s if s < 1.0 => format!("{:.0} ms", s * 1e3),
        s if s < 120.0 => format!("{} s", short(s)),
        s if s < 7200.0 => format!("{} min {} s", s as u64 / 60, s as u64 % 60),
        s => format!("{} h {} min", s as u64 / 3600, s as u64 / 60 % 60),
    }
}

fn grouped(value: f64) -> String {
    let sign = if value < 0.0 { "−" } else { "" };
    format!("{sign}{}", count(value.abs().round() as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_digits_count() {
        let shown = [
            (0.0, "0"),
            (0.000_314, "0.000314"),
            (0.12345, "0.123"),
            (1.0, "1.00"),
            (9.999, "10.0"),
            (99.96, "100"),
            (999.6, "1,000"),
            (1_234_567.0, "1,234,567"),
            (-0.5, "-0.500"),
            (f64::NAN, "–"),
            (f64::INFINITY, "–"),
        ];
        for (value, text) in shown {
            assert_eq!(short(value), text);
        }
    }

    #[test]
    fn units_stand_behind() {
        assert_eq!(with_unit(1.5, "GB/s"), "1.50 GB/s");
        assert_eq!(with_unit(7.0 * 1024.0, "bytes"), "7.0 KiB");
        assert_eq!(with_unit(-2048.0, "bytes"), "−2.0 KiB");
        assert_eq!(with_unit(5300.0, "/GB"), "5,300/GB");
        assert_eq!(with_unit(f64::NAN, "ms"), "–");
        assert_eq!(percent(0.001), "0.100 %");
        assert_eq!(time(725.0), "12 min 5 s");
        assert_eq!(time(0.25), "250 ms");
    }
}
