//! While the store is down, whatever wants something of it waits behind one who looks whether it is up
//! again.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    rc::Rc,
    time::Duration,
};

use sluice_io::{
    reactor::{
        local::{self, OneshotSender},
        task, timer,
    },
    s3::{Bucket, ErrorKind, S3Error},
};

use super::ended::Ended;
use crate::{
    metrics::Work,
    serve::{service, work::WorkLog},
};

/// So many failures in a row, and the store is down.
const FAILURES_MAX: u32 = 3;
/// The most to wait before it is looked at again, at first and later.
const FIRST_MS: u64 = 250;
const LONGEST_MS: u64 = 10_000;
/// Whoever waits for longer is told, and comes again if it is still needed.
const WAIT: Duration = Duration::from_secs(15);
/// The most to wait before a request is tried again.
const PAUSE_MS: u64 = 200;

/// One shard's way to the store. Clones share it.
#[derive(Clone)]
pub(super) struct Gate(Rc<Inner>);

struct Inner {
    /// What is looked at: any answer but a failure will do.
    bucket: Bucket,
    log: WorkLog,
    failures: Cell<u32>,
    is_shut: Cell<bool>,
    /// Bounded by what a shard has under way.
    waiting: RefCell<Vec<OneshotSender<()>>>,
    /// Since when what of which bucket is denied.
    denied: RefCell<HashMap<(String, &'static str), u64>>,
}

impl Gate {
    pub(super) fn new(bucket: Bucket, log: WorkLog) -> Self {
        Self(Rc::new(Inner {
            bucket,
            log,
            failures: Cell::default(),
            is_shut: Cell::default(),
            waiting: RefCell::default(),
            denied: RefCell::default(),
        }))
    }

    pub(super) fn is_open(&self) -> bool {
        !self.0.is_shut.get()
    }

    /// Waits while the store is down, for some time.
    pub(super) async fn pass(&self) -> Result<(), Ended> {
        if self.is_open() {
            return Ok(());
        }
        let (open, opened) = local::oneshot();
        self.line_up(open);
        match timer::deadline(opened, WAIT).await {
            Ok(Some(())) => Ok(()),
            Ok(None) | Err(_) => Err(Ended::down()),
        }
    }

    fn line_up(&self, open: OneshotSender<()>) {
        let mut waiting = self.0.waiting.borrow_mut();
        // Who gave up waiting isn't kept.
        waiting.retain(|other| !other.is_closed());
        waiting.push(open);
    }

    pub(super) fn went_well(&self, bucket: &str, work: Work) {
        self.0.failures.set(0);
        let mut denied = self.0.denied.borrow_mut();
        if !denied.is_empty() {
            denied.remove(&(bucket.to_owned(), work.as_str()));
        }
    }

    pub(super) fn went_wrong(&self, error: &S3Error) {
        if error.kind != ErrorKind::Retryable {
            // It answers.
            return self.0.failures.set(0);
        }
        let failures = self.0.failures.get() + 1;
        self.0.failures.set(failures);
        if failures >= FAILURES_MAX && !self.0.is_shut.replace(true) {
            tracing::warn!(%error, "the object store is down: what it is needed for waits");
            task::spawn_local(self.clone().look()).detach();
        }
    }

    /// For how long this has been denied without a break, if it is.
    pub(super) fn denied_for_ms(&self, bucket: &str, work: Work, error: &S3Error) -> Option<u64> {
        if !matches!(error.kind, ErrorKind::Denied | ErrorKind::Elsewhere) {
            return None;
        }
        let now_ms = timer::now_ms();
        let mut denied = self.0.denied.borrow_mut();
        let since_ms = *denied.entry((bucket.to_owned(), work.as_str())).or_insert(now_ms);
        Some(now_ms - since_ms)
    }

    /// Before another try, of any length.
    pub(super) async fn pause(&self, tries: u32) {
        timer::sleep(any_part(PAUSE_MS << tries.min(4))).await;
    }

    /// Looks until there is an answer, then lets everybody go on.
    async fn look(self) {
        let mut most_ms = FIRST_MS;
        loop {
            timer::sleep(any_part(most_ms)).await;
            most_ms = (most_ms * 2).min(LONGEST_MS);
            let looked = self.0.log.look_on(Work::HeadBucket, None, self.0.bucket.head_bucket());
            match looked.await {
                Err(error) if error.kind == ErrorKind::Retryable => {}
                _ => break,
            }
        }
        tracing::info!("the object store answers again");
        self.0.failures.set(0);
        self.0.is_shut.set(false);
        for open in self.0.waiting.take() {
            // Who gave up waiting comes again.
            let _ = open.send(());
        }
    }
}

/// Full jitter: those that failed together don't come back together.
fn any_part(most_ms: u64) -> Duration {
    let random = u64::from_be_bytes(service::random());
    Duration::from_millis(most_ms / 4 + random % most_ms)
}
