//! A result as plain text, for a terminal: the same verdicts as the page, without its pictures.

use std::fmt::Write as _;

use sluice_proto::units::format_size;

use crate::report::digest::gap::{self, Gap};
use crate::report::digest::loss::{self, Beaten};
use crate::report::digest::{Digest, RunDigest, Spread};
use crate::report::number::{NONE, short, time, with_unit};
use crate::result::{GateResult, SuiteResult};

/// Some screens, the last line with its newline.
pub fn suite_text(result: &SuiteResult) -> String {
    let digest = Digest::new(result);
    let mut out = String::new();
    head(&mut out, &digest);
    runs(&mut out, &digest);
    gates(&mut out, &digest);
    losses(&mut out, &digest);
    out
}

fn head(out: &mut String, digest: &Digest<'_>) {
    let (result, verdict) = (digest.result, digest.verdict());
    let machine = &result.machine;
    let dirty = if machine.dirty { ", tree has changes" } else { "" };
    let _ = writeln!(out, "{}: {}", result.suite, result.about);
    let _ = writeln!(
        out,
        "commit {}{dirty}; {} with {} CPUs: servers on {}, clients on {}; took {}",
        machine.commit,
        machine.kernel,
        machine.cpus,
        machine.server_cpus,
        machine.client_cpus,
        time(result.seconds),
    );
    let _ = writeln!(
        out,
        "gates met {} of {}; runs verified {} of {}; {} of {} repeats failed",
        verdict.gates_met,
        verdict.gates,
        verdict.runs_verified,
        verdict.runs,
        verdict.repeats_failed,
        verdict.repeats,
    );
}

fn runs(out: &mut String, digest: &Digest<'_>) {
    if digest.runs.is_empty() {
        return;
    }
    let head = ["", "GB/s", "CPU s/GB", "client s/GB", "p99 ack ms", "peak RSS", ""];
    let mut rows = vec![head.map(str::to_owned)];
    rows.extend(digest.runs.iter().map(|run| {
        let of = |figure| spread(run.spread(figure), short);
        let memory = spread(run.spread("rss_peak_bytes"), |bytes| format_size(bytes as u64));
        [
            run.run.name.clone(),
            of("gb_per_s"),
            of("server_cpu_s_per_gb"),
            of("client_cpu_s_per_gb"),
            of("ack_p99_ms"),
            memory,
            remarks(run),
        ]
    }));
    let _ = writeln!(out, "\nruns, median (low–high) of the repeats that count");
    table(out, &rows);
}

fn remarks(run: &RunDigest<'_>) -> String {
    let mut told = Vec::new();
    if run.client_bound().is_some() {
        told.push("client-bound".to_owned());
    }
    match run.failed().count() {
        0 => {}
        failed => told.push(format!("{failed} FAILED")),
    }
    told.join(", ")
}

fn gates(out: &mut String, digest: &Digest<'_>) {
    let gates = &digest.result.gates;
    if gates.is_empty() {
        return;
    }
    let _ = writeln!(out, "\ngates");
    let rows: Vec<[String; 5]> = gates.iter().map(gate).collect();
    table(out, &rows);
}

fn gate(gate: &GateResult) -> [String; 5] {
    let unit = gap::unit(gate);
    let range = gate.low.zip(gate.high).filter(|_| gate.value.is_some());
    let range = range.map_or(String::new(), |(low, high)| {
        format!(" ({}–{})", with_unit(low, unit), with_unit(high, unit))
    });
    let value = gate.value.map_or(NONE.into(), |value| with_unit(value, unit));
    let amount = match Gap::of(gate) {
        Some(gap) if gate.met => gap.spare(),
        Some(gap) => gap.text(),
        None => String::new(),
    };
    let note = gate.note.as_ref().map_or(amount.clone(), |note| format!("{amount} {note}"));
    [
        if gate.met { "met" } else { "MISSED" }.into(),
        gate.name.clone(),
        gap::goal(gate),
        format!("{value}{range}"),
        note.trim().to_owned(),
    ]
}

fn losses(out: &mut String, digest: &Digest<'_>) {
    let beaten = loss::beaten(digest, RunDigest::is_peer);
    if !beaten.is_empty() {
        let _ = writeln!(out, "\npeers that did better");
        table(out, &beaten.iter().map(lost).collect::<Vec<_>>());
    }
    let failed = digest.runs.iter().flat_map(|run| {
        run.failed().map(|(round, why)| format!("{} failed in round {round}: {why}", run.run.name))
    });
    let missing = digest.result.missing.iter();
    let missing = missing.map(|missing| format!("{} is missing: {}", missing.run, missing.why));
    let lines: Vec<String> = failed.chain(missing).collect();
    if !lines.is_empty() {
        let _ = writeln!(out, "\nnot counted\n  {}", lines.join("\n  "));
    }
}

fn lost(beaten: &Beaten<'_, '_>) -> [String; 4] {
    let mut sure = if beaten.in_every_round() { "" } else { "not in every round" }.to_owned();
    if !beaten.same_client() {
        let separator = if sure.is_empty() { "" } else { ", " };
        let _ = write!(sure, "{separator}by another client ({})", beaten.other.run.client);
    }
    let names = format!("{} by {}", beaten.sluice.run.name, beaten.other.run.name);
    let times = |times| format!("{}×", short(times));
    [beaten.contest.label.into(), names, spread(Some(beaten.times), times), sure]
}

/// `1.50 (1.40–1.60)`, or a dash.
fn spread(spread: Option<Spread>, shown: impl Fn(f64) -> String) -> String {
    match spread {
        None => NONE.into(),
        Some(one) if one.count == 1 => shown(one.median),
        Some(s) => format!("{} ({}–{})", shown(s.median), shown(s.low), shown(s.high)),
    }
}

/// Columns as wide as their widest.
fn table<const COLUMNS: usize>(out: &mut String, rows: &[[String; COLUMNS]]) {
    let width = |column: usize| {
        rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default()
    };
    let widths: [usize; COLUMNS] = std::array::from_fn(width);
    for row in rows {
        let mut line = String::new();
        for (text, width) in row.iter().zip(widths) {
            let _ = write!(line, "  {text:width$}");
        }
        let _ = writeln!(out, "{}", line.trim_end());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    #[test]
    fn what_failed_and_what_is_missing_is_told() {
        let text = suite_text(&fixture::suite());
        for told in ["MISSED", "FAILED", "not counted", "is missing", "client-bound"] {
            assert!(text.contains(told), "{told} isn't in\n{text}");
        }
        assert!(!text.contains("NaN") && !text.contains("inf "), "{text}");
    }

    #[test]
    fn a_result_of_nothing_is_told() {
        let text = suite_text(&SuiteResult::default());
        assert!(text.contains("gates met 0 of 0; runs verified 0 of 0"), "{text}");
    }
}
