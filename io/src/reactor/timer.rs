//! Time: sleeping, and giving up on what takes too long.
//!
//! A timer belongs to the executor on which it was made. Its grain is about a millisecond.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::OnceLock;
use std::task::{Context, Poll};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use glommio::timer::Timer;

/// A longer sleep is cut to this, as adding it to the clock could overflow.
const LONGEST: Duration = Duration::from_secs(10 * 365 * 86_400);

/// Milliseconds on a clock that only goes forward, from its first use in this process; the same
/// clock on every thread.
pub fn now_ms() -> u64 {
    now_us() / 1000
}

/// As [`now_ms`], in microseconds: for durations that are shown.
#[expect(clippy::disallowed_methods, reason = "all others take the time from here")]
pub fn now_us() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed().as_micros() as u64
}

/// Unix time, ms, as the system's clock has it: it may jump.
#[expect(clippy::disallowed_methods, reason = "all others take the time from here")]
pub fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis() as u64)
}

/// Sleeps for `duration`, and for no longer than ten years.
///
/// # Panics
/// Outside an executor.
pub fn sleep(duration: Duration) -> Sleep {
    Sleep { timer: Timer::new(duration.min(LONGEST)) }
}

/// Sleeps until [`now_ms`] is at least `at_ms`; not at all when it is already.
///
/// # Panics
/// Outside an executor.
pub fn sleep_until(at_ms: u64) -> Sleep {
    sleep(Duration::from_millis(at_ms.saturating_sub(now_ms())))
}

/// The future of [`sleep`]. Dropping it takes its timer away.
pub struct Sleep {
    timer: Timer,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.timer).poll(cx).map(|_| ())
    }
}

/// The time was up first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the time was up")]
pub struct Elapsed;

/// Waits for `work`, but for no longer than `within`; then `work` is dropped.
///
/// Work that is done at the first look counts, also when `within` is zero.
///
/// # Errors
/// [`Elapsed`] when the time is up first.
///
/// # Panics
/// Outside an executor.
pub async fn deadline<T>(work: impl Future<Output = T>, within: Duration) -> Result<T, Elapsed> {
    let mut work = pin!(work);
    let mut end = sleep(within);
    poll_fn(|cx| {
        if let Poll::Ready(done) = work.as_mut().poll(cx) {
            return Poll::Ready(Ok(done));
        }
        Pin::new(&mut end).poll(cx).map(|()| Err(Elapsed))
    })
    .await
}
