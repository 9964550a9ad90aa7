//! Uploads in Redis: one upload is some hashes in one slot, and what changes it is one script.
//!
//! Says in Lua what `StoredUpload::apply` of the shard says in memory. A script is idempotent by
//! `rev`, refuses whoever isn't the upload's owner by its fence, and may exceed `maxmemory`, so
//! that a full Redis can drain. Times to live are garbage collection alone: what ends an upload is
//! its owner.
//!
//! What else names an upload lies in other slots, and is written before it and taken away after
//! it: the set of live uploads, and the lists of its store.

mod chunk_text;
mod fields;
pub(crate) mod fitness;
mod forget;
mod keys;
mod lease;
mod list;
mod load;
mod part_text;
mod restore;
mod steps;

use std::{cell::RefCell, collections::HashMap, rc::Rc, sync::LazyLock};

pub use fields::Damaged;
pub use fitness::RedisUnfit;
pub(crate) use keys::{body_key, body_list_key};
pub use lease::{Fence, Lease, RENEW_EVERY, Renewed};
use sluice_io::redis::{Client, Cmd, RedisError, Script, Value, cmd, read};
use sluice_proto::{
    ids::{StoreId, UploadId},
    limits::ENDED_KEPT_MS,
};

use self::keys::{NodeKeys, StoreKeys, UploadKeys};
use super::{StepError, StoreError};
use crate::boundary::{FORGETS, period_ms};

/// Redis may forget an upload so long after its owner should have.
const MARGIN_MS: u64 = 48 * 3600 * 1000;
/// Uploads that are asked for at a time.
const AT_A_TIME: usize = 64;

/// A script of an upload's owner.
macro_rules! of_owner {
    ($file:literal) => {
        LazyLock::new(|| Script::new(concat!(include_str!("fence.lua"), include_str!($file))))
    };
}

static TAKE: LazyLock<Script> = of_owner!("take.lua");
static ADOPT: LazyLock<Script> = of_owner!("adopt.lua");
static RESTORE: LazyLock<Script> = of_owner!("restore.lua");
static EXCEED: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("exceed.lua")));

/// All stores of a node, as one executor reaches them. Clones share the connections.
#[derive(Clone)]
pub struct RedisStores(Rc<Inner>);

struct Inner {
    client: Client,
    lease: Lease,
    /// The last place that was given in a store's list, once it is known.
    last_made: RefCell<HashMap<StoreId, u64>>,
}

impl RedisStores {
    /// For whoever holds `lease`.
    pub fn new(client: Client, lease: Lease) -> Self {
        Self(Rc::new(Inner { client, lease, last_made: RefCell::default() }))
    }

    /// The connections.
    pub fn client(&self) -> &Client {
        &self.0.client
    }

    fn fence(&self) -> Fence {
        self.0.lease.fence()
    }

    /// Whoever can't be sure to be the node still writes nothing.
    fn may_write(&self) -> Result<(), StoreError> {
        self.0.lease.holds().then_some(()).ok_or(StoreError::Lapsed)
    }

    /// Whether a process has ever run as this node here: what it did is known here, too.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn knows_node(&self, node: u64) -> Result<bool, StoreError> {
        let epoch = NodeKeys::new(node).epoch;
        let mut ask = cmd("EXISTS");
        ask.arg(&epoch);
        Ok(read(self.run(&epoch, &ask).await?)?)
    }

    fn store_keys(&self, store: StoreId) -> StoreKeys {
        StoreKeys::new(self.fence().node, store)
    }

    async fn run(&self, key: &str, command: &Cmd) -> Result<Value, RedisError> {
        self.0.client.run(key, command).await
    }

    async fn run_script(
        &self,
        script: &Script,
        keys: &UploadKeys,
        call: &Cmd,
    ) -> Result<Vec<Value>, StoreError> {
        Ok(read(self.0.client.run_script(&keys.state, script, call).await?)?)
    }

    /// Runs a command, given without its key, though Redis may be full.
    async fn exceed(&self, key: &str, words: &[&str]) -> Result<(), RedisError> {
        let mut call = EXCEED.by_name(&[key]);
        call.arg(words);
        self.0.client.run_script(key, &EXCEED, &call).await.map(drop)
    }

    /// An upload that ended and is swept is live no more.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn settle(&self, upload_id: &UploadId, ended_ms: u64) -> Result<(), StoreError> {
        self.may_write()?;
        Ok(self.name_ended(upload_id, ended_ms).await?)
    }

    async fn name_ended(&self, upload_id: &UploadId, ended_ms: u64) -> Result<(), RedisError> {
        let (store, member) = (upload_id.store(), upload_id.to_string());
        let ended = self.store_keys(store).ended;
        self.exceed(&ended, &["ZADD", &ended_ms.to_string(), &member]).await?;
        let live = keys::live(store);
        let mut remove = cmd("SREM");
        remove.arg(&live).arg(&member);
        self.run(&live, &remove).await.map(drop)
    }
}

/// What a script answered: its further words, or why it did nothing.
fn obeyed(answer: Vec<Value>) -> Result<Vec<Value>, StoreError> {
    let odd = || StoreError::Redis(RedisError::Answer("a script's".to_owned()));
    let mut words = answer.into_iter();
    let verdict: String = read(words.next().ok_or_else(odd)?)?;
    match verdict.as_str() {
        "OK" => Ok(words.collect()),
        "FENCED" => Err(StepError::Fenced.into()),
        _ => Err(odd()),
    }
}

/// When Redis may forget an upload that expires then, and that its owner neither ends nor renews,
/// Unix ms.
fn forget_ms(expire_ms: u64, wall_ms: u64) -> u64 {
    wall_ms + kept_ms(expire_ms.saturating_sub(wall_ms).max(ENDED_KEPT_MS))
}

/// How long Redis keeps what its owner should have ended or renewed after `owned_ms`.
pub(crate) fn kept_ms(owned_ms: u64) -> u64 {
    period_ms(FORGETS, owned_ms + MARGIN_MS)
}
