//! One run, with its repeats taken together: only those that count.

use hdrhistogram::Histogram;

use crate::job::Offered;
use crate::outcome::Histogram64;
use crate::report::digest::Spread;
use crate::report::number;
use crate::result::{Repeat, RunResult};
use crate::suite::{Figure, ServerKind};

/// A run of the result, and what all its good repeats say together.
pub struct RunDigest<'a> {
    /// As it is in the result.
    pub run: &'a RunResult,
    /// Its place among the runs.
    pub nth: usize,
    /// Acks of all good repeats, in microseconds; none if there are none.
    pub ack: Option<Histogram<u64>>,
}

impl<'a> RunDigest<'a> {
    /// Takes the repeats together.
    pub fn new(nth: usize, run: &'a RunResult) -> Self {
        let good = run.repeats.iter().filter(|repeat| repeat.outcome.failed.is_none());
        Self { run, nth, ack: merged(good.map(|repeat| &repeat.outcome.ack)) }
    }

    /// Repeats that count.
    pub fn good(&self) -> impl Iterator<Item = &'a Repeat> + use<'a> {
        self.run.repeats.iter().filter(|repeat| repeat.outcome.failed.is_none())
    }

    /// Repeats that don't, and why.
    pub fn failed(&self) -> impl Iterator<Item = (usize, &'a str)> + use<'a> {
        let failed = |repeat: &'a Repeat| Some((repeat.round, repeat.outcome.failed.as_deref()?));
        self.run.repeats.iter().filter_map(failed)
    }

    /// A figure of each round that has it.
    pub fn by_round(&self, figure: &str) -> Vec<(usize, f64)> {
        let Some(figure) = Figure::named(figure) else { return Vec::new() };
        let repeats = self.run.repeats.iter();
        repeats.filter_map(|repeat| Some((repeat.round, figure.of(self.run, repeat)?))).collect()
    }

    /// A figure over the rounds.
    pub fn spread(&self, figure: &str) -> Option<Spread> {
        Spread::of(self.by_round(figure).into_iter().map(|(_, value)| value))
    }

    /// A figure's median.
    pub fn median(&self, figure: &str) -> Option<f64> {
        self.spread(figure).map(|spread| spread.median)
    }

    /// This run's figure ÷ another's, round by round, so that a drift of the machine meets both.
    pub fn ratio(&self, other: &Self, figure: &str) -> Option<Spread> {
        let theirs = other.by_round(figure);
        Spread::of(self.by_round(figure).into_iter().filter_map(|(round, mine)| {
            let (_, by) = theirs.iter().find(|(nth, _)| *nth == round)?;
            Some(mine / by)
        }))
    }

    /// A percentile of all acks, in milliseconds.
    pub fn ack_ms(&self, quantile: f64) -> Option<f64> {
        let us = self.ack.as_ref()?.value_at_quantile(quantile);
        Some(us as f64 / 1e3)
    }

    /// A sum over the good repeats.
    pub fn sum(&self, of: impl Fn(&Repeat) -> u64) -> u64 {
        self.good().map(of).sum()
    }

    /// Why the client may have been the limit, and in how many good repeats.
    pub fn client_bound(&self) -> Option<(usize, &'a str)> {
        let bound: Vec<&str> = self.good().filter_map(|r| r.client_bound.as_deref()).collect();
        Some((bound.len(), *bound.first()?))
    }

    /// Whether all that was sent in this repeat came out as it was sent.
    pub fn is_verified(repeat: &Repeat) -> bool {
        let outcome = &repeat.outcome;
        outcome.failed.is_none()
            && outcome.acks_lost == 0
            && outcome.sizes_verified >= outcome.uploads
    }

    /// Whether all its repeats are, and there is one.
    pub fn all_verified(&self) -> bool {
        !self.run.repeats.is_empty() && self.run.repeats.iter().all(Self::is_verified)
    }

    /// Sluice itself.
    pub fn is_sluice(&self) -> bool {
        self.run.server == ServerKind::Sluice.name()
    }

    /// Reads and drops, nothing more: a limit, not a rival.
    pub fn is_limit(&self) -> bool {
        self.run.server.starts_with("sink")
    }

    /// Something that does what Sluice does, or part of it.
    pub fn is_peer(&self) -> bool {
        !self.is_sluice() && !self.is_limit() && self.run.server != ServerKind::None.name()
    }

    /// Whether chunks are begun when they are due, however slow the server is.
    pub fn is_open(&self) -> bool {
        self.run.load.offered.is_some()
    }

    /// What kind of loop puts the load on.
    pub fn loop_text(&self) -> String {
        match &self.run.load.offered {
            _ if self.run.client == "none" => "no load".into(),
            None => "closed loop".into(),
            Some(Offered::Bytes(size)) => {
                format!("open loop, {} offered", number::with_unit(size.0 as f64 / 1e9, "GB/s"))
            }
            Some(Offered::Of { run, share }) => {
                format!("open loop, {} of {run}", number::percent(*share))
            }
        }
    }

    /// The load in a few words.
    pub fn load_text(&self) -> String {
        let load = &self.run.load;
        let sizes = match load.mix.len() {
            0 => format!("{} chunks", load.chunk_size),
            n => format!("mix of {n} sizes"),
        };
        let places = (load.connections, load.uploads, load.parallel);
        format!("{sizes} · {} conn × {} uploads × {} in flight", places.0, places.1, places.2)
    }

    /// What colours and marks it: a class of its kind of server.
    pub fn class(&self) -> String {
        class(&self.run.server)
    }
}

/// The class of a kind of server; kinds that nobody has heard of look alike.
pub fn class(server: &str) -> String {
    let known = [
        ServerKind::Sluice,
        ServerKind::TonicStock,
        ServerKind::TonicTuned,
        ServerKind::Sink,
        ServerKind::SinkRotating,
        ServerKind::SinkGlommio,
        ServerKind::Tusd,
        ServerKind::Seaweedfs,
    ];
    match known.iter().find(|kind| kind.name() == server) {
        Some(kind) => format!("k-{}", kind.name()),
        None => "k-other".into(),
    }
}

fn merged<'a>(parts: impl Iterator<Item = &'a Histogram64>) -> Option<Histogram<u64>> {
    let mut sum: Option<Histogram<u64>> = None;
    for part in parts.filter_map(Histogram64::read).filter(|part| !part.is_empty()) {
        match &mut sum {
            None => sum = Some(part),
            Some(sum) => {
                // Whoever wrote it with other bounds is not to be cut off.
                sum.auto(true);
                sum.add(&part).ok()?;
            }
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::suite::figure::tests::run;

    fn histogram(ms: &[u64]) -> Histogram64 {
        let mut latencies = Histogram::new_with_bounds(1, 3_600_000_000, 3).unwrap();
        ms.iter().for_each(|ms| latencies.record(ms * 1000).unwrap());
        Histogram64::of(&latencies)
    }

    #[test]
    fn medians_leave_out_what_failed() {
        let mut run = run("a", &[(1.0, 1.0), (9.0, 1.0), (2.0, 1.0)]);
        run.repeats[1].outcome.failed = Some("an ack was lost".into());
        let digest = RunDigest::new(0, &run);
        assert_eq!(digest.spread("gb_per_s").unwrap().high, 2.0);
        assert_eq!(digest.median("gb_per_s"), Some(1.5));
        assert_eq!(digest.failed().collect::<Vec<_>>(), [(1, "an ack was lost")]);
        assert!(!digest.all_verified());
    }

    #[test]
    fn percentiles_are_of_all_good_repeats_together() {
        let mut run = run("a", &[(1.0, 1.0), (1.0, 1.0), (1.0, 1.0)]);
        run.repeats[0].outcome.ack = histogram(&[1; 60]);
        run.repeats[1].outcome.ack = histogram(&[10; 40]);
        run.repeats[2].outcome.ack = histogram(&[999; 900]);
        run.repeats[2].outcome.failed = Some("x".into());
        let digest = RunDigest::new(0, &run);
        assert_eq!(digest.ack.as_ref().unwrap().len(), 100);
        assert!((digest.ack_ms(0.5).unwrap() - 1.0).abs() < 0.01);
        assert!((digest.ack_ms(0.99).unwrap() - 10.0).abs() < 0.01);
    }

    #[test]
    fn ratios_are_taken_round_by_round() {
        let (a, b) = (run("a", &[(4.0, 1.0), (1.0, 1.0)]), run("b", &[(2.0, 1.0), (0.5, 1.0)]));
        let (a, b) = (RunDigest::new(0, &a), RunDigest::new(1, &b));
        let ratio = a.ratio(&b, "gb_per_s").unwrap();
        assert_eq!((ratio.median, ratio.low, ratio.high), (2.0, 2.0, 2.0));
        let nothing = run("c", &[(0.0, 0.0), (0.0, 0.0)]);
        let nothing = RunDigest::new(2, &nothing);
        assert_eq!(nothing.ratio(&nothing, "gb_per_s"), None);
    }
}
