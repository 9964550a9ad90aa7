//! Whether a sender that holds budget comes too slowly.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use sluice_io::reactor::timer::{self, Sleep};
use sluice_proto::error::{Reason, Refusal};

use super::RETRY_AFTER_MS;

/// A sender's rate is looked at this often.
const RATE_TICK: Duration = Duration::from_secs(1);

/// A sender that is too slow for so many looks in a row is cut.
const SLOW_TICKS_MAX: u32 = 10;

/// Told to a sender that is cut.
pub(super) fn too_slow(minimum: u64) -> Refusal {
    let message = format!("the chunk comes slower than {minimum} bytes a second");
    Refusal::new(Reason::Rate, message)
        .with("min_bytes_per_second", minimum)
        .retry_after_ms(RETRY_AFTER_MS)
}

/// Looks at a sender's rate once a second.
pub(super) struct RateWatch {
    tick: Option<Sleep>,
    seen_bytes: u64,
    slow_ticks: u32,
}

impl RateWatch {
    pub(super) fn new() -> Self {
        Self { tick: None, seen_bytes: 0, slow_ticks: 0 }
    }

    pub(super) fn poll_tick(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let tick = self.tick.get_or_insert_with(|| timer::sleep(RATE_TICK));
        ready!(Pin::new(tick).poll(cx));
        self.tick = None;
        Poll::Ready(())
    }

    pub(super) fn is_slow(&mut self, all_bytes: u64, minimum: u64, is_ours: bool) -> bool {
        let came = all_bytes - std::mem::replace(&mut self.seen_bytes, all_bytes);
        if is_ours || came >= minimum {
            self.slow_ticks = 0;
        } else {
            self.slow_ticks += 1;
        }
        self.slow_ticks >= SLOW_TICKS_MAX
    }
}
