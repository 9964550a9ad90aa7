//! Where a value lies on an axis, and which values the axis names.

/// An axis from one value to another.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Scale {
    /// Equal steps are equally far.
    Linear {
        /// Where it begins.
        low: f64,
        /// Where it ends.
        high: f64,
    },
    /// Equal factors are equally far.
    Log {
        /// Where it begins, above nothing.
        low: f64,
        /// Where it ends.
        high: f64,
    },
}

impl Scale {
    /// From nothing to a round value that all of these are below.
    pub fn from_zero(values: impl IntoIterator<Item = f64>) -> Self {
        let most = values.into_iter().filter(|value| value.is_finite()).fold(0.0, f64::max);
        if most <= 0.0 {
            return Self::Linear { low: 0.0, high: 1.0 };
        }
        let step = step(most);
        Self::Linear { low: 0.0, high: (most / step - 1e-9).ceil() * step }
    }

    /// Between round values around all of these that are above nothing.
    pub fn log(values: impl IntoIterator<Item = f64>) -> Self {
        let mut most = 0.0_f64;
        let mut least = f64::INFINITY;
        for value in values.into_iter().filter(|value| value.is_finite() && *value > 0.0) {
            (least, most) = (least.min(value), most.max(value));
        }
        if most <= 0.0 {
            return Self::Log { low: 1.0, high: 10.0 };
        }
        let low = round_down(least);
        let mut high = round_down(most);
        if high < most {
            high = next(high);
        }
        let high = if high <= low { next(low) } else { high };
        Self::Log { low, high }
    }

    /// From 0 to 1; what is beyond an end lies on it.
    pub fn at(&self, value: f64) -> f64 {
        let part = match *self {
            Self::Linear { low, high } => (value - low) / (high - low),
            Self::Log { low, high } => (value.max(low) / low).ln() / (high / low).ln(),
        };
        if part.is_nan() { 0.0 } else { part.clamp(0.0, 1.0) }
    }

    /// Round values on it, few enough to be read.
    pub fn ticks(&self) -> Vec<f64> {
        match *self {
            Self::Linear { low, high } => {
                let step = step(high - low);
                let count = ((high - low) / step + 1e-9) as usize;
                (0..=count).map(|nth| low + nth as f64 * step).collect()
            }
            Self::Log { low, high } => {
                let mut all = vec![low];
                while let Some(&last) = all.last()
                    && last < high * 0.999
                {
                    all.push(next(last));
                }
                let tens: Vec<f64> = all.iter().copied().filter(|tick| is_ten(*tick)).collect();
                if all.len() > 7 && tens.len() > 1 { tens } else { all }
            }
        }
    }
}

/// Some five of them make the range.
fn step(range: f64) -> f64 {
    let ten = 10f64.powf((range / 5.0).log10().floor());
    let factor = [1.0, 2.0, 2.5, 5.0].into_iter().find(|factor| factor * ten * 5.0 >= range - 1e-9);
    factor.unwrap_or(10.0) * ten
}

/// The largest of 1, 2, 5, 10, … that isn't above.
fn round_down(value: f64) -> f64 {
    let ten = 10f64.powf((value.log10() + 1e-9).floor());
    let factor = [5.0, 2.0].into_iter().find(|factor| factor * ten <= value * (1.0 + 1e-9));
    factor.unwrap_or(1.0) * ten
}

/// The one behind it.
fn next(tick: f64) -> f64 {
    round_down(tick * 2.6)
}

fn is_ten(tick: f64) -> bool {
    let log = tick.log10();
    (log - log.round()).abs() < 1e-6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_axis_from_zero_ends_at_a_round_value() {
        let scale = Scale::from_zero([3.7, 1.0]);
        assert_eq!(scale, Scale::Linear { low: 0.0, high: 4.0 });
        assert_eq!(scale.ticks(), [0.0, 1.0, 2.0, 3.0, 4.0]);
        assert_eq!(scale.at(2.0), 0.5);
        assert_eq!(Scale::from_zero([f64::NAN]), Scale::Linear { low: 0.0, high: 1.0 });
    }

    #[test]
    fn a_log_axis_names_ones_twos_and_fives() {
        let scale = Scale::log([0.3, 12.0]);
        assert_eq!(scale, Scale::Log { low: 0.2, high: 20.0 });
        let shown: Vec<String> = scale.ticks().iter().map(|tick| format!("{tick:.1}")).collect();
        assert_eq!(shown, ["0.2", "0.5", "1.0", "2.0", "5.0", "10.0", "20.0"]);
        assert!((scale.at(2.0) - 0.5).abs() < 1e-9);
        assert_eq!((scale.at(0.0), scale.at(100.0)), (0.0, 1.0));
    }

    #[test]
    fn a_long_log_axis_names_tens() {
        let ticks = Scale::log([0.01, 1000.0]).ticks();
        assert_eq!(ticks.len(), 6);
        assert!(ticks.iter().all(|tick| is_ten(*tick)));
    }

    #[test]
    fn one_value_still_makes_an_axis() {
        assert_eq!(Scale::log([1.0]), Scale::Log { low: 1.0, high: 2.0 });
        assert_eq!(Scale::log([]), Scale::Log { low: 1.0, high: 10.0 });
        assert_eq!(Scale::log([0.0, 1.0]).at(f64::NAN), 0.0);
    }
}
