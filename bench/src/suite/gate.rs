//! Gates: a figure, or what two runs' figures are to each other, and the goal it must reach.

use crate::result::{GateResult, Missing, RunResult};
use crate::suite::{Figure, Goal};

/// `(of − minus) ÷ over`, taken round by round; the median must reach the goal.
pub struct Gate {
    /// What is compared with what.
    pub name: String,
    /// What the median must reach.
    pub goal: Goal,
    /// Which figure.
    pub figure: &'static Figure,
    /// Of which run.
    pub of: String,
    /// The run whose figure is taken off.
    pub minus: Option<String>,
    /// The run by whose figure it is divided.
    pub over: Option<String>,
    /// Which figure of that run, if it is another.
    pub over_figure: Option<&'static Figure>,
}

impl Gate {
    /// What the runs came to; `missing` are those that this machine couldn't do.
    pub fn judge(&self, runs: &[RunResult], missing: &[Missing]) -> GateResult {
        let (mut values, note) = match self.values(runs, missing) {
            Ok(values) => (values, None),
            Err(why) => (Vec::new(), Some(why)),
        };
        values.sort_by(f64::total_cmp);
        let value = median(&values);
        GateResult {
            name: self.name.clone(),
            figure: self.figure.name.to_owned(),
            runs: self.runs().map(str::to_owned).collect(),
            goal: self.goal.to_string(),
            value,
            low: values.first().copied(),
            high: values.last().copied(),
            met: value.is_some_and(|value| self.goal.met(value)),
            note,
        }
    }

    /// Names of the runs that it needs.
    pub fn runs(&self) -> impl Iterator<Item = &str> {
        [Some(&self.of), self.minus.as_ref(), self.over.as_ref()]
            .into_iter()
            .flatten()
            .map(String::as_str)
    }

    fn values(&self, runs: &[RunResult], missing: &[Missing]) -> Result<Vec<f64>, String> {
        let side = |name: &str, figure| Side::of(name, figure, runs, missing);
        let of = side(&self.of, self.figure)?;
        let minus = self.minus.as_deref().map(|name| side(name, self.figure)).transpose()?;
        let over_figure = self.over_figure.unwrap_or(self.figure);
        let over = self.over.as_deref().map(|name| side(name, over_figure)).transpose()?;
        let mut values = Vec::new();
        for &(round, figure) in &of.by_round {
            let less = minus.as_ref().map_or(0.0, |side| side.at(round));
            let by = over.as_ref().map_or(1.0, |side| side.at(round));
            let value = (figure - less) / by;
            if !value.is_finite() {
                return Err(format!("round {round} divides by nothing"));
            }
            values.push(value);
        }
        Ok(values)
    }
}

/// One run's figure: at least one round of it.
struct Side {
    by_round: Vec<(usize, f64)>,
    median: f64,
}

impl Side {
    fn of(
        name: &str,
        figure: &Figure,
        runs: &[RunResult],
        missing: &[Missing],
    ) -> Result<Self, String> {
        if let Some(missing) = missing.iter().find(|missing| missing.run == name) {
            return Err(format!("{name} is missing: {}", missing.why));
        }
        let run = runs.iter().find(|run| run.name == name).filter(|run| !run.repeats.is_empty());
        let run = run.ok_or_else(|| format!("{name} was not run"))?;
        let mut by_round = Vec::new();
        for repeat in &run.repeats {
            let round = repeat.round;
            if let Some(why) = &repeat.outcome.failed {
                return Err(format!("{name} failed in round {round}: {why}"));
            }
            let value = figure.of(run, repeat);
            let value = value.ok_or_else(|| format!("{name} has no {}", figure.name))?;
            by_round.push((round, value));
        }
        let mut sorted: Vec<f64> = by_round.iter().map(|&(_, value)| value).collect();
        sorted.sort_by(f64::total_cmp);
        let median = median(&sorted).expect("there is a repeat");
        Ok(Self { by_round, median })
    }

