//! The clocks that the shards are given.

use std::time::{SystemTime, UNIX_EPOCH};

use sluice_io::reactor::timer;
use sluice_shard::keys::Now;

/// Both clocks, now.
pub(crate) fn now() -> Now {
    Now { mono_ms: timer::now_ms(), wall_ms: wall_ms() }
}

/// Unix time, ms.
#[expect(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
pub(crate) fn wall_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis() as u64)
}
