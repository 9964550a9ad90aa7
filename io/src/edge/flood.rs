//! Bounds what a client may make a connection do for nothing: pings, settings, resets, empty
//! frames. h2's own limit on resets is off, since it takes the late frames of refused streams for
//! an attack (hyperium/h2#856), so this stands in its place.

/// Points that a connection starts with, and never has more of.
const POINTS_MAX: i64 = 4096;

/// Points that it gets back each second. Honest clients need a few a second.
const POINTS_PER_SECOND: u64 = 256;

/// One connection's points. Frames that bring nothing cost some, work pays them back.
pub(super) struct Flood {
    points: i64,
    /// Points that time has given are counted from here on.
    since_ms: u64,
}

impl Flood {
    pub(super) fn new(now_ms: u64) -> Self {
        Self { points: POINTS_MAX, since_ms: now_ms }
    }

    /// Pays a cost, or (below 0) takes what was paid back; whether there was enough.
    pub(super) fn pay(&mut self, cost: i64, now_ms: u64) -> bool {
        let given = now_ms.saturating_sub(self.since_ms) * POINTS_PER_SECOND / 1000;
        if given > 0 {
            self.since_ms = now_ms;
            self.points = self.points.saturating_add_unsigned(given).min(POINTS_MAX);
        }
        self.points = (self.points - cost).min(POINTS_MAX);
        self.points >= 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_and_work_pay_back_but_only_up_to_the_start() {
        let mut flood = Flood::new(0);
        assert!(flood.pay(POINTS_MAX, 0));
        assert!(!flood.pay(1, 0));
        assert!(flood.pay(255, 1_000));
        assert!(!flood.pay(1, 1_003));
        assert!(flood.pay(-10, 1_003));
        assert!(flood.pay(9, 1_003));
        assert!(flood.pay(-1_000_000, 1_000_000));
        assert!(!flood.pay(POINTS_MAX + 1, 1_000_000));
    }
}
