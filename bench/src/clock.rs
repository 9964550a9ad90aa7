//! The one place that reads clocks.

use std::time::{Instant, SystemTime};

/// Now, on a clock that only goes on.
#[expect(clippy::disallowed_methods, reason = "a bench measures time; everything else is told it")]
pub fn now() -> Instant {
    Instant::now()
}

/// Now, as calendars have it.
#[expect(clippy::disallowed_methods, reason = "a result says when it was measured")]
pub fn wall() -> SystemTime {
    SystemTime::now()
}
