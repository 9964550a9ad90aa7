//! What a suite came to, as plain text.

use std::fmt::Write as _;

use crate::result::{RunResult, SuiteResult};
use crate::suite::{Figure, comparison};

/// A line for each run and each gate.
pub fn text(result: &SuiteResult) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "{}: {}; median (low–high)", result.suite, result.about);
    let width = result.runs.iter().map(|run| run.name.len()).max().unwrap_or_default();
    for run in &result.runs {
        let _ = write!(out, "{:width$}", run.name);
        for name in SHOWN {
            let figure = Figure::named(name).expect("they are listed there");
            let _ = write!(out, "  {} {}", spread(run, figure), figure.unit);
        }
        out.push('\n');
    }
    for missing in &result.missing {
        let _ = writeln!(out, "missing: {}: {}", missing.run, missing.why);
    }
    for gate in &result.gates {
        let met = if gate.met { "met" } else { "NOT MET" };
        let value = gate.value.map_or("–".to_owned(), |value| format!("{value:.3}"));
        let note = gate.note.as_ref().map_or(String::new(), |note| format!(" ({note})"));
        let _ = writeln!(out, "{met}: {}: {value}, goal {}{note}", gate.name, gate.goal);
    }
    out
}

const SHOWN: [&str; 4] = ["gb_per_s", "server_cpu_s_per_gb", "client_cpu_s_per_gb", "ack_p99_ms"];

fn spread(run: &RunResult, figure: &Figure) -> String {
    comparison::spread(run.repeats.iter().filter_map(|repeat| figure.of(run, repeat)).collect())
}
