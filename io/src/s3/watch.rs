//! Giving up on what takes too long, or on a peer that has gone silent.

use std::{pin::pin, time::Duration};

use crate::reactor::timer;

/// When a request is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Patience {
    /// All of it.
    pub(super) whole: Duration,
    /// While no byte moves.
    pub(super) stall: Duration,
}

/// Why it was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Late {
    Whole,
    Stalled,
}

/// Waits for `work`, which is dropped when it is late. `moved_at_ms` says when a byte moved last, by
/// [`timer::now_ms`]; `None`: the other end isn't waited for now.
pub(super) async fn watched<T>(
    work: impl Future<Output = T>,
    patience: Patience,
    moved_at_ms: impl Fn() -> Option<u64>,
) -> Result<T, Late> {
    let mut work = pin!(work);
    let begun_ms = timer::now_ms();
    let end_ms = begun_ms.saturating_add(patience.whole.as_millis() as u64);
    let stall_ms = patience.stall.as_millis() as u64;
    let mut quiet_since_ms = begun_ms;
    loop {
        let look_ms = quiet_since_ms.saturating_add(stall_ms).min(end_ms);
        let wait_ms = look_ms.saturating_sub(timer::now_ms()).max(1);
        let ended = timer::deadline(work.as_mut(), Duration::from_millis(wait_ms)).await;
        if let Ok(done) = ended {
            return Ok(done);
        }
        let now_ms = timer::now_ms();
        if now_ms >= end_ms {
            return Err(Late::Whole);
        }
        quiet_since_ms = quiet_since_ms.max(moved_at_ms().unwrap_or(now_ms));
        if now_ms >= quiet_since_ms.saturating_add(stall_ms) {
            return Err(Late::Stalled);
        }
    }
}
