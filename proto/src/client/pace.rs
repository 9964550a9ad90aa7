//! What several uploads may send together.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// A bound on what all uploads that are given the same one send together: bytes a second, and
/// chunks that are held and in flight. Clones share it.
///
/// ```
/// # use sluice_proto::client::{Pace, UploadOptions};
/// let pace = Pace::new(Some(50 << 20), 16); // 50 MiB/s, 16 chunks
/// let one = UploadOptions { pace: Some(pace.clone()), ..Default::default() };
/// let other = UploadOptions { pace: Some(pace), ..Default::default() };
/// ```
#[derive(Debug, Clone)]
pub struct Pace {
    rate: Option<Arc<Rate>>,
    chunks: Arc<Semaphore>,
}

#[derive(Debug)]
struct Rate {
    bytes_per_second: u64,
    /// When all that was let through until now is paid for.
    paid: Mutex<Instant>,
}

impl Pace {
    /// At most `bytes_per_second`, if that is given (0 counts as 1), and `chunks_max` chunks at a
    /// time, of 1 or more.
    pub fn new(bytes_per_second: Option<u64>, chunks_max: usize) -> Self {
        let rate = bytes_per_second.map(|bytes_per_second| {
            Arc::new(Rate {
                bytes_per_second: bytes_per_second.max(1),
                paid: Mutex::new(Instant::now()),
            })
        });
        let chunks = Arc::new(Semaphore::new(chunks_max.clamp(1, Semaphore::MAX_PERMITS)));
        Self { rate, chunks }
    }

    /// Room for one more chunk, until it is dropped.
    pub(super) async fn chunk(&self) -> OwnedSemaphorePermit {
        self.chunks.clone().acquire_owned().await.expect("it is never closed")
    }

    /// Waits until `bytes` may be sent. They are then sent at once, and paid for by who comes next:
    /// a server cuts a chunk that trickles.
    pub(super) async fn send(&self, bytes: u64) {
        if let Some(rate) = &self.rate {
            let turn = rate.turn(bytes, Instant::now());
            tokio::time::sleep_until(turn).await;
        }
    }
}

impl Rate {
    fn turn(&self, bytes: u64, now: Instant) -> Instant {
        let mut paid = self.paid.lock().unwrap_or_else(PoisonError::into_inner);
        let turn = (*paid).max(now);
        *paid = turn + Duration::from_secs_f64(bytes as f64 / self.bytes_per_second as f64);
        turn
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn together_they_send_no_faster_than_allowed() {
        let now = Instant::now();
        let rate = Rate { bytes_per_second: 1_000, paid: Mutex::new(now) };
        let waits =
            [500, 250, 250, 1_000, 1].map(|bytes| (rate.turn(bytes, now) - now).as_millis());
        // The first goes at once.
        assert_eq!(waits, [0, 500, 750, 1_000, 2_000]);
        // What nobody wanted to send isn't caught up on.
        let later = now + Duration::from_secs(60);
        let waits = [1_000, 1].map(|bytes| (rate.turn(bytes, later) - later).as_millis());
        assert_eq!(waits, [0, 1_000]);
    }

    #[tokio::test]
    async fn chunks_wait_for_each_other() {
        let pace = Pace::new(None, 1);
        let first = pace.chunk().await;
        assert!(pace.chunks.clone().try_acquire_owned().is_err());
        drop(first);
        drop(pace.chunk().await);
    }
}
