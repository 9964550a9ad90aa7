//! How checks are shown: a table for people, JSON for programs.

use std::fmt::Write as _;

use serde_json::json;

use crate::doctor::{Check, Outcome};

/// A table with one line a check, and below it the fix of each that needs one.
pub fn table(checks: &[Check]) -> String {
    let rows = checks.iter().map(|c| [c.outcome.as_str(), c.name, &c.found, &c.needed]);
    let rows: Vec<[&str; 4]> = [["", "CHECK", "FOUND", "NEEDED"]].into_iter().chain(rows).collect();
    let width = |column: usize| {
        rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default()
    };
    let widths = [width(0), width(1), width(2)];
    let mut table = String::new();
    for [outcome, name, found, needed] in rows {
        let [first, second, third] = widths;
        let line = format!("{outcome:first$}  {name:second$}  {found:third$}  {needed}");
        let _ = writeln!(table, "{}", line.trim_end());
    }
    for check in checks.iter().filter(|check| !check.fix.is_empty()) {
        let _ = write!(table, "\n{} {}: {}\n", check.outcome.as_str(), check.name, check.fix);
    }
    table
}

/// `{"ok": …, "checks": [{"check", "outcome", "found", "needed", "fix"}]}`, with a newline.
pub fn json(checks: &[Check]) -> String {
    let shown = checks.iter().map(|check| {
        json!({
            "check": check.name,
            "outcome": check.outcome.as_str(),
            "found": check.found,
            "needed": check.needed,
            "fix": check.fix,
        })
    });
    let ok = checks.iter().all(|check| check.outcome != Outcome::Fail);
    format!("{}\n", json!({ "ok": ok, "checks": shown.collect::<Vec<_>>() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checks() -> Vec<Check> {
        vec![
            Check::ok("kernel", "6.1", "5.11"),
            Check::ok("open files", "64", "1024").fail("ulimit -n 1024"),
        ]
    }

    #[test]
    fn the_table_lines_up_and_ends_with_the_fixes() {
        let expected = "      CHECK       FOUND  NEEDED\n\
                        OK    kernel      6.1    5.11\n\
                        FAIL  open files  64     1024\n\
                        \n\
                        FAIL open files: ulimit -n 1024\n";
        assert_eq!(table(&checks()), expected);
    }

    #[test]
    fn the_json_says_whether_all_is_well() {
        let read: serde_json::Value = serde_json::from_str(&json(&checks())).unwrap();
        assert_eq!(read["ok"], false);
        assert_eq!(read["checks"][1]["fix"], "ulimit -n 1024");
        let read: serde_json::Value = serde_json::from_str(&json(&checks()[..1])).unwrap();
        assert_eq!(read["ok"], true);
    }
}
