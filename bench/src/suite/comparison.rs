//! Runs side by side: medians, spread, and ratios to the first.

use std::fmt::Write as _;

use sluice_proto::units::format_size;

use crate::result::{RunResult, SuiteResult};
use crate::suite::{Figure, median};

/// A table for people: `median (low–high)` of each run, and of its ratio to the first one, taken
/// round by round. What has no value is shown as `–`.
pub fn text(result: &SuiteResult) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "{} rounds, order turned about; median (low–high)", result.rounds);
    let width = result.runs.iter().map(|run| run.name.chars().count()).max().unwrap_or_default();
    for figure in COMPARED.iter().filter_map(|name| Figure::named(name)) {
        if result.runs.iter().all(|run| values(run, figure).is_empty()) {
            continue;
        }
        let _ = writeln!(out, "{} {}", figure.name, figure.unit);
        for (nth, run) in result.runs.iter().enumerate() {
            let _ = write!(out, "  {:width$}  {}", run.name, spread(of(&values(run, figure))));
            if nth > 0 {
                let first = &result.runs[0];
                let ratios = ratios(&values(run, figure), &values(first, figure));
                let _ = write!(out, "   ÷ {}: {}", first.name, spread(ratios));
            }
            out.push('\n');
        }
    }
    result.runs.iter().for_each(|run| notes(&mut out, run));
    for missing in &result.missing {
        let _ = writeln!(out, "{} is missing: {}", missing.run, missing.why);
    }
    out
}

/// `median (low–high)`, or `–` if there is nothing.
pub fn spread(mut values: Vec<f64>) -> String {
    values.sort_by(f64::total_cmp);
    match (median(&values), values.first(), values.last()) {
        (Some(median), Some(low), Some(high)) => format!("{median:.3} ({low:.3}–{high:.3})"),
        _ => "–".into(),
    }
}

const COMPARED: &[&str] = &[
    "gb_per_s",
    "server_cpu_s_per_gb",
    "server_user_s_per_gb",
    "server_system_s_per_gb",
    "server_cpus_busy",
    "client_cpu_s_per_gb",
    "syscalls_per_gb",
    "switches_per_gb",
    "ack_p50_ms",
    "ack_p95_ms",
    "ack_p99_ms",
    "upload_p50_ms",
    "disk_written_per_byte",
];

/// Of the rounds that have one.
fn values(run: &RunResult, figure: &Figure) -> Vec<(usize, f64)> {
    let repeats = run.repeats.iter();
    repeats.filter_map(|repeat| Some((repeat.round, figure.of(run, repeat)?))).collect()
}

fn of(values: &[(usize, f64)]) -> Vec<f64> {
    values.iter().map(|&(_, value)| value).collect()
}

/// Of the rounds that both have; nothing by nothing is none.
fn ratios(mine: &[(usize, f64)], theirs: &[(usize, f64)]) -> Vec<f64> {
    let ratio = |&(round, value): &(usize, f64)| {
        let (_, by) = theirs.iter().find(|(nth, _)| *nth == round)?;
        Some(value / by).filter(|ratio| ratio.is_finite())
    };
    mine.iter().filter_map(ratio).collect()
}

/// What has no median: the highest memory, all refusals, and rounds that say little of the server.
fn notes(out: &mut String, run: &RunResult) {
    let peaks = run.repeats.iter().filter_map(|repeat| Some(repeat.server?.rss_peak_bytes));
    let peak = peaks.max().unwrap_or_default();
    let refusals: u64 =
        run.repeats.iter().flat_map(|repeat| repeat.outcome.refusals.values()).sum();
    let bound = run.repeats.iter().filter(|repeat| repeat.client_bound.is_some()).count();
    let _ = writeln!(
        out,
        "{}: {} of server memory at most, {refusals} refusals, client-bound in {bound} of {} rounds",
        run.name,
        format_size(peak),
        run.repeats.len(),
    );
    for repeat in &run.repeats {
        if let Some(why) = &repeat.outcome.failed {
            let _ = writeln!(out, "{}: round {} FAILED: {why}", run.name, repeat.round);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::suite::figure::tests::run;

    fn result(runs: Vec<RunResult>) -> SuiteResult {
        SuiteResult { rounds: 3, runs, ..SuiteResult::default() }
    }

    #[test]
    fn ratios_are_taken_round_by_round() {
        // A machine that gets slower changes both, and not their ratio.
        let first = run("a", &[(4.0, 4.0), (2.0, 2.0), (1.0, 1.0)]);
        let second = run("b", &[(8.0, 4.0), (4.0, 2.0), (2.0, 1.0)]);
        let text = text(&result(vec![first, second]));
        let expected = "gb_per_s GB/s\n  a  2.000 (1.000–4.000)\n  b  4.000 (2.000–8.000)   \
                        ÷ a: 2.000 (2.000–2.000)\n";
        assert!(text.contains(expected), "{text}");
        assert!(text.contains("a: 0 B of server memory at most, 0 refusals"), "{text}");
    }

    #[test]
    fn nothing_by_nothing_is_shown_as_nothing() {
        let (first, second) = (run("a", &[(0.0, 0.0)]), run("b", &[(0.0, 0.0)]));
        let text = text(&result(vec![first, second]));
        assert!(text.contains("  b  0.000 (0.000–0.000)   ÷ a: –\n"), "{text}");
        assert!(!text.contains("NaN") && !text.contains("server_cpu_s_per_gb"), "{text}");
    }

    #[test]
    fn a_round_that_failed_is_told_and_left_out() {
        let mut first = run("a", &[(1.0, 1.0), (3.0, 1.0)]);
        first.repeats[1].outcome.failed = Some("an ack was lost".into());
        let text = text(&result(vec![first]));
        assert!(text.contains("  a  1.000 (1.000–1.000)\n"), "{text}");
        assert!(text.contains("a: round 1 FAILED: an ack was lost"), "{text}");
    }
}
