//! What disks and databases do for a shard: timed, counted, and told of when it fails.

use std::{cell::Cell, fmt::Display, io, rc::Rc, time::Duration};

use sluice_io::{
    reactor::timer,
    redis::RedisError,
    sqlite::{DatabaseError, DatabaseErrorKind},
};
use sluice_proto::ids::UploadId;
use sluice_shard::event::Failure;

use crate::{
    metrics::{ShardMetrics, Work, WorkOutcome},
    store::StoreError,
};

/// A kind of failure is logged once in so long: a full disk refuses thousands a second.
const QUIET_MS: u64 = 5_000;

/// Watches the work of one shard. Clones share it.
#[derive(Clone)]
pub(crate) struct WorkLog(Rc<Inner>);

struct Inner {
    shard: u16,
    metrics: Rc<ShardMetrics>,
    quiet_until_ms: [Cell<u64>; Work::ALL.len()],
}

impl WorkLog {
    pub(crate) fn new(shard: u16, metrics: Rc<ShardMetrics>) -> Self {
        Self(Rc::new(Inner { shard, metrics, quiet_until_ms: Default::default() }))
    }

    /// Waits for a piece of work of an upload. An error is counted, logged, and becomes what it
    /// means to the shard.
    pub(crate) async fn watch<T, E: Cause>(
        &self,
        work: Work,
        upload_id: UploadId,
        doing: impl Future<Output = Result<T, E>>,
    ) -> Result<T, Failure> {
        self.time(work, Some(upload_id), doing).await
    }

    /// The same of what a client asks that is about no single upload.
    pub(crate) async fn watch_question<T, E: Cause>(
        &self,
        work: Work,
        doing: impl Future<Output = Result<T, E>>,
    ) -> Result<T, Failure> {
        self.time(work, None, doing).await
    }

    async fn time<T, E: Cause>(
        &self,
        work: Work,
        upload_id: Option<UploadId>,
        doing: impl Future<Output = Result<T, E>>,
    ) -> Result<T, Failure> {
        self.look_on(work, upload_id, doing).await.map_err(|error| error.failure())
    }

    /// The same where the caller knows what an error means.
    pub(crate) async fn look_on<T, E: Display>(
        &self,
        work: Work,
        upload_id: Option<UploadId>,
        doing: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let before_us = timer::now_us();
        let result = doing.await;
        let outcome = if result.is_ok() { WorkOutcome::Ok } else { WorkOutcome::Error };
        let took = Duration::from_micros(timer::now_us() - before_us);
        self.0.metrics.worked(work, outcome, took);
        result.inspect_err(|error| self.tell(work, upload_id, error))
    }

    fn tell(&self, work: Work, upload_id: Option<UploadId>, error: &impl Display) {
        let (now_ms, quiet) = (timer::now_ms(), &self.0.quiet_until_ms[work as usize]);
        if now_ms >= quiet.get() {
            quiet.set(now_ms + QUIET_MS);
            let quiet = Duration::from_millis(QUIET_MS);
            let upload_id = upload_id.map(tracing::field::display);
            tracing::warn!(
                shard = self.0.shard, work = work.as_str(), upload_id, %error, ?quiet,
                "failed; it is tried again or refused"
            );
        }
    }
}

/// Why a piece of work failed.
pub(crate) trait Cause: Display {
    /// What it means to the shard.
    fn failure(&self) -> Failure;
}

impl Cause for io::Error {
    fn failure(&self) -> Failure {
        match self.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Failure::Full,
            _ => Failure::Unavailable,
        }
    }
}

impl Cause for StoreError {
    fn failure(&self) -> Failure {
        match self {
            Self::Database(error) => error.failure(),
            Self::Redis(error) => error.failure(),
            Self::Damaged { .. } => Failure::Damaged,
            Self::Step(_) | Self::Lapsed => Failure::Unavailable,
        }
    }
}

impl Cause for RedisError {
    fn failure(&self) -> Failure {
        match self {
            Self::Full(_) => Failure::Full,
            _ => Failure::Unavailable,
        }
    }
}

impl Cause for DatabaseError {
    fn failure(&self) -> Failure {
        match self.kind() {
            DatabaseErrorKind::Full => Failure::Full,
            _ => Failure::Unavailable,
        }
    }
}
