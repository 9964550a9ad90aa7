//! The same again, after what may pass.

use std::time::Duration;

use super::error::{ErrorKind, S3Error};
use crate::reactor::timer;

/// How often, and how long to wait between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Again {
    /// Tries in all.
    pub attempts_max: u32,
    /// The most to wait after the first; it doubles with each.
    pub first: Duration,
    /// The most to wait after any.
    pub longest: Duration,
    /// Whether twice is as good as once: then also what is in doubt is tried again.
    pub is_idempotent: bool,
}

/// Tries until it succeeds, fails for a reason that stays, or was tried often enough. Waits between
/// are of any length up to their most (full jitter), so that many who fail together don't come back
/// together.
///
/// # Errors
/// Of the last try.
///
/// # Panics
/// Outside an executor.
pub async fn again<T>(
    policy: &Again,
    mut attempt: impl AsyncFnMut() -> Result<T, S3Error>,
) -> Result<T, S3Error> {
    let mut tries = 1;
    loop {
        match attempt().await {
            Err(error) if tries < policy.attempts_max && policy.covers(&error) => {
                timer::sleep(policy.wait(tries)).await;
                tries += 1;
            }
            ended => return ended,
        }
    }
}

impl Again {
    fn covers(&self, error: &S3Error) -> bool {
        let may_pass = matches!(error.kind, ErrorKind::Retryable | ErrorKind::Mismatch);
        may_pass && (self.is_idempotent || !error.is_in_doubt())
    }

    fn wait(&self, tries: u32) -> Duration {
        let doubled = self.first.saturating_mul(2_u32.saturating_pow(tries - 1));
        let most_ms = doubled.min(self.longest).as_millis() as u64;
        // Without randomness the longest wait does.
        let part = getrandom::u64().map_or(most_ms, |random| random % (most_ms + 1));
        Duration::from_millis(part)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: Again = Again {
        attempts_max: 5,
        first: Duration::from_millis(100),
        longest: Duration::from_millis(300),
        is_idempotent: false,
    };

    #[test]
    fn waits_double_up_to_the_longest_and_are_of_any_length() {
        for (tries, most_ms) in [(1, 100), (2, 200), (3, 300), (40, 300)] {
            let waits: Vec<_> = (0..500).map(|_| POLICY.wait(tries).as_millis()).collect();
            let (least, most) = (*waits.iter().min().unwrap(), *waits.iter().max().unwrap());
            assert!(most <= most_ms, "{most} after {tries}");
            assert!(least < most_ms / 2 && most > most_ms / 2, "{least} to {most}");
        }
    }

    #[test]
    fn only_what_may_pass_is_tried_again_and_what_is_in_doubt_if_that_does_no_harm() {
        let idempotent = Again { is_idempotent: true, ..POLICY };
        let error = |kind| S3Error::new(kind, "", "");
        for (kind, covered) in [
            (ErrorKind::Retryable, true),
            (ErrorKind::Mismatch, true),
            (ErrorKind::Denied, false),
            (ErrorKind::Permanent, false),
            (ErrorKind::Body, false),
        ] {
            assert_eq!(POLICY.covers(&error(kind)), covered, "{kind:?}");
            assert_eq!(idempotent.covers(&error(kind).doubtful(true)), covered, "{kind:?}");
            assert!(!POLICY.covers(&error(kind).doubtful(true)));
        }
    }
}
