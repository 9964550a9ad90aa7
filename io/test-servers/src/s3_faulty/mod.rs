//! An S3 of our own, inside the test's process, on which anything can go wrong on command.
//!
//! It speaks the real protocol, by S3's API reference: it verifies signatures, sums, lengths and
//! the order of parts, and answers by S3's codes. A stock client is held against it in
//! `tests/stock_client.rs`. What it doesn't know (copies, tags as a resource, delimiters, presigned
//! URLs, `aws-chunked` bodies) it refuses with NotImplemented.
//!
//! Bytes stay in memory, as long as it lives or until they are deleted.

mod answer;
mod ask;
mod bucket;
pub(crate) mod calendar;
pub(crate) mod encoding;
mod fault;
mod link;
mod listing;
mod multipart;
mod objects;
mod operation;
mod options;
mod paced;
mod record;
mod refusal;
mod serve;
mod shared;
mod signature;
mod sums;
#[cfg(test)]
mod tests;
mod tls;

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr, TcpStream},
    sync::{Arc, atomic::Ordering},
    thread,
    time::{Duration, Instant},
};

use tokio::runtime::{Builder, Runtime};

pub use bucket::{Object, OpenMultipart};
pub use fault::{Act, Ending, Fault, FaultId, Shape};
pub use options::{Abilities, Digest, Identity, Options, Rights, Sums, Tls};
pub use record::{Asked, Operation, Recorded};
pub use refusal::Refusal;
pub use sums::Algorithm;

pub(crate) use ask::Ask;

use crate::ports;
use shared::{Mode, Shared};

/// The bucket that is there by default.
pub const BUCKET: &str = "sluice-test";
/// The region by default.
pub const REGION: &str = "us-east-1";

/// What doesn't come to pass after this long never will.
const PATIENCE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(10);

/// A store that runs until it is dropped. All of it may be called from any thread.
pub struct FaultyS3 {
    shared: Arc<Shared>,
    port: u16,
    runtime: Option<Runtime>,
}

