//! The one place that reads clocks.

use std::time::Instant;

/// Now, on a clock that only goes on.
#[expect(clippy::disallowed_methods, reason = "a bench measures time; everything else is told it")]
pub fn now() -> Instant {
    Instant::now()
}
