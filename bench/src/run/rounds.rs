//! In which order runs take turns, and what an open loop offers.

use crate::job::{Load, Offered, Size};
use crate::result::RunResult;
use crate::suite::{Figure, median};

/// Who runs in which round, so that a drift of the machine meets all alike: the order turns about
/// from round to round (ABBA).
pub fn order(runs: usize, round: usize) -> Vec<usize> {
    let forwards = 0..runs;
    if round.is_multiple_of(2) { forwards.collect() } else { forwards.rev().collect() }
}

/// The load of a round, with the share of another run's speed worked out: of that run in the same
/// round if it was there already, else of the median of its rounds so far.
///
/// # Errors
/// When that run has no round that counts.
pub fn resolve(load: &Load, round: usize, runs: &[RunResult]) -> Result<Load, String> {
    let Some(Offered::Of { run: name, share }) = &load.offered else {
        return Ok(load.clone());
    };
    let figure = Figure::named("gb_per_s").expect("there is such a figure");
    let other = runs.iter().find(|run| run.name == *name);
    let speeds = other.into_iter().flat_map(|run| {
        run.repeats.iter().filter_map(|repeat| Some((repeat.round, figure.of(run, repeat)?)))
    });
    let speeds: Vec<(usize, f64)> = speeds.collect();
    let same_round = speeds.iter().find(|(nth, _)| *nth == round).map(|&(_, speed)| speed);
    let mut sorted: Vec<f64> = speeds.iter().map(|&(_, speed)| speed).collect();
    sorted.sort_by(f64::total_cmp);
    let gb_per_s = same_round.or_else(|| median(&sorted));
    let gb_per_s = gb_per_s.ok_or_else(|| format!("{name}, whose share is offered, didn't run"))?;
    let bytes = Size((gb_per_s * 1e9 * share).round().max(1.0) as u64);
    Ok(Load { offered: Some(Offered::Bytes(bytes)), ..load.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::suite::figure::tests::run;

    #[test]
    fn the_order_turns_about() {
        let rounds: Vec<Vec<usize>> = (0..4).map(|round| order(2, round)).collect();
        assert_eq!(rounds, [[0, 1], [1, 0], [0, 1], [1, 0]]);
    }

    #[test]
    fn a_share_is_of_the_same_round_or_of_the_median() {
        let half = Offered::Of { run: "full".into(), share: 0.5 };
        let load = Load { offered: Some(half), ..Load::default() };
        let runs = [run("full", &[(1.0, 0.0), (2.0, 0.0), (4.0, 0.0)])];
        let offered = |round| resolve(&load, round, &runs).unwrap().offered;
        assert_eq!(offered(2), Some(Offered::Bytes(Size(2_000_000_000))));
        assert_eq!(offered(3), Some(Offered::Bytes(Size(1_000_000_000))));
        assert!(resolve(&load, 0, &[]).unwrap_err().contains("full"));
        assert_eq!(resolve(&Load::default(), 0, &[]), Ok(Load::default()));
    }

    #[test]
    fn a_round_that_failed_counts_for_nothing() {
        let mut runs = [run("full", &[(1.0, 0.0)])];
        runs[0].repeats[0].outcome.failed = Some("lost".into());
        let of = Offered::Of { run: "full".into(), share: 0.5 };
        assert!(resolve(&Load { offered: Some(of), ..Load::default() }, 0, &runs).is_err());
    }
}
