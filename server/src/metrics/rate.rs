//! How often something happens, over the last whole seconds.

/// Seconds that the rate is taken over.
pub const RATE_SECONDS: u64 = 10;
/// One more, for the second that is not over.
const SLOTS: usize = RATE_SECONDS as usize + 1;

/// Counts a second, in a ring.
#[derive(Debug, Clone, Default)]
pub struct Rate {
    counts: [u32; SLOTS],
    second: u64,
}

impl Rate {
    /// Counts one at this time, in milliseconds of a clock that doesn't go back.
    pub fn count(&mut self, now_ms: u64) {
        self.advance(now_ms / 1000);
        let slot = &mut self.counts[(self.second % SLOTS as u64) as usize];
        *slot = slot.saturating_add(1);
    }

    /// How often a second, over the [`RATE_SECONDS`] that are over.
    pub fn per_second(&self, now_ms: u64) -> f64 {
        let mut now = self.clone();
        now.advance(now_ms / 1000);
        let current = (now.second % SLOTS as u64) as usize;
        let over = now.counts.iter().enumerate().filter(|(slot, _)| *slot != current);
        over.map(|(_, &count)| f64::from(count)).sum::<f64>() / RATE_SECONDS as f64
    }

    fn advance(&mut self, second: u64) {
        let passed = second.saturating_sub(self.second);
        for ahead in 1..=passed.min(SLOTS as u64) {
            self.counts[((self.second + ahead) % SLOTS as u64) as usize] = 0;
        }
        self.second = self.second.max(second);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_that_is_not_over_does_not_count() {
        let mut rate = Rate::default();
        for second in 100..110 {
            for _ in 0..20 {
                rate.count(second * 1000 + 5);
            }
        }
        assert_eq!(rate.per_second(109_999), 18.0);
        assert_eq!(rate.per_second(110_000), 20.0);
        assert_eq!(rate.per_second(115_000), 10.0);
        assert_eq!(rate.per_second(200_000), 0.0);
    }

    #[test]
    fn a_clock_that_goes_back_breaks_nothing() {
        let mut rate = Rate::default();
        rate.count(50_000);
        rate.count(10_000);
        assert_eq!(rate.per_second(51_000), 0.2);
    }
}
