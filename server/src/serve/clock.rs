//! The clocks that the shards are given.

use sluice_io::reactor::timer;
use sluice_shard::keys::Now;

/// Both clocks, now.
pub(crate) fn now() -> Now {
    Now { mono_ms: timer::now_ms(), wall_ms: wall_ms() }
}

/// Unix time, ms.
pub(crate) fn wall_ms() -> u64 {
    timer::unix_ms()
}
