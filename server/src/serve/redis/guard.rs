//! While a server runs: its lease is renewed, and what Redis lost is written again.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use futures_util::{StreamExt as _, future::join3, stream};
use sluice_io::{
    reactor::timer,
    redis::{Client, cmd, read},
};
use sluice_proto::ids::UploadId;
use sluice_shard::{Event, Shard, record::UploadRecord};

use super::RedisSpool;
use crate::{
    boundary::{RENEWS, period_ms},
    metrics::RedisGauges,
    serve::{clock, process::Process, switch::Switch},
    store::{
        StoreError,
        redis::{Lease, RENEW_EVERY, RedisStores, Renewed, fitness::figure},
    },
};

/// How often each shard looks how Redis is.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Bodies are taken in while no more of a server's memory is used.
const ADMITS_PERCENT: u64 = 80;
/// Redis may lose the end of an upload for so long after it: its snapshots are an hour apart.
const ENDED_AUDITED_MS: u64 = 2 * 3600 * 1000;
/// Uploads that are looked for at a time.
const AUDITS_AT_ONCE: usize = 16;
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
    /// Whether each has memory for more bodies.
    pub(in crate::serve) admits: bool,
}

impl From<Seen> for RedisGauges {
    fn from(seen: Seen) -> Self {
        let Seen { is_up, used_bytes, limit_bytes, .. } = seen;
        Self { is_up, used_bytes, limit_bytes }
    }
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

/// Looks after what a shard has in Redis.
pub(in crate::serve) struct Guard {
    pub(in crate::serve) client: Client,
    pub(in crate::serve) shard: Rc<RefCell<Shard>>,
    pub(in crate::serve) switch: Switch,
    pub(in crate::serve) health: RedisHealth,
    /// Where what is known of uploads lies there.
    pub(in crate::serve) stores: Option<RedisStores>,
    /// Where bodies do.
    pub(in crate::serve) spool: Option<RedisSpool>,
}

impl Guard {
    /// For as long as the shard runs.
    pub(in crate::serve) async fn run(self) {
        // Whether it is a cluster is known to Redis alone.
        while self.client.connect().await.is_err() {
            timer::sleep(LOOK_EVERY).await;
        }
        // None waits for another: whether there is room is told in time, however much is lost.
        join3(self.look_on(), self.audit_on(self.client.connects()), self.keep_on()).await;
    }

    async fn look_on(&self) {
        let mut admits = true;
        loop {
            let seen = look(&self.client).await;
            self.health.0.set(seen);
            if seen.admits != admits {
                admits = seen.admits;
                self.switch.post_here(Event::SpoolRoom { admits });
            }
            timer::sleep(LOOK_EVERY).await;
        }
    }

    /// Whoever lost a connection may have lost more.
    async fn audit_on(&self, mut connects: u64) {
        loop {
            let now = self.client.connects();
            if now != connects && self.audit().await {
                connects = now;
            }
            timer::sleep(LOOK_EVERY).await;
        }
    }

    async fn keep_on(&self) {
        let mut kept_ms = timer::now_ms();
        loop {
            let keeps_at_ms = kept_ms + period_ms(RENEWS, KEEP_EVERY_MS);
            if timer::now_ms() > keeps_at_ms && self.keep().await {
                kept_ms = timer::now_ms();
            }
            timer::sleep(LOOK_EVERY).await;
        }
    }

    /// Writes again whatever Redis lacks of uploads that are live or ended lately. Whether it lacks
    /// nothing now.
    async fn audit(&self) -> bool {
        let Some(stores) = &self.stores else { return true };
        let (mut restored, mut failed) = (0, 0);
        // What was told to have ended must not come back as open.
        let since_ms = clock::wall_ms().saturating_sub(ENDED_AUDITED_MS);
        let uploads: Vec<_> = self.shard.borrow().uploads_since(since_ms).collect();
        let auditing = uploads.into_iter().map(async |(upload_id, rev)| {
            (upload_id, self.restore_lacking(stores, &upload_id, rev).await)
        });
        let mut audited = stream::iter(auditing).buffer_unordered(AUDITS_AT_ONCE);
        while let Some((upload_id, ended)) = audited.next().await {
            match ended {
                Ok(was_lacking) => restored += u64::from(was_lacking),
                Err(error) => {
                    if failed == 0 {
                        tracing::warn!(%upload_id, %error, "an upload can't be looked for in redis");
                    }
                    failed += 1;
                    if error.is_unreachable() {
                        break;
                    }
                    // One that can't be mended must not keep others from it.
                }
            }
        }
        if restored > 0 {
            tracing::warn!(restored, "redis has lost what it had acknowledged: written again");
        }
        failed == 0
    }

    async fn restore_lacking(
        &self,
        stores: &RedisStores,
        upload_id: &UploadId,
        rev: u64,
    ) -> Result<bool, StoreError> {
        let record = self.shard.borrow().record(upload_id).cloned();
        if let Some(record) = record.filter(UploadRecord::is_live) {
            // The next process would find it no more, and sweep what it has.
            stores.announce(&record).await?;
        }
        let lacks = stores.lacks(upload_id, rev).await?;
        let stored = self.shard.borrow().upload(upload_id).filter(|_| lacks).cloned();
        if let Some(stored) = &stored {
            stores.restore(stored, clock::wall_ms()).await?;
        }
        // It may have ended before it was announced, or Redis have lost that alone.
        let over_ms = self.shard.borrow().over_ms(upload_id);
        if let Some(over_ms) = over_ms {
            stores.settle(upload_id, over_ms).await?;
        }
        Ok(stored.is_some())
    }

    /// Puts off when Redis may forget what is live. Whether that was done.
    async fn keep(&self) -> bool {
        let live: Vec<_> = self.shard.borrow().live_uploads().collect();
        for (upload_id, _) in live {
            if let Err(error) = self.keep_one(&upload_id).await {
                tracing::warn!(%upload_id, %error, "an upload's time to live can't be put off");
                return false;
            }
        }
        true
    }

    async fn keep_one(&self, upload_id: &UploadId) -> Result<(), StoreError> {
        if let Some(stores) = &self.stores {
            stores.keep(upload_id, clock::wall_ms()).await?;
        }
        if let Some(spool) = &self.spool {
            spool.keep(upload_id).await?;
        }
        Ok(())
    }
}

/// Of those that answer; the others take no body by themselves.
async fn look(client: &Client) -> Seen {
    let mut info = cmd("INFO");
    info.arg("memory");
    let mut all = Seen { is_up: true, admits: true, ..Seen::default() };
    for (_, info) in client.run_everywhere(&info).await {
        let Ok(info) = info.and_then(read::<String>) else {
            all.is_up = false;
            continue;
        };
        let bytes = |name| figure::<u64>(&info, name).unwrap_or(0);
        let (used_bytes, limit_bytes) = (bytes("used_memory"), bytes("maxmemory"));
        all.used_bytes += used_bytes;
        all.limit_bytes += limit_bytes;
        // What is recorded and freed needs the rest.
        all.admits &= limit_bytes == 0 || used_bytes <= limit_bytes / 100 * ADMITS_PERCENT;
    }
    all
}
