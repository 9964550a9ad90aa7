//! Runs of several servers side by side: medians, spread, and ratios to the first.

use std::fmt::Write as _;

use serde::Serialize;

use crate::report::Report;
use sluice_proto::units::format_size;

/// All runs of one variant, by round.
#[derive(Debug, Clone, Serialize)]
pub struct Runs {
    /// The variant.
    pub name: String,
    /// One report a round.
    pub reports: Vec<Report>,
}

/// The middle of some runs, and how far they lie apart.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Spread {
    median: f64,
    low: f64,
    high: f64,
}

impl Spread {
    fn of(mut values: Vec<f64>) -> Self {
        assert!(!values.is_empty(), "there is at least one round");
        values.sort_by(f64::total_cmp);
        let middle = values.len() / 2;
        let median = match values.len().is_multiple_of(2) {
            true => (values[middle - 1] + values[middle]) / 2.0,
            false => values[middle],
        };
        Self { median, low: values[0], high: values[values.len() - 1] }
    }
}

/// A figure of a report that is compared.
struct Figure {
    name: &'static str,
    of: fn(&Report) -> f64,
}

const FIGURES: &[Figure] = &[
    Figure { name: "GB/s", of: |report| report.gb_per_s },
    Figure { name: "server CPU s/GB", of: |report| server(report, |side| side.cpu_s_per_gb) },
    Figure { name: "server CPUs busy", of: |report| server(report, |side| side.cpus_busy) },
    Figure { name: "client CPU s/GB", of: |report| report.client.cpu_s_per_gb },
    Figure { name: "ack p50 ms", of: |report| report.ack.p50_ms },
    Figure { name: "ack p95 ms", of: |report| report.ack.p95_ms },
    Figure { name: "ack p99 ms", of: |report| report.ack.p99_ms },
    Figure { name: "ending ack p50 ms", of: |report| report.ending_ack.p50_ms },
    Figure { name: "upload p50 ms", of: |report| report.upload.p50_ms },
];

fn server(report: &Report, of: impl FnOnce(&super::Side) -> f64) -> f64 {
    report.server.as_ref().map_or(f64::NAN, of)
}

/// A table for people: `median (low–high)` of each variant, and of its ratio to the first one,
/// taken round by round.
pub fn text(runs: &[Runs]) -> String {
    let mut out = String::new();
    let first = runs.first().expect("there is at least one variant");
    let _ = writeln!(out, "{} rounds, order turned about; median (low–high)", first.reports.len());
    let name_width = runs.iter().map(|runs| runs.name.len()).max().unwrap_or_default();
    for figure in FIGURES {
        let _ = writeln!(out, "{}", figure.name);
        for (nth, variant) in runs.iter().enumerate() {
            let values = variant.reports.iter().map(figure.of).collect();
            let _ = write!(out, "  {:name_width$}  {}", variant.name, shown(Spread::of(values)));
            if nth > 0 {
                let _ =
                    write!(out, "   ÷ {}: {}", first.name, shown(ratio(figure, variant, first)));
            }
            out.push('\n');
        }
    }
    for variant in runs {
        notes(&mut out, variant);
    }
    out
}

fn ratio(figure: &Figure, variant: &Runs, first: &Runs) -> Spread {
    let pairs = variant.reports.iter().zip(&first.reports);
    Spread::of(pairs.map(|(mine, theirs)| (figure.of)(mine) / (figure.of)(theirs)).collect())
}

fn shown(Spread { median, low, high }: Spread) -> String {
    format!("{median:.3} ({low:.3}–{high:.3})")
}

/// What has no median: the highest memory, all refusals, and runs that say nothing of the server.
fn notes(out: &mut String, variant: &Runs) {
    let memory = variant.reports.iter().filter_map(|report| report.server_memory);
    let high = memory.map(|memory| memory.high_water_bytes).max().unwrap_or_default();
    let refusals: u64 =
        variant.reports.iter().map(|report| report.refusals.values().sum::<u64>()).sum();
    let bound = variant.reports.iter().filter(|report| report.client_bound.is_some()).count();
    let _ = writeln!(
        out,
        "{}: {} of server memory at most, {refusals} refusals, client-bound in {bound} of {} rounds",
        variant.name,
        format_size(high),
        variant.reports.len(),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        let spread = |values: &[f64]| Spread::of(values.to_vec());
        assert_eq!(spread(&[3.0, 1.0, 2.0]), Spread { median: 2.0, low: 1.0, high: 3.0 });
        assert_eq!(spread(&[4.0, 1.0, 2.0, 3.0]).median, 2.5);
    }

    #[test]
    fn ratios_are_taken_round_by_round() {
        // A machine that gets slower changes both, and not their ratio.
        let runs = |name: &str, speeds: &[f64]| Runs {
            name: name.into(),
            reports: speeds
                .iter()
                .map(|&gb_per_s| Report { gb_per_s, ..crate::report::tests::report() })
                .collect(),
        };
        let (first, second) = (runs("a", &[4.0, 2.0, 1.0]), runs("b", &[8.0, 4.0, 2.0]));
        let spread = ratio(&FIGURES[0], &second, &first);
        assert_eq!(spread, Spread { median: 2.0, low: 2.0, high: 2.0 });
        let text = text(&[first, second]);
        let expected = "GB/s\n  a  2.000 (1.000–4.000)\n  b  4.000 (2.000–8.000)   \
                        ÷ a: 2.000 (2.000–2.000)\n";
        assert!(text.contains(expected), "{text}");
        assert!(text.contains("a: 120.0 MiB of server memory at most, 3 refusals"), "{text}");
    }
}
