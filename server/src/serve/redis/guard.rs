//! While a server runs: its lease is renewed, and what Redis lost is written again.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use sluice_io::{
    reactor::timer,
    redis::{Client, RedisError, cmd, read},
};
use sluice_proto::ids::UploadId;
use sluice_shard::Shard;

use super::fitness::figure;
use crate::{
    serve::{clock, process::Process},
    store::{
        StoreError,
        redis::{Lease, RENEW_EVERY, RedisStores, Renewed},
    },
};

/// How often each shard looks how Redis is.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often times to live are put off: they leave two days.
const KEEP_EVERY_MS: u64 = 6 * 3600 * 1000;

/// How Redis was when a shard last looked. Clones share it.
#[derive(Clone, Debug, Default)]
pub(in crate::serve) struct RedisHealth(Rc<Cell<Seen>>);

/// What was seen of all servers together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::serve) struct Seen {
    pub(in crate::serve) is_up: bool,
    pub(in crate::serve) used_bytes: u64,
    /// 0: no limit.
    pub(in crate::serve) limit_bytes: u64,
}

impl RedisHealth {
    pub(in crate::serve) fn seen(&self) -> Seen {
        self.0.get()
    }
}

/// Renews the lease for as long as the server runs, and ends the server if another has it.
pub(in crate::serve) async fn hold_lease(lease: Lease, client: Client, process: Arc<Process>) {
    loop {
        timer::sleep(RENEW_EVERY).await;
        match lease.renew(&client).await {
            Ok(Renewed::Held) => {}
            Ok(Renewed::Succeeded) => {
                tracing::error!("another process has begun as this node: this one ends");
                return process.succeeded();
            }
            Err(error) => tracing::warn!(%error, "the lease in redis can't be renewed"),
        }
    }
}

/// Looks after a shard's uploads in Redis for as long as the shard runs.
pub(in crate::serve) async fn guard(
    stores: RedisStores,
    shard: Rc<RefCell<Shard>>,
    health: RedisHealth,
) {
    let (mut connects, mut kept_ms) = (stores.client().connects(), timer::now_ms());
    loop {
        timer::sleep(LOOK_EVERY).await;
        let seen = look(stores.client()).await.ok();
        health.0.set(seen.unwrap_or(Seen { is_up: false, ..health.seen() }));
        // Whoever lost a connection may have lost more.
        let now = stores.client().connects();
        if seen.is_some() && now != connects && audit(&stores, &shard).await {
            connects = now;
        }
        if timer::now_ms() > kept_ms + KEEP_EVERY_MS && keep(&stores, &shard).await {
            kept_ms = timer::now_ms();
        }
    }
}

async fn look(client: &Client) -> Result<Seen, RedisError> {
    let mut info = cmd("INFO");
    info.arg("memory");
    let mut all = Seen { is_up: true, ..Seen::default() };
    for (_, info) in client.run_everywhere(&info).await? {
        let info: String = read(info)?;
        all.used_bytes += figure::<u64>(&info, "used_memory").unwrap_or(0);
        all.limit_bytes += figure::<u64>(&info, "maxmemory").unwrap_or(0);
    }
    Ok(all)
}

/// Writes again whatever Redis lacks of open uploads. Whether it lacks nothing now.
async fn audit(stores: &RedisStores, shard: &RefCell<Shard>) -> bool {
    let open: Vec<(UploadId, u64)> = shard.borrow().open_uploads().collect();
    let mut restored = 0;
    for (upload_id, rev) in open {
        match restore_lacking(stores, shard, &upload_id, rev).await {
            Ok(was_lacking) => restored += u64::from(was_lacking),
            Err(error) => {
                tracing::warn!(%upload_id, %error, "an upload can't be looked for in redis");
                return false;
            }
        }
    }
    if restored > 0 {
        tracing::warn!(restored, "redis has lost what it had acknowledged: written again");
    }
    true
}

async fn restore_lacking(
    stores: &RedisStores,
    shard: &RefCell<Shard>,
    upload_id: &UploadId,
    rev: u64,
) -> Result<bool, StoreError> {
    if !stores.lacks(upload_id, rev).await? {
        return Ok(false);
    }
    let stored = shard.borrow().stored(upload_id).cloned();
    // It may have ended meanwhile.
    let Some(stored) = stored else { return Ok(false) };
    stores.restore(&stored, clock::wall_ms()).await?;
    Ok(true)
}

/// Puts off when Redis may forget what is open. Whether that was done.
async fn keep(stores: &RedisStores, shard: &RefCell<Shard>) -> bool {
    let open: Vec<(UploadId, u64)> = shard.borrow().open_uploads().collect();
    for (upload_id, _) in open {
        if let Err(error) = stores.keep(&upload_id, clock::wall_ms()).await {
            tracing::warn!(%upload_id, %error, "an upload's time to live can't be put off");
            return false;
        }
    }
    true
}
