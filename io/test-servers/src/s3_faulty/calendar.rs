//! Dates as S3 writes them.

use std::time::{SystemTime, UNIX_EPOCH};

const DAY_S: i64 = 86_400;

/// Seconds since 1970.
pub(crate) fn now_s() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    i64::try_from(since.map_or(0, |since| since.as_secs())).unwrap_or(i64::MAX)
}

/// `20261127T101500Z`, in seconds since 1970.
pub(super) fn from_basic(text: &str) -> Option<i64> {
    let number = |from: usize, to: usize| text.get(from..to)?.parse::<i64>().ok();
    let shaped = text.len() == 16 && text.as_bytes()[8] == b'T' && text.ends_with('Z');
    let days = days_of(number(0, 4)?, number(4, 6)?, number(6, 8)?);
    let seconds = number(9, 11)? * 3_600 + number(11, 13)? * 60 + number(13, 15)?;
    shaped.then_some(days * DAY_S + seconds)
}

/// `20261127T101500Z`.
pub(super) fn basic(at_s: i64) -> String {
    extended(at_s).replace(['-', ':'], "").replace(".000", "")
}

/// `2026-11-27T10:15:00.000Z`.
pub(crate) fn extended(at_s: i64) -> String {
    let (year, month, day) = date_of(at_s.div_euclid(DAY_S));
    let second = at_s.rem_euclid(DAY_S);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.000Z")
}

/// `Fri, 27 Nov 2026 10:15:00 GMT`.
pub(super) fn http(at_s: i64) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let days = at_s.div_euclid(DAY_S);
    let (year, month, day) = date_of(days);
    let name = DAYS[usize::try_from(days.rem_euclid(7)).unwrap_or(0)];
    let month = MONTHS[usize::try_from(month - 1).unwrap_or(0)];
    let time = &extended(at_s)[11..19];
    format!("{name}, {day:02} {month} {year:04} {time} GMT")
}

/// Days since 1970 of a date, by the civil calendar (Hinnant, "chrono-compatible date algorithms").
fn days_of(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

fn date_of(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let years = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * years + years / 4 - years / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (years + era * 400 + i64::from(month <= 2), month, day)
}

#[test]
fn dates_are_those_of_the_calendar() {
    // `date -u -d @1795774500`.
    let at_s = 1_795_774_500;
    assert_eq!(extended(at_s), "2026-11-27T10:15:00.000Z");
    assert_eq!(basic(at_s), "20261127T101500Z");
    assert_eq!(http(at_s), "Fri, 27 Nov 2026 10:15:00 GMT");
    for at_s in [0, 951_782_399, 951_782_400, 951_868_800, 4_107_542_399] {
        assert_eq!(from_basic(&basic(at_s)), Some(at_s));
    }
    assert_eq!(from_basic("2026-11-27T10:15"), None);
}
