//! What all parts of one run share, on one thread.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use sluice_proto::client::RetryPolicy;
use tokio::sync::Notify;

use crate::clock::now;
use crate::job::Load;
use crate::load::links::Links;
use crate::load::meter::{Ack, Meter};
use crate::load::payload::{Payload, share_of};
use crate::load::upload::UploadError;
use crate::load::wire::CallError;

/// Backoff beside what the server asks for: short, since a load lives from pressing on.
const RETRY: RetryPolicy = RetryPolicy {
    base: Duration::from_millis(10),
    max: Duration::from_secs(1),
    attempts: 200,
    patience: Duration::ZERO,
};

/// One run.
#[derive(Debug)]
pub struct Run {
    /// What is asked for.
    pub load: Load,
    /// The address that all share.
    pub address: String,
    /// Ways to the server.
    pub links: Links,
    /// Owners that uploads are opened at in turn, if there are several.
    pub owners: Vec<String>,
    /// One for each kind of upload.
    payloads: Vec<Rc<Payload>>,
    meter: RefCell<Meter>,
    uploads_begun: Cell<u64>,
    /// Chunks on their way whose answer hasn't come.
    flying: Cell<u64>,
    last_refusal: RefCell<String>,
    is_over: Cell<bool>,
    /// Rung when nothing more need be measured.
    pub enough: Notify,
}

impl Run {
    /// One that begins now.
    pub fn new(address: String, load: Load, links: Links, payloads: Vec<Payload>) -> Self {
        Self {
            load,
            address,
            links,
            owners: Vec::new(),
            payloads: payloads.into_iter().map(Rc::new).collect(),
            meter: RefCell::new(Meter::new()),
            uploads_begun: Cell::new(0),
            flying: Cell::new(0),
            last_refusal: RefCell::default(),
            is_over: Cell::new(false),
            enough: Notify::new(),
        }
    }

    /// A number for the next upload, and what is sent in it.
    pub fn next_upload(&self) -> (u64, Rc<Payload>) {
        let nth = self.uploads_begun.replace(self.uploads_begun.get() + 1);
        (nth, self.payloads[share_of(&self.load.mix, nth)].clone())
    }

    /// Where upload `nth` is opened. Its owner is the one that opens it, so that a load is spread
    /// over all owners alike if they are known: by chance it hardly ever is.
    pub fn home(&self, nth: u64) -> &str {
        match self.owners.len() as u64 {
            0 => &self.address,
            owners => &self.owners[(nth % owners) as usize],
        }
    }

    /// Counts.
    pub fn count<T>(&self, what: impl FnOnce(&mut Meter) -> T) -> T {
        what(&mut self.meter.borrow_mut())
    }

    /// A chunk was acked.
    pub fn acked(&self, ack: Ack) {
        let bytes = self.count(|meter| meter.acked(ack));
        if self.load.total_size.is_some_and(|total| bytes >= total.0) {
            self.enough.notify_one();
        }
    }

    /// The run doesn't count, and needn't go on.
    pub fn fail(&self, why: impl std::fmt::Display) {
        self.count(|meter| meter.failed(why.to_string()));
        self.is_over.set(true);
        self.enough.notify_one();
    }

    /// Whether no new upload should begin.
    pub fn is_over(&self) -> bool {
        self.is_over.get()
    }

    /// Sends a chunk, as [`call`](Self::call) does; while its answer may come it is in the air.
    pub async fn call_chunk<T, F>(&self, send: impl Fn() -> F) -> Result<T, UploadError>
    where
        F: Future<Output = Result<T, CallError>>,
    {
        let send = || async {
            self.flying.set(self.flying.get() + 1);
            let answer = send().await;
            self.flying.set(self.flying.get() - 1);
            if let Err(CallError::Broken(_)) = answer {
                self.count(|meter| meter.lost(1));
            }
            answer
        };
        self.call("UploadChunk", send).await
    }

    /// Sends a call until it is answered, refused for good, or was tried too often.
    ///
    /// # Errors
    /// The last refusal, or what broke the call.
    pub async fn call<T, F>(
        &self,
        name: &'static str,
        send: impl Fn() -> F,
    ) -> Result<T, UploadError>
    where
        F: Future<Output = Result<T, CallError>>,
    {
        let mut attempt = 1;
        loop {
            let refused = match send().await {
                Ok(answer) => return Ok(answer),
                Err(CallError::Refused(refused)) => refused,
                Err(error) => return Err(UploadError::Call { name, error }),
            };
            let again = refused.may_repeat && attempt < RETRY.attempts;
            self.last_refusal.replace(refused.name());
            self.count(|meter| meter.refused(now(), refused.name(), again));
            if !again {
                return Err(UploadError::Call { name, error: CallError::Refused(refused) });
            }
            let random = getrandom::u32().unwrap_or(u32::MAX);
            tokio::time::sleep(RETRY.wait(attempt, refused.refusal.retry_after, random)).await;
            attempt += 1;
        }
    }

    /// The measured time begins.
    pub fn begin(&self, at: Instant) {
        self.count(|meter| meter.begin(at));
    }

    /// The measured time is over, and no new upload begins.
    pub fn end(&self, at: Instant) {
        self.count(|meter| meter.end(at));
        self.is_over.set(true);
    }

    /// Whether the run counts no more.
    pub fn has_failed(&self) -> bool {
        self.meter.borrow().has_failed()
    }

    /// The time is up for all that is in the air: those acks count as lost.
    pub fn give_up(&self, limit: Duration) {
        let (lost, seconds) = (self.flying.get(), limit.as_secs());
        self.count(|meter| meter.lost(lost));
        let refused = match self.last_refusal.borrow().as_str() {
            "" => String::new(),
            name => format!("; last refused was {name}"),
        };
        let why =
            format!("not all came to its end in {seconds} s: {lost} acks never came{refused}");
        self.fail(why);
    }

    /// All that was counted.
    pub fn take_meter(&self) -> Meter {
        self.meter.replace(Meter::new())
    }
}