    /// In this round; a run with fewer rounds stands with its median in the others.
    fn at(&self, round: usize) -> f64 {
        let found = self.by_round.iter().find(|(nth, _)| *nth == round);
        found.map_or(self.median, |&(_, value)| value)
    }
}

/// The middle of sorted values.
pub fn median(sorted: &[f64]) -> Option<f64> {
    let upper = *sorted.get(sorted.len() / 2)?;
    match sorted.len().is_multiple_of(2) {
        true => Some((sorted[sorted.len() / 2 - 1] + upper) / 2.0),
        false => Some(upper),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::suite::figure::tests::run;

    fn gate(figure: &str, over: Option<&str>) -> Gate {
        Gate {
            name: "a ÷ b".into(),
            goal: Goal::AtMost(1.15),
            figure: Figure::named(figure).unwrap(),
            of: "a".into(),
            minus: None,
            over: over.map(str::to_owned),
            over_figure: None,
        }
    }

    #[test]
    fn ratios_are_taken_round_by_round() {
        // A machine that gets slower changes both, and not their ratio.
        let runs = [
            run("a", &[(1.0, 0.2), (1.0, 0.4), (1.0, 0.9)]),
            run("b", &[(1.0, 0.2), (1.0, 0.4), (1.0, 0.6)]),
        ];
        let judged = gate("server_cpu_s_per_gb", Some("b")).judge(&runs, &[]);
        assert_eq!((judged.value, judged.low, judged.high), (Some(1.0), Some(1.0), Some(1.5)));
        assert!(judged.met && judged.note.is_none());
        assert_eq!(judged.goal, "<= 1.15");
    }

    #[test]
    fn what_is_extra_is_divided_by_another_runs_figure() {
        let mut gate = gate("server_cpu_s_per_gb", Some("pass"));
        gate.minus = Some("b".into());
        gate.over_figure = Figure::named("gb_per_s");
        let runs = [
            run("a", &[(1.0, 0.9), (1.0, 0.8)]),
            run("b", &[(1.0, 0.4), (1.0, 0.3)]),
            // One round is enough for what doesn't change.
            run("pass", &[(0.25, 1.0)]),
        ];
        let judged = gate.judge(&runs, &[]);
        assert_eq!(judged.value, Some(2.0));
        assert!(!judged.met);
        assert_eq!(gate.runs().collect::<Vec<_>>(), ["a", "b", "pass"]);
    }

    #[test]
    fn a_run_that_failed_or_is_missing_leaves_no_value() {
        let mut runs = [run("a", &[(1.0, 0.2), (1.0, 0.2)]), run("b", &[(1.0, 0.2)])];
        runs[0].repeats[1].outcome.failed = Some("an ack was lost".into());
        let judged = gate("gb_per_s", Some("b")).judge(&runs, &[]);
        assert!(judged.value.is_none() && !judged.met);
        assert_eq!(judged.note.unwrap(), "a failed in round 1: an ack was lost");

        let missing = [Missing { run: "b".into(), why: "no Go".into() }];
        let runs = [run("a", &[(1.0, 0.2)])];
        let judged = gate("gb_per_s", Some("b")).judge(&runs, &missing);
        assert_eq!(judged.note.unwrap(), "b is missing: no Go");
        let judged = gate("gb_per_s", Some("c")).judge(&runs, &missing);
        assert_eq!(judged.note.unwrap(), "c was not run");
    }

    #[test]
    fn nothing_by_nothing_is_no_value() {
        let runs = [run("a", &[(0.0, 0.0)]), run("b", &[(0.0, 0.0)])];
        let judged = gate("gb_per_s", Some("b")).judge(&runs, &[]);
        assert_eq!(judged.value, None);
        assert_eq!(judged.note.unwrap(), "round 0 divides by nothing");
        let judged = gate("server_cpu_s_per_gb", Some("b")).judge(&runs, &[]);
        assert_eq!(judged.note.unwrap(), "a has no server_cpu_s_per_gb");
    }

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(&[1.0, 2.0, 3.0]), Some(2.0));
        assert_eq!(median(&[1.0, 2.0, 3.0, 4.0]), Some(2.5));
        assert_eq!(median(&[]), None);
    }
}
