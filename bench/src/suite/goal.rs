//! What a gate demands of a value.

use std::fmt;
use std::str::FromStr;

/// `<= 1.15`, `>= 2.0`, `< 1`, `> 0` or `0.9..1.1`, both ends within.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Goal {
    /// No more than.
    AtMost(f64),
    /// No less than.
    AtLeast(f64),
    /// Less than.
    Below(f64),
    /// More than.
    Above(f64),
    /// Neither less than the first nor more than the second.
    Within(f64, f64),
}

impl Goal {
    /// Whether the value reaches it.
    pub fn met(&self, value: f64) -> bool {
        match *self {
            Self::AtMost(most) => value <= most,
            Self::AtLeast(least) => value >= least,
            Self::Below(most) => value < most,
            Self::Above(least) => value > least,
            Self::Within(least, most) => (least..=most).contains(&value),
        }
    }
}

impl FromStr for Goal {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |text: &str| text.trim().parse::<f64>().ok().filter(|n| n.is_finite());
        let bound = |sign: &str| text.trim().strip_prefix(sign).and_then(number);
        // The longer signs first: `<` begins them both.
        let read = bound("<=")
            .map(Self::AtMost)
            .or_else(|| bound(">=").map(Self::AtLeast))
            .or_else(|| bound("<").map(Self::Below))
            .or_else(|| bound(">").map(Self::Above))
            .or_else(|| {
                let (least, most) = text.split_once("..")?;
                let (least, most) = (number(least)?, number(most)?);
                (least <= most).then_some(Self::Within(least, most))
            });
        read.ok_or_else(|| format!("{text:?} is no goal such as `<= 1.15` or `0.9..1.1`"))
    }
}

impl fmt::Display for Goal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtMost(most) => write!(f, "<= {most}"),
            Self::AtLeast(least) => write!(f, ">= {least}"),
            Self::Below(most) => write!(f, "< {most}"),
            Self::Above(least) => write!(f, "> {least}"),
            Self::Within(least, most) => write!(f, "{least}..{most}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goals_are_read_and_reached() {
        let reached = |goal: &str, value| goal.parse::<Goal>().unwrap().met(value);
        assert!(reached("<= 1.15", 1.15) && !reached("<= 1.15", 1.151));
        assert!(reached(">= 2", 2.0) && !reached(">=2", 1.99));
        assert!(reached("< 0.01", 0.009) && !reached("< 0.01", 0.01));
        assert!(reached("> 0", 0.1) && !reached("> 0", 0.0));
        assert!(reached("0.9..1.1", 0.9) && reached("0.9..1.1", 1.1));
        assert!(!reached("0.9..1.1", 0.89) && !reached("0.9..1.1", 1.11));
    }

    #[test]
    fn what_is_no_goal_is_told() {
        for text in ["", "1.15", "<= much", "= 1", "1.1..0.9", "1..", "<= NaN"] {
            assert!(text.parse::<Goal>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_goal_is_shown_as_it_is_written() {
        for text in ["<= 1.15", ">= 2", "< 0.01", "> 0", "0.9..1.1"] {
            assert_eq!(text.parse::<Goal>().unwrap().to_string(), text);
        }
    }
}
