//! Before any shard starts: Redis is looked at, this node's lease taken, and its uploads read.

use std::{
    sync::{Arc, mpsc},
    time::Duration,
};

use sluice_io::{
    disk::{DataDirectory, Identity},
    reactor::{executor::Executors, timer},
    redis::{Client, RedisError, Settings},
};
use sluice_proto::ids::StoreId;

use super::RedisAccess;
use crate::{
    config::{self, Config, Durability},
    serve::{clock, process::Process, recovery::StateError, service},
    store::{
        LiveUploads, StepError, StoreError,
        redis::{
            Lease, RedisStores, Renewed,
            fitness::{self, CheckError},
        },
    },
};

/// While Redis can't be reached it is tried again so often.
const PAUSE: Duration = Duration::from_secs(1);
/// And that is said so often.
const SAY_EVERY: u32 = 5;

/// What a start needs to know.
#[derive(Clone)]
struct Beginning {
    settings: Settings,
    durability: Durability,
    /// Who begins, where what is known of uploads lies in Redis.
    owner: Option<Owner>,
}

/// A node's process.
#[derive(Clone, Copy)]
struct Owner {
    identity: Identity,
    /// Told this process from all others that run as this node.
    token: u64,
    epoch_min: u64,
}

/// What it finds.
struct Found {
    /// Memory that all servers together may use; `None` where there is no limit.
    memory_bytes: Option<u64>,
    owned: Option<Owned>,
}

/// What an owner finds.
pub(in crate::serve) struct Owned {
    pub(in crate::serve) lease: Lease,
    /// By store.
    pub(in crate::serve) uploads: Vec<LiveUploads>,
}

/// Begins, on an executor that ends with it. Waits for a Redis that can't be reached. What an owner
/// finds is there where what is known of uploads lies in Redis.
pub(in crate::serve) fn begin(
    directory: &DataDirectory,
    config: &Config,
    redis: &config::Redis,
    process: &Arc<Process>,
) -> Result<(RedisAccess, Option<Owned>), StateError> {
    let identity = directory.identity();
    let epoch = directory.begin_epoch().map_err(StateError::Epoch)?;
    let settings = redis.client(identity.node);
    let token = u64::from_be_bytes(service::random());
    let owner = Owner { identity, token, epoch_min: epoch };
    let beginning = Beginning {
        settings: settings.clone(),
        durability: config.layers.durability,
        owner: config.layers.is_coordinated().then_some(owner),
    };
    let Found { memory_bytes, owned } = on_executor(beginning, config.cpus[0])?;
    for _ in owned.iter().flat_map(|owned| &owned.uploads) {
        process.store_loaded();
    }
    Ok((RedisAccess { settings, epoch, memory_bytes }, owned))
}

fn on_executor(beginning: Beginning, cpu: usize) -> Result<Found, StateError> {
    let (tell, told) = mpsc::channel();
    let executors = Executors::spawn(&[cpu], move |_, pacer| {
        let (beginning, tell) = (beginning.clone(), tell.clone());
        async move {
            let _busy = pacer.begin();
            // Who asked waits for it.
            drop(tell.send(beginning.run().await));
        }
    })?;
    executors.join()?;
    told.recv().expect("an executor that ended well has told")
}

impl Beginning {
    /// Tries until it goes well, or never will.
    async fn run(self) -> Result<Found, StateError> {
        let client = Client::new(self.settings.clone());
        for tries in 0.. {
            let error = match self.try_once(&client).await {
                Err(StateError::Store(StoreError::Redis(error))) if !is_final(&error) => error,
                ended => return ended,
            };
            if tries % SAY_EVERY == 0 {
                tracing::warn!(%error, "waiting for redis");
            }
            timer::sleep(PAUSE).await;
        }
        unreachable!("it is tried until it ends")
    }

    async fn try_once(&self, client: &Client) -> Result<Found, StateError> {
        client.connect().await.map_err(StoreError::from)?;
        let memory_bytes = match fitness::check(client, self.durability).await {
            Ok(memory_bytes) => memory_bytes,
            Err(CheckError::Unfit(unfit)) => return Err(unfit.into()),
            Err(CheckError::Redis(error)) => return Err(StoreError::from(error).into()),
        };
        let owned = match self.owner {
            Some(owner) => Some(owner.load(client.clone()).await?),
            None => None,
        };
        Ok(Found { memory_bytes, owned })
    }
}

impl Owner {
    /// Takes the lease, and reads all uploads.
    async fn load(self, client: Client) -> Result<Owned, StateError> {
        let Identity { node, stores } = self.identity;
        let lease = Lease::take(&client, node, self.token, self.epoch_min).await;
        let lease = lease.map_err(StoreError::from)?;
        let found = RedisStores::new(client, lease.clone());
        let mut uploads = Vec::new();
        for store in (0..stores).map(StoreId) {
            uploads.push(found.load_open(store, clock::wall_ms()).await?);
        }
        // Reading may have taken long, and shards renew it only once they run.
        match lease.renew(found.client()).await.map_err(StoreError::from)? {
            Renewed::Held => {}
            Renewed::Succeeded => return Err(StoreError::from(StepError::Fenced).into()),
        }
        Ok(Owned { lease, uploads })
    }
}

/// Waiting won't mend it.
fn is_final(error: &RedisError) -> bool {
    matches!(error, RedisError::Server { .. } | RedisError::Tls(_))
}
