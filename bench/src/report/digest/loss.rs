//! Where Sluice loses, found in the figures: nobody is asked.

use crate::report::digest::gap::Gap;
use crate::report::digest::{Cell, Digest, RunDigest, Spread};
use crate::result::GateResult;

/// A figure in which servers are held against each other.
pub struct Contest {
    /// Its name.
    pub figure: &'static str,
    /// What a reader calls it.
    pub label: &'static str,
    /// Whether more is better.
    pub more_is_better: bool,
}

/// All of them.
pub const CONTESTS: &[Contest] = &[
    Contest { figure: "gb_per_s", label: "Throughput", more_is_better: true },
    Contest { figure: "server_cpu_s_per_gb", label: "CPU per GB", more_is_better: false },
    Contest { figure: "ack_p99_ms", label: "p99 ack", more_is_better: false },
    Contest { figure: "rss_peak_bytes", label: "Peak memory", more_is_better: false },
];

/// Another server did better than Sluice did.
pub struct Beaten<'a, 'd> {
    /// In what.
    pub contest: &'static Contest,
    /// Sluice, in one of the ways that it ran.
    pub sluice: &'d RunDigest<'a>,
    /// Who did better.
    pub other: &'d RunDigest<'a>,
    /// How many times better, round by round: above 1.
    pub times: Spread,
}

impl Beaten<'_, '_> {
    /// Whether it did so in every round: else it may be chance.
    pub fn in_every_round(&self) -> bool {
        self.times.low > 1.0
    }

    /// Whether the same client put the load on: else part of the difference is the client's.
    pub fn same_client(&self) -> bool {
        self.sluice.run.client == self.other.run.client
    }
}

/// Gates that aren't met, each with how far it is off, as far as that is known.
pub fn gates_missed<'a>(digest: &Digest<'a>) -> Vec<(&'a GateResult, Option<Gap>)> {
    let missed = digest.result.gates.iter().filter(|gate| !gate.met);
    missed.map(|gate| (gate, Gap::of(gate))).collect()
}

/// Comparisons that there are in a figure with servers that `rival` picks, lost or not.
pub fn comparisons<'a>(
    digest: &Digest<'a>,
    contest: &Contest,
    rival: fn(&RunDigest<'a>) -> bool,
) -> usize {
    let there = |cell: &Cell<'a, '_>| {
        let pairs = cell.sluice().flat_map(|sluice| {
            cell.runs.iter().filter(|run| rival(run)).map(move |run| (sluice, *run))
        });
        pairs.filter(|(sluice, other)| times(contest, sluice, other).is_some()).count()
    };
    digest.cells().iter().map(there).sum()
}

/// Every comparison that Sluice lost to a server that `rival` picks, the worst first.
pub fn beaten<'a, 'd>(
    digest: &'d Digest<'a>,
    rival: fn(&RunDigest<'a>) -> bool,
) -> Vec<Beaten<'a, 'd>> {
    let mut beaten = Vec::new();
    for cell in digest.cells() {
        for sluice in cell.sluice() {
            for other in cell.runs.iter().copied().filter(|run| rival(run)) {
                beaten.extend(CONTESTS.iter().filter_map(|contest| lost(contest, sluice, other)));
            }
        }
    }
    beaten.sort_by(|a, b| b.times.median.total_cmp(&a.times.median));
    beaten
}

fn lost<'a, 'd>(
    contest: &'static Contest,
    sluice: &'d RunDigest<'a>,
    other: &'d RunDigest<'a>,
) -> Option<Beaten<'a, 'd>> {
    let times = times(contest, sluice, other)?;
    (times.median > 1.0).then_some(Beaten { contest, sluice, other, times })
}

/// How many times better the other did.
fn times(contest: &Contest, sluice: &RunDigest<'_>, other: &RunDigest<'_>) -> Option<Spread> {
    // An open loop's throughput is the client's choice.
    if sluice.is_open() && contest.figure == "gb_per_s" {
        return None;
    }
    match contest.more_is_better {
        true => other.ratio(sluice, contest.figure),
        false => sluice.ratio(other, contest.figure),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::{RunResult, SuiteResult};
    use crate::suite::figure::tests::run;

    fn peer(name: &str, kind: &str, repeats: &[(f64, f64)]) -> RunResult {
        RunResult { server: kind.into(), ..run(name, repeats) }
    }

    #[test]
    fn every_comparison_that_is_lost_is_found() {
        let runs = vec![
            run("sluice", &[(2.0, 1.0), (2.0, 1.0)]),
            peer("faster", "tonic-tuned", &[(3.0, 3.0), (1.9, 1.9)]),
            peer("slower", "tonic-stock", &[(1.0, 2.0), (1.0, 2.0)]),
            peer("limit", "sink", &[(4.0, 1.0), (4.0, 1.0)]),
        ];
        let result = SuiteResult { runs, ..SuiteResult::default() };
        let digest = Digest::new(&result);
        let lost = beaten(&digest, RunDigest::is_peer);
        assert_eq!(lost.len(), 1);
        assert_eq!(
            (lost[0].contest.figure, lost[0].other.run.name.as_str()),
            ("gb_per_s", "faster")
        );
        assert!(!lost[0].in_every_round() && lost[0].same_client());

        let limits = beaten(&digest, RunDigest::is_limit);
        let figures: Vec<&str> = limits.iter().map(|beaten| beaten.contest.figure).collect();
        assert_eq!(figures, ["gb_per_s", "server_cpu_s_per_gb"]);
        assert!(limits[0].in_every_round());
    }

    #[test]
    fn gates_without_a_value_are_missed_too() {
        let gate = |name: &str, value, met| GateResult {
            name: name.into(),
            goal: "<= 1".into(),
            value,
            met,
            ..GateResult::default()
        };
        let gates = vec![
            gate("met", Some(0.5), true),
            gate("missed", Some(1.5), false),
            gate("unknown", None, false),
        ];
        let result = SuiteResult { gates, ..SuiteResult::default() };
        let missed = gates_missed(&Digest::new(&result));
        assert_eq!(missed.len(), 2);
        assert_eq!(missed[0].1.unwrap().beyond, 0.5);
        assert!(missed[1].1.is_none());
    }
}
