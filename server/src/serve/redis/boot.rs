//! Before any shard starts: Redis is looked at, this node's lease taken, and its uploads read.

use std::{
    sync::{Arc, mpsc},
    time::Duration,
};

use sluice_io::{
    disk::Identity,
    reactor::{executor::Executors, timer},
    redis::{Client, RedisError, Settings},
};
use sluice_proto::ids::StoreId;
use sluice_shard::record::StoredUpload;

use crate::{
    config::Durability,
    serve::{clock, process::Process, recovery::StateError},
    store::{
        StepError, StoreError,
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
pub(in crate::serve) struct Beginning {
    pub(in crate::serve) settings: Settings,
    pub(in crate::serve) durability: Durability,
    /// Who begins, where what is known of uploads lies in Redis.
    pub(in crate::serve) owner: Option<Owner>,
}

/// A node's process.
#[derive(Clone, Copy)]
pub(in crate::serve) struct Owner {
    pub(in crate::serve) identity: Identity,
    /// Told this process from all others that run as this node.
    pub(in crate::serve) token: u64,
    pub(in crate::serve) epoch_min: u64,
}

/// What it finds.
pub(in crate::serve) struct Found {
    /// Memory that all servers together may use; `None` where there is no limit.
    pub(in crate::serve) memory_bytes: Option<u64>,
    pub(in crate::serve) owned: Option<Owned>,
}

/// What an owner finds.
pub(in crate::serve) struct Owned {
    pub(in crate::serve) lease: Lease,
    /// By store.
    pub(in crate::serve) uploads: Vec<Vec<StoredUpload>>,
}

/// Begins, on an executor that ends with it. Waits for a Redis that can't be reached.
pub(in crate::serve) fn begin(
    beginning: Beginning,
    cpu: usize,
    process: &Arc<Process>,
) -> Result<Found, StateError> {
    let (tell, told) = mpsc::channel();
    let process = Arc::clone(process);
    let executors = Executors::spawn(&[cpu], move |_, pacer| {
        let (beginning, process, tell) = (beginning.clone(), Arc::clone(&process), tell.clone());
        async move {
            let _busy = pacer.begin();
            // Who asked waits for it.
            drop(tell.send(beginning.run(&process).await));
        }
    })?;
    executors.join()?;
    told.recv().expect("an executor that ended well has told")
}

impl Beginning {
    async fn run(self, process: &Process) -> Result<Found, StateError> {
        let client = Client::new(self.settings.clone());
        let memory_bytes = self.reach(&client).await?;
        let owned = match self.owner {
            Some(owner) => Some(owner.load(client, process).await?),
            None => None,
        };
        Ok(Found { memory_bytes, owned })
    }
    /// Waits until Redis answers, and looks whether it may be trusted; its memory.
    async fn reach(&self, client: &Client) -> Result<Option<u64>, StateError> {
        for tries in 0.. {
            let tried = async {
                client.connect().await?;
                fitness::check(client, self.durability).await
            };
            let error = match tried.await {
                Ok(memory_bytes) => return Ok(memory_bytes),
                Err(CheckError::Unfit(unfit)) => return Err(unfit.into()),
                Err(CheckError::Redis(error)) if is_final(&error) => {
                    return Err(StoreError::from(error).into());
                }
                Err(CheckError::Redis(error)) => error,
            };
            if tries % SAY_EVERY == 0 {
                tracing::warn!(%error, "waiting for redis");
            }
            timer::sleep(PAUSE).await;
        }
        unreachable!("it is tried until it goes well")
    }
}

impl Owner {
    /// Takes the lease, and reads all uploads.
    async fn load(self, client: Client, process: &Process) -> Result<Owned, StateError> {
        let Identity { node, stores } = self.identity;
        let lease = Lease::take(&client, node, self.token, self.epoch_min).await;
        let lease = lease.map_err(StoreError::from)?;
        let found = RedisStores::new(client, lease.clone());
        let mut uploads = Vec::new();
        for store in (0..stores).map(StoreId) {
            uploads.push(found.load_open(store, clock::wall_ms()).await?);
            process.store_loaded();
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
    matches!(error, RedisError::Server { .. })
}
