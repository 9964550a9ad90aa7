//! How far a gate's value is from its goal.

use crate::report::number::{self, percent, short};
use crate::result::GateResult;
use crate::suite::{Figure, Goal};

/// A gate's value against its goal.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Gap {
    /// The bound that counts: of a range the one that the value is nearer to.
    pub bound: f64,
    /// Whether less is better.
    pub at_most: bool,
    /// How far on the wrong side, as a part of the bound; negative on the right side. A plain
    /// difference where the bound is nothing.
    pub beyond: f64,
}

impl Gap {
    /// None without a value, or with a goal that can't be read.
    pub fn of(gate: &GateResult) -> Option<Self> {
        let value = gate.value.filter(|value| value.is_finite())?;
        let (bound, at_most) = match gate.goal.parse().ok()? {
            Goal::AtMost(bound) | Goal::Below(bound) => (bound, true),
            Goal::AtLeast(bound) | Goal::Above(bound) => (bound, false),
            Goal::Within(least, most) => {
                let nearer_most = (value - most).abs() < (value - least).abs();
                if nearer_most { (most, true) } else { (least, false) }
            }
        };
        let difference = if at_most { value - bound } else { bound - value };
        let beyond = if bound == 0.0 { difference } else { difference / bound.abs() };
        Some(Self { bound, at_most, beyond })
    }

    /// `12.0 % above`, `3.00 % below`: of a gate that is missed.
    pub fn text(&self) -> String {
        let side = if self.at_most { "above" } else { "below" };
        match self.bound == 0.0 {
            true => format!("{} {side}", short(self.beyond.abs())),
            false => format!("{} {side}", percent(self.beyond.abs())),
        }
    }

    /// The same of one that is met: `8.00 % to spare`.
    pub fn spare(&self) -> String {
        match self.bound == 0.0 {
            true => format!("{} to spare", short(self.beyond.abs())),
            false => format!("{} to spare", percent(self.beyond.abs())),
        }
    }
}

/// The unit that its value has: that of its figure, none for a ratio.
pub fn unit(gate: &GateResult) -> &'static str {
    let figure = Figure::named(&gate.figure).filter(|_| gate.runs.len() == 1);
    figure.map_or("", |figure| figure.unit)
}

/// The goal for people: `≤ 8.0 KiB`.
pub fn goal(gate: &GateResult) -> String {
    // As it is written, unless a unit says more.
    let shown = |bound: f64| match unit(gate) {
        "bytes" => number::with_unit(bound, "bytes"),
        "" => bound.to_string(),
        unit => format!("{bound} {unit}"),
    };
    match gate.goal.parse() {
        Ok(Goal::AtMost(bound)) => format!("≤ {}", shown(bound)),
        Ok(Goal::AtLeast(bound)) => format!("≥ {}", shown(bound)),
        Ok(Goal::Below(bound)) => format!("< {}", shown(bound)),
        Ok(Goal::Above(bound)) => format!("> {}", shown(bound)),
        Ok(Goal::Within(least, most)) => format!("{}–{}", shown(least), shown(most)),
        Err(_) => gate.goal.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate(goal: &str, value: f64) -> GateResult {
        GateResult { goal: goal.into(), value: Some(value), ..GateResult::default() }
    }

    #[test]
    fn a_gap_is_a_part_of_the_bound() {
        let text = |goal: &str, value| Gap::of(&gate(goal, value)).unwrap().text();
        assert_eq!(text("<= 1.0", 1.12), "12.0 % above");
        assert_eq!(text(">= 2.0", 1.5), "25.0 % below");
        assert_eq!(text("0.9..1.1", 1.21), "10.0 % above");
        assert_eq!(text("0.9..1.1", 0.81), "10.0 % below");
        assert_eq!(text("<= 0", 0.5), "0.500 above");
        assert!(Gap::of(&gate("<= 1.0", 0.5)).unwrap().beyond < 0.0);
    }

    #[test]
    fn without_a_value_or_a_goal_there_is_no_gap() {
        assert_eq!(Gap::of(&gate("soon", 1.0)), None);
        assert_eq!(Gap::of(&gate("<= 1", f64::NAN)), None);
        assert_eq!(Gap::of(&GateResult { value: None, ..gate("<= 1", 0.0) }), None);
    }

    #[test]
    fn goals_of_one_run_have_their_unit() {
        let mut memory = gate("<= 8192", 4096.0);
        memory.figure = "idle_upload_bytes".into();
        memory.runs = vec!["idle".into()];
        assert_eq!(goal(&memory), "≤ 8.0 KiB");
        memory.runs.push("another".into());
        assert_eq!(goal(&memory), "≤ 8192");
        assert_eq!(goal(&gate("0.9..1.1", 1.0)), "0.9–1.1");
        assert_eq!(goal(&gate("soon", 1.0)), "soon");
    }
}
