//! When a call is sent again, and how long to wait before.

use std::time::Duration;

use prost::Message as _;
use tokio::time::Instant;
use tonic::{Code, Response, Status};

use crate::client::ClientError;
use crate::client::link::Link;
use crate::error::{Reason, ReceivedRefusal};
use crate::pb::rpc;

const PUSHBACK: &str = "grpc-retry-pushback-ms";

/// Backoff with full jitter: before repeat n the wait is anything up to `base * 2^(n-1)`, never
/// above `max`, plus whatever the server asked for by `RetryInfo` or `grpc-retry-pushback-ms`, the
/// longer of the two. A pushback that is negative means that the call isn't repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// The first wait at most.
    pub base: Duration,
    /// Any wait at most, beside what the server asks for.
    pub max: Duration,
    /// Attempts of one call in a row that the server doesn't ask to repeat later, the first
    /// included.
    pub attempts: u32,
    /// A call that the server asks to repeat later is given up after so long: it has no room, say,
    /// while what stands behind it is down.
    pub patience: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        let (base, max) = (Duration::from_millis(100), Duration::from_secs(10));
        Self { base, max, attempts: 10, patience: Duration::from_secs(600) }
    }
}

impl RetryPolicy {
    /// The wait before attempt `attempt` (1 is the first repeat). `random` is
    /// uniform over all its values.
    pub fn wait(&self, attempt: u32, asked: Option<Duration>, random: u32) -> Duration {
        let doubled = self.base.saturating_mul(1 << attempt.saturating_sub(1).min(20));
        let jitter = doubled.min(self.max).mul_f64(f64::from(random) / f64::from(u32::MAX));
        jitter.saturating_add(asked.unwrap_or_default())
    }

    /// As [`wait`](Self::wait), with chance of its own.
    pub(super) fn jittered(&self, attempt: u32, asked: Option<Duration>) -> Duration {
        self.wait(attempt, asked, getrandom::u32().unwrap_or(u32::MAX))
    }

    /// Calls until it answers, mustn't be repeated, or was tried often enough.
    pub(super) async fn run<T, F>(
        &self,
        link: &Link,
        call: impl Fn() -> F,
    ) -> Result<T, ClientError>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        self.run_until(link, call, |_| false).await
    }

    /// As [`run`](Self::run), and no further than to a refusal of which `stops` says so.
    pub(super) async fn run_until<T, F>(
        &self,
        link: &Link,
        call: impl Fn() -> F,
        stops: impl Fn(&ReceivedRefusal) -> bool,
    ) -> Result<T, ClientError>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        let mut repeats = Repeats::default();
        loop {
            let status = match call().await {
                Ok(response) => return Ok(response.into_inner()),
                Err(status) => status,
            };
            let stop = asked_to_stop(&status);
            let refusal = read_status(&status);
            if refusal.reason.is_none() {
                // Not an answer of the service: perhaps the way is broken.
                link.lose_owner();
            }
            let stop = stop || stops(&refusal) || !may_retry(&refusal);
            let Some(nth) = repeats.next(self, &refusal).filter(|_| !stop) else {
                return Err(ClientError::Refused(Box::new(refusal)));
            };
            tokio::time::sleep(self.jittered(nth, refusal.retry_after)).await;
            link.count_retry();
        }
    }
}

/// How often a call was repeated.
#[derive(Default)]
struct Repeats {
    /// Attempts in a row that the server didn't ask to repeat later.
    failed: u32,
    /// Those that it did, and since when.
    asked: u32,
    asked_since: Option<Instant>,
}

impl Repeats {
    /// How many of its kind the repeat after this refusal is; `None`: there is none.
    fn next(&mut self, policy: &RetryPolicy, refusal: &ReceivedRefusal) -> Option<u32> {
        if refusal.reason.is_some() && refusal.retry_after.is_some() {
            let since = *self.asked_since.get_or_insert_with(Instant::now);
            self.failed = 0;
            self.asked += 1;
            return (since.elapsed() < policy.patience).then_some(self.asked);
        }
        self.failed += 1;
        (self.failed < policy.attempts).then_some(self.failed)
    }
}

