//! The stores of this node: a local database each, or Redis.

use std::{cell::RefCell, collections::HashMap, sync::Arc};

use futures_lite::future::block_on;
use sluice_io::{
    disk::DataDirectory,
    redis::Client,
    sqlite::{Database, DatabaseError, Durability},
};
use sluice_proto::ids::{StoreId, UploadId};
use sluice_shard::{Shard, record::Transition};

use crate::store::{
    Filter, LiveUploads, Loaded, Room, StepError, StoreError, Stretch,
    local::{self, Fence},
    redis::{Lease, RedisStores},
};

/// What every thread may have, to reach the stores by.
#[derive(Clone)]
pub(crate) enum StoresAccess {
    Local(LocalStores),
    Redis(Lease),
}

impl StoresAccess {
    /// For one executor, which `client` is of.
    pub(crate) fn open(&self, client: Option<&Client>) -> Stores {
        match self {
            Self::Local(stores) => Stores::Local(stores.clone()),
            Self::Redis(lease) => {
                let client = client.expect("stores in Redis have a client").clone();
                Stores::Redis(RedisStores::new(client, lease.clone()))
            }
        }
    }
}

/// The stores, as one shard reaches them. Clones share what they are reached by.
#[derive(Clone)]
pub(crate) enum Stores {
    Local(LocalStores),
    Redis(RedisStores),
}

impl Stores {
    /// Takes steps of one upload, all or none. What Redis has lost of the upload is written again
    /// before, as the shard has it.
    pub(crate) async fn record(
        &self,
        shard: &RefCell<Shard>,
        upload_id: UploadId,
        first_rev: u64,
        wall_ms: u64,
        steps: Vec<Transition>,
    ) -> Result<(), StoreError> {
        let stores = match self {
            Self::Local(stores) => {
                return Ok(stores.take_steps(upload_id, first_rev, wall_ms, steps).await?);
            }
            Self::Redis(stores) => stores,
        };
        let expire_ms = shard.borrow().record(&upload_id).map_or(wall_ms, |known| known.expire_ms);
        let take = || stores.take_steps(upload_id, first_rev, wall_ms, expire_ms, &steps);
        match take().await {
            Err(StoreError::Step(StepError::Gap { .. })) => {}
            taken => return taken,
        }
        let upload = shard.borrow().upload(&upload_id).cloned();
        let upload = upload.expect("an upload is kept while steps of it are taken");
        stores.restore(&upload, wall_ms).await?;
        take().await
    }

    /// What the upload's store holds of it.
    pub(crate) async fn load(
        &self,
        upload_id: UploadId,
        chunks_max: usize,
    ) -> Result<Loaded, StoreError> {
        match self {
            Self::Local(stores) => {
                let database = stores.database(upload_id.store());
                let load = move |conn: &_| local::load_one(conn, &upload_id, chunks_max);
                Ok(database.run(load).await?)
            }
            Self::Redis(stores) => stores.load_one(upload_id, chunks_max).await,
        }
    }

    /// Whether uploads of another node are known here.
    pub(crate) async fn shares_state_with(&self, node: u64) -> Result<bool, StoreError> {
        match self {
            Self::Local(_) => Ok(false),
            Self::Redis(stores) => stores.knows_node(node).await,
        }
    }

    /// Some uploads of a store, in the order that they were made.
    pub(crate) async fn list(
        &self,
        store: StoreId,
        filter: Filter,
        after: i64,
        room: Room,
    ) -> Result<Stretch, StoreError> {
        match self {
            Self::Local(stores) => {
                let list = move |conn: &_| local::list(conn, &filter, after, room);
                Ok(stores.database(store).run(list).await?)
            }
            Self::Redis(stores) => stores.list(store, &filter, after, room).await,
        }
    }

    /// One step of forgetting in a store what ended before `before_ms`, Unix ms. `false` once
    /// there is nothing left to do.
    pub(crate) async fn forget(
        &self,
        store: StoreId,
        before_ms: u64,
        rows_max: u32,
    ) -> Result<bool, StoreError> {
        match self {
            Self::Local(stores) => {
                let (database, fence) = &stores.0[&store];
                let fence = *fence;
                let forget = move |conn: &_| local::forget_ended(conn, fence, before_ms, rows_max);
                Ok(database.run(forget).await?)
            }
            Self::Redis(stores) => stores.forget_ended(store, before_ms, rows_max).await,
        }
    }
}

/// The databases of all stores, opened before any shard starts. Clones share them.
#[derive(Clone)]
pub(crate) struct LocalStores(Arc<HashMap<StoreId, (Database, Fence)>>);

impl LocalStores {
    /// Opens every store and takes its fence, so that an older process can record no more.
    pub(crate) fn open(
        directory: &DataDirectory,
        durability: Durability,
    ) -> Result<Self, DatabaseError> {
        let identity = directory.identity();
        let open = |number| {
            let path = directory.store_database(number);
            let database = Database::open(&path, local::migrations(), durability)?;
            let fence = take_fence(&database, identity.node)?;
            Ok((StoreId(number), (database, fence)))
        };
        (0..identity.stores).map(open).collect::<Result<_, _>>().map(|all| Self(Arc::new(all)))
    }

    /// All live uploads of a store.
    pub(crate) fn load_open(&self, store: StoreId) -> Result<LiveUploads, DatabaseError> {
        block_on(self.database(store).run(local::load_open))
    }

    /// Takes steps of one upload, all or none.
    pub(crate) async fn take_steps(
        &self,
        upload_id: UploadId,
        first_rev: u64,
        wall_ms: u64,
        steps: Vec<Transition>,
    ) -> Result<(), DatabaseError> {
        let (database, fence) = &self.0[&upload_id.store()];
        let fence = *fence;
        let job = move |conn: &rusqlite::Connection| {
            local::take_steps(conn, fence, &upload_id, first_rev, wall_ms, &steps)
        };
        database.run(job).await
    }

    fn database(&self, store: StoreId) -> &Database {
        &self.0[&store].0
    }
}

fn take_fence(database: &Database, node: u64) -> Result<Fence, DatabaseError> {
    block_on(database.run(move |conn| local::take_fence(conn, node)))
}