impl FaultyS3 {
    /// Starts one; it listens when this returns.
    pub fn start(options: Options) -> Self {
        let tls = options.tls.as_ref().map(tls::acceptor);
        let runtime = Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("faulty-s3")
            .enable_all()
            .build()
            .unwrap();
        let shared = Arc::new(Shared::new(options));
        let port = ports::free(1);
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port));
        let listener = runtime.block_on(listener).unwrap();
        runtime.spawn(shared::listen(shared.clone(), Some(listener), port, tls));
        Self { shared, port, runtime: Some(runtime) }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// `http://127.0.0.1:port`, or with `https`.
    pub fn endpoint(&self) -> String {
        let scheme = if self.shared.options.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.address())
    }

    /// The first bucket.
    pub fn bucket(&self) -> &str {
        self.shared.options.buckets.first().map_or(BUCKET, String::as_str)
    }

    /// The region that requests must be signed for.
    pub fn region(&self) -> &str {
        &self.shared.options.region
    }

    /// The first identity.
    pub fn keys(&self) -> &Identity {
        &self.shared.options.identities[0]
    }

    /// The first identity that has these rights.
    ///
    /// # Panics
    /// When there is none.
    pub fn keys_with(&self, rights: Rights) -> &Identity {
        let mut all = self.shared.options.identities.iter();
        all.find(|identity| identity.rights == rights).expect("an identity of these rights")
    }

    /// Has something go wrong from now on. Of those that fit a request the first strikes, after
    /// the delays before it.
    pub fn inject(&self, fault: Fault) -> FaultId {
        self.shared.inner().faults.inject(fault)
    }

    /// Ends a fault; what it holds goes on.
    pub fn heal(&self, fault: FaultId) {
        self.shared.heal(Some(fault));
    }

    /// Ends all faults.
    pub fn heal_all(&self) {
        self.shared.heal(None);
    }

    /// How often a fault struck; 0 once it is healed.
    pub fn struck(&self, fault: FaultId) -> u32 {
        self.shared.inner().faults.struck(fault)
    }

    /// Waits until a fault has struck so often.
    ///
    /// # Panics
    /// When it takes more than 30 seconds.
    #[track_caller]
    pub fn until_struck(&self, fault: FaultId, times: u32) {
        self.until("the fault to strike", || self.struck(fault) >= times);
    }

    /// Resets all connections and refuses new ones, until [`FaultyS3::up`].
    pub fn down(&self) {
        self.shared.mode.send_replace(Mode::Refusing);
        self.until("its connections to end", || {
            let is_closed = TcpStream::connect(self.address()).is_err();
            is_closed && self.shared.open.load(Ordering::SeqCst) == 0
        });
    }

    /// Keeps its connections, takes new ones, and answers nothing that is asked from now on until
    /// [`FaultyS3::up`]; then that is carried out.
    pub fn fall_silent(&self) {
        self.up();
        self.shared.mode.send_replace(Mode::Silent);
    }

    /// It is there again.
    pub fn up(&self) {
        self.shared.mode.send_replace(Mode::Up);
        self.until("its port to open", || TcpStream::connect(self.address()).is_ok());
    }

    /// Sets its clock so many seconds ahead of the machine's, or behind.
    pub fn set_clock_ahead_s(&self, seconds: i64) {
        self.shared.clock_offset_s.store(seconds, Ordering::Relaxed);
    }

    /// Changes what it can do.
    pub fn set_abilities(&self, change: impl FnOnce(&mut Abilities)) {
        change(&mut self.shared.inner().store.abilities);
    }

    /// Lets somebody else ask, too.
    pub fn let_in(&self, identity: Identity) {
        self.shared.identities().push(identity);
    }

    /// Knows these keys no longer.
    pub fn shut_out(&self, access_key: &str) {
        self.shared.identities().retain(|identity| identity.access_key != access_key);
    }

    /// Loses a part of an upload of parts that is open.
    pub fn lose_part(&self, multipart: &OpenMultipart, number: u16) {
        self.shared.inner().store.lose_part(multipart, number);
    }

    /// Makes a bucket, if it isn't there.
    pub fn make_bucket(&self, name: &str) {
        self.shared.inner().store.buckets.entry(name.to_owned()).or_default();
    }

    /// Takes a bucket away, with all that is in it.
    pub fn lose_bucket(&self, name: &str) {
        self.shared.inner().store.buckets.remove(name);
    }

    /// An object's newest version.
    pub fn object(&self, bucket: &str, key: &str) -> Option<Object> {
        self.shared.inner().store.buckets.get(bucket)?.object(key).cloned()
    }

    /// All objects of a bucket, by their keys.
    pub fn objects(&self, bucket: &str) -> BTreeMap<String, Object> {
        let inner = self.shared.inner();
        let bucket = inner.store.buckets.get(bucket);
        let objects = bucket.into_iter().flat_map(|bucket| bucket.all());
        objects.map(|object| (object.key.clone(), object.clone())).collect()
    }

    /// All versions of an object, the oldest first; `None`: a delete marker.
    pub fn versions(&self, bucket: &str, key: &str) -> Vec<Option<Object>> {
        let inner = self.shared.inner();
        let bucket = inner.store.buckets.get(bucket);
        bucket.and_then(|bucket| bucket.objects.get(key)).cloned().unwrap_or_default()
    }

    /// All uploads of parts that were neither completed nor aborted.
    pub fn open_multiparts(&self) -> Vec<OpenMultipart> {
        self.shared.inner().store.open_multiparts()
    }

    /// The requests so far, in the order in which their heads came.
    pub fn requests(&self) -> Vec<Recorded> {
        self.shared.inner().records.all()
    }

    /// The requests of one kind.
    pub fn requests_of(&self, operation: Operation) -> Vec<Recorded> {
        let mut requests = self.requests();
        requests.retain(|request| request.asked.operation == operation);
        requests
    }

    /// How many requests of a kind there were.
    pub fn count(&self, operation: Operation) -> usize {
        self.shared.inner().records.count(operation)
    }

    /// Waits until there were so many requests of a kind, answered or not.
    ///
    /// # Panics
    /// When it takes more than 30 seconds.
    #[track_caller]
    pub fn until_asked(&self, operation: Operation, count: usize) {
        self.until("requests", || self.count(operation) >= count);
    }

    /// Forgets the requests so far; those under way still count as being so.
    pub fn forget_requests(&self) {
        self.shared.inner().records.forget();
    }

    /// The most UploadParts that were under way at a time.
    pub fn parts_at_once_max(&self) -> usize {
        self.shared.inner().records.parts_at_once_max
    }

    /// The most requests that were under way at a time.
    pub fn requests_at_once_max(&self) -> usize {
        self.shared.inner().records.requests_at_once_max
    }

    /// How many connections there were.
    pub fn connections(&self) -> u64 {
        self.shared.connections.load(Ordering::Relaxed)
    }

    #[track_caller]
    fn until(&self, what: &str, holds: impl Fn() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !holds() {
            assert!(Instant::now() < deadline, "in vain for {what}: {:#?}", self.requests());
            thread::sleep(POLL);
        }
    }
}

impl Drop for FaultyS3 {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Not as by dropping it, which may not be done inside another runtime.
            runtime.shutdown_background();
        }
    }
}