/// Whether sending the same call again can help.
pub(super) fn may_retry(refusal: &ReceivedRefusal) -> bool {
    match Code::from(refusal.code) {
        Code::Unavailable | Code::Aborted | Code::DeadlineExceeded => true,
        // A quota doesn't free itself unless the server says when.
        Code::ResourceExhausted => {
            refusal.reason != Some(Reason::Quota) || refusal.retry_after.is_some()
        }
        // How tonic reports a connection that broke.
        Code::Unknown | Code::Internal | Code::Cancelled => refusal.reason.is_none(),
        _ => false,
    }
}

pub(super) fn read_status(status: &Status) -> ReceivedRefusal {
    let mut read = rpc::Status::decode(status.details()).unwrap_or_default();
    // The details' own copy can be missing or cut; the trailers count.
    read.code = status.code() as i32;
    read.message = status.message().to_owned();
    let mut refusal = ReceivedRefusal::from_status(&read);
    refusal.retry_after = refusal.retry_after.max(pushback(status).and_then(|ms| {
        let ms = u64::try_from(ms).ok()?;
        Some(Duration::from_millis(ms))
    }));
    refusal
}

fn pushback(status: &Status) -> Option<i64> {
    status.metadata().get(PUSHBACK)?.to_str().ok()?.parse().ok()
}

/// A pushback that is negative or unreadable means: don't.
fn asked_to_stop(status: &Status) -> bool {
    status.metadata().contains_key(PUSHBACK) && pushback(status).is_none_or(|ms| ms < 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Refusal;

    fn status_of(refusal: &Refusal) -> Status {
        let status = refusal.to_status();
        let code = Code::from(status.code);
        Status::with_details(code, status.message.clone(), status.encode_to_vec().into())
    }

    #[test]
    fn waits_double_up_to_the_cap_and_the_servers_wish_comes_on_top() {
        let policy = RetryPolicy::default();
        let longest = |attempt| policy.wait(attempt, None, u32::MAX);
        assert_eq!(longest(1), Duration::from_millis(100));
        assert_eq!(longest(3), Duration::from_millis(400));
        assert_eq!(longest(u32::MAX), policy.max);
        assert_eq!(policy.wait(5, None, 0), Duration::ZERO);
        let asked = Some(Duration::from_secs(30));
        assert_eq!(policy.wait(1, asked, 0), Duration::from_secs(30));
    }

    #[test]
    fn the_code_says_whether_to_send_again() {
        let retried = [
            Reason::Budget,
            Reason::Rate,
            Reason::SpoolFull,
            Reason::TooManyUploads,
            Reason::Draining,
            Reason::Loading,
            Reason::NotOwner,
            Reason::BackendDown,
            Reason::ChecksumMismatch,
        ];
        for &reason in Reason::ALL {
            let read = read_status(&status_of(&Refusal::new(reason, "why")));
            assert_eq!(may_retry(&read), retried.contains(&reason), "{reason}");
        }
        assert!(may_retry(&read_status(&Status::unknown("transport error"))));
    }

    #[test]
    fn both_ways_to_ask_for_a_wait_are_heard() {
        let mut status = status_of(&Refusal::new(Reason::Budget, "full").retry_after_ms(50));
        assert_eq!(read_status(&status).retry_after, Some(Duration::from_millis(50)));
        status.metadata_mut().insert(PUSHBACK, "700".parse().unwrap());
        assert_eq!(read_status(&status).retry_after, Some(Duration::from_millis(700)));
        assert!(!asked_to_stop(&status));
        for stop in ["-1", "x"] {
            status.metadata_mut().insert(PUSHBACK, stop.parse().unwrap());
            assert!(asked_to_stop(&status));
        }
    }
}
