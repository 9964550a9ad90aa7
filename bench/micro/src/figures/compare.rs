//! Counts beside stored ones.

use std::{collections::BTreeMap, fmt::Write as _};

/// A difference up to here is none: what the compiler lays out anew when other code changes.
const TOLERANCE_PERCENT: u128 = 2;

/// What a difference means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// As stored.
    Same,
    /// More instructions.
    Slower,
    /// Fewer: store them, or the next slowdown hides in what was gained.
    Faster,
    /// Nothing is stored.
    New,
    /// It is stored, and no such scenario is there.
    Gone,
}

/// One scenario.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// Its name.
    pub name: String,
    /// Instructions of a round, now.
    pub counted: Option<u64>,
    /// Instructions of a round, as stored.
    pub stored: Option<u64>,
}

impl Line {
    /// What it means.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        let (Some(stored), Some(counted)) = (self.stored, self.counted) else {
            return if self.stored.is_none() { Verdict::New } else { Verdict::Gone };
        };
        // In whole numbers, so that the edge is sharp.
        let apart = u128::from(counted.abs_diff(stored)) * 100;
        match apart > u128::from(stored) * TOLERANCE_PERCENT {
            false => Verdict::Same,
            true if counted > stored => Verdict::Slower,
            true => Verdict::Faster,
        }
    }

    /// As a part of what is stored.
    fn difference(&self) -> Option<f64> {
        let (counted, stored) = (self.counted? as f64, self.stored? as f64);
        Some(counted / stored - 1.0)
    }
}

/// Puts both beside each other, by name.
#[must_use]
pub fn compare(counted: &BTreeMap<String, u64>, stored: &BTreeMap<String, u64>) -> Vec<Line> {
    let mut names: Vec<_> = counted.keys().chain(stored.keys()).collect();
    names.sort();
    names.dedup();
    names
        .into_iter()
        .map(|name| Line {
            name: name.clone(),
            counted: counted.get(name).copied(),
            stored: stored.get(name).copied(),
        })
        .collect()
}

/// As a table to read.
#[must_use]
pub fn table(lines: &[Line]) -> String {
    let mut out = format!("{:<16} {:>14} {:>14}\n", "a round of", "instructions", "stored");
    for line in lines {
        let number = |count: Option<u64>| count.map_or("–".to_owned(), |count| count.to_string());
        let difference = line.difference().map(|part| format!("{:+.2} %", part * 100.0));
        let word = match line.verdict() {
            Verdict::Same => "",
            Verdict::Slower => "  SLOWER",
            Verdict::Faster => "  FASTER",
            Verdict::New => "  NOT STORED",
            Verdict::Gone => "  NO SUCH SCENARIO",
        };
        let (counted, stored) = (number(line.counted), number(line.stored));
        let difference = difference.unwrap_or_default();
        let _ = writeln!(out, "{:<16} {counted:>14} {stored:>14} {difference:>9}{word}", line.name);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(counts: &[(&str, u64)]) -> BTreeMap<String, u64> {
        counts.iter().map(|&(name, count)| (name.to_owned(), count)).collect()
    }

    fn verdict(counted: u64, stored: u64) -> Verdict {
        compare(&figures(&[("a", counted)]), &figures(&[("a", stored)]))[0].verdict()
    }

    #[test]
    fn two_in_a_hundred_are_let_pass_either_way() {
        assert_eq!(verdict(1_020, 1_000), Verdict::Same);
        assert_eq!(verdict(1_021, 1_000), Verdict::Slower);
        assert_eq!(verdict(980, 1_000), Verdict::Same);
        assert_eq!(verdict(979, 1_000), Verdict::Faster);
        assert_eq!(verdict(1, 0), Verdict::Slower);
    }

    #[test]
    fn what_only_one_side_has_is_told() {
        let lines = compare(&figures(&[("new", 7)]), &figures(&[("gone", 7)]));
        assert_eq!(lines[0].verdict(), Verdict::Gone);
        assert_eq!(lines[1].verdict(), Verdict::New);
        let table = table(&lines);
        assert!(table.contains("NO SUCH SCENARIO") && table.contains("NOT STORED"), "{table}");
    }
}
