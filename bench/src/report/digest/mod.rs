//! What a result says, worked out before any of it is shown: medians, ratios, who lost where.
//!
//! Repeats that failed count nowhere, and are told of everywhere.

mod cell;
pub mod gap;
pub mod loss;
mod machine;
mod run;
mod spread;

use crate::outcome::Outcome;
use crate::result::SuiteResult;

pub use cell::Cell;
pub use machine::blind_spots;
pub use run::{RunDigest, class};
pub use spread::Spread;

/// A result, worked out.
pub struct Digest<'a> {
    /// As it was written.
    pub result: &'a SuiteResult,
    /// Its runs, in the order of the suite.
    pub runs: Vec<RunDigest<'a>>,
}

/// What is looked at first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Gates that are met.
    pub gates_met: usize,
    /// Gates that there are.
    pub gates: usize,
    /// Runs of which each repeat is verified.
    pub runs_verified: usize,
    /// Runs that there are.
    pub runs: usize,
    /// Repeats that failed.
    pub repeats_failed: usize,
    /// Repeats that there are.
    pub repeats: usize,
    /// Uploads that ended in repeats that count.
    pub uploads: u64,
    /// Of these, whose size came out as it was sent.
    pub sizes_verified: u64,
    /// Of these, whose checksum came out as it was sent.
    pub checksums_verified: u64,
    /// Chunks whose answer never came.
    pub acks_lost: u64,
}

impl<'a> Digest<'a> {
    /// Works it out.
    pub fn new(result: &'a SuiteResult) -> Self {
        let runs = result.runs.iter().enumerate().map(|(nth, run)| RunDigest::new(nth, run));
        Self { result, runs: runs.collect() }
    }

    /// Runs of one picture, in the order of the suite.
    pub fn series(&self, name: &str) -> Vec<&RunDigest<'a>> {
        self.runs.iter().filter(|run| run.run.series.as_deref() == Some(name)).collect()
    }

    /// Runs that can be compared, all of them.
    pub fn cells(&self) -> Vec<Cell<'a, '_>> {
        cell::cells(self.runs.iter())
    }

    /// The run of that name.
    pub fn named(&self, name: &str) -> Option<&RunDigest<'a>> {
        self.runs.iter().find(|run| run.run.name == name)
    }

    /// What is looked at first.
    pub fn verdict(&self) -> Verdict {
        let sum = |of: fn(&Outcome) -> u64| -> u64 {
            self.runs.iter().map(|run| run.sum(|repeat| of(&repeat.outcome))).sum()
        };
        Verdict {
            gates_met: self.result.gates.iter().filter(|gate| gate.met).count(),
            gates: self.result.gates.len(),
            runs_verified: self.runs.iter().filter(|run| run.all_verified()).count(),
            runs: self.runs.len(),
            repeats_failed: self.runs.iter().map(|run| run.failed().count()).sum(),
            repeats: self.runs.iter().map(|run| run.run.repeats.len()).sum(),
            uploads: sum(|outcome| outcome.uploads),
            sizes_verified: sum(|outcome| outcome.sizes_verified),
            checksums_verified: sum(|outcome| outcome.checksums_verified),
            acks_lost: self
                .runs
                .iter()
                .flat_map(|run| &run.run.repeats)
                .map(|repeat| repeat.outcome.acks_lost)
                .sum(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::suite::figure::tests::run;

    #[test]
    fn a_run_is_verified_if_each_of_its_repeats_is() {
        let mut runs = vec![
            run("good", &[(1.0, 1.0), (1.0, 1.0)]),
            run("failed", &[(1.0, 1.0), (1.0, 1.0)]),
            run("unsure", &[(1.0, 1.0)]),
            run("never", &[]),
        ];
        runs[0].repeats[0].outcome.uploads = 3;
        runs[0].repeats[0].outcome.sizes_verified = 3;
        runs[1].repeats[1].outcome.failed = Some("x".into());
        runs[2].repeats[0].outcome.uploads = 3;
        runs[2].repeats[0].outcome.sizes_verified = 2;
        let result = SuiteResult { runs, ..SuiteResult::default() };
        let verdict = Digest::new(&result).verdict();
        assert_eq!((verdict.runs_verified, verdict.runs), (1, 4));
        assert_eq!((verdict.repeats_failed, verdict.repeats), (1, 5));
        assert_eq!((verdict.uploads, verdict.sizes_verified), (6, 5));
    }
}
