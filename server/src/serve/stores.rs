//! The stores of this node: one database each, so that what a store records is one file.

use std::{
    collections::{HashMap, HashSet},
    path::Path,
    sync::Arc,
};

use futures_lite::future::block_on;
use sluice_io::{
    disk::DataDirectory,
    sqlite::{Database, DatabaseError, Durability},
};
use sluice_proto::ids::{StoreId, UploadId};
use sluice_shard::{
    Event,
    record::{State, StoredUpload, Transition},
};

use super::clock;
use crate::{
    metadata,
    store::{self, Fence, Filter, Loaded, Room, Stretch},
};

/// Why what is recorded can't be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// A database can't be opened, read or written.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// A store's folders can't be read or swept.
    #[error("folders of store {store}: {source}")]
    Folder {
        /// The store.
        store: StoreId,
        /// What the file system says.
        source: std::io::Error,
    },
}

/// The databases of all stores, opened before any shard starts. Clones share them.
#[derive(Clone)]
pub(crate) struct Stores(Arc<HashMap<StoreId, (Database, Fence)>>);

impl Stores {
    /// Opens every store and takes its fence, so that an older process can record no more.
    pub(crate) fn open(
        directory: &DataDirectory,
        durability: Durability,
    ) -> Result<Self, DatabaseError> {
        let identity = directory.identity();
        let open = |number| {
            let path = directory.store_database(number);
            let database = Database::open(&path, store::migrations(), durability)?;
            let fence = take_fence(&database, identity.node)?;
            Ok((StoreId(number), (database, fence)))
        };
        (0..identity.stores).map(open).collect::<Result<_, _>>().map(|all| Self(Arc::new(all)))
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
            store::take_steps(conn, fence, &upload_id, first_rev, wall_ms, &steps)
        };
        database.run(job).await
    }

    /// What the upload's store holds of it.
    pub(crate) async fn load(
        &self,
        upload_id: UploadId,
        chunks_max: usize,
    ) -> Result<Loaded, DatabaseError> {
        let (database, _) = &self.0[&upload_id.store()];
        database.run(move |conn| store::load_one(conn, &upload_id, chunks_max)).await
    }

    /// Some uploads of a store; see [`store::list`].
    pub(crate) async fn list(
        &self,
        store: StoreId,
        filter: Filter,
        after: i64,
        room: Room,
    ) -> Result<Stretch, DatabaseError> {
        let (database, _) = &self.0[&store];
        database.run(move |conn| store::list(conn, &filter, after, room)).await
    }

    /// One step of forgetting in a store; see [`store::forget_ended`].
    pub(crate) async fn forget(
        &self,
        store: StoreId,
        before_ms: u64,
        rows_max: u32,
    ) -> Result<bool, DatabaseError> {
        let (database, fence) = &self.0[&store];
        let fence = *fence;
        database.run(move |conn| store::forget_ended(conn, fence, before_ms, rows_max)).await
    }

    /// Reads all stores: an event for each, in the order of their numbers. Sweeps what a crash
    /// left behind before its upload was recorded: files, and claims in the metadata; and gives
    /// back what ended uploads hold, before anybody can hear of their end. Calls `loaded` after
    /// each store.
    pub(crate) fn load_all(
        &self,
        root: &Path,
        metadata: &Database,
        loaded: impl Fn(),
    ) -> Result<Vec<Event>, StateError> {
        let (mut known, mut failed) = (HashSet::new(), Vec::new());
        let mut events = Vec::new();
        for number in 0..self.0.len() as u16 {
            let store = StoreId(number);
            let uploads = block_on(self.0[&store].0.run(store::load_open))?;
            known.extend(uploads.iter().map(|upload| upload.record.upload_id));
            let records = uploads.iter().map(|upload| &upload.record);
            failed.extend(records.filter(|record| record.state > State::Completed).cloned());
            let folder = |source| StateError::Folder { store, source };
            sweep_partials(root, store, &uploads).map_err(folder)?;
            let segments = segments(root, store).map_err(folder)?;
            events.push(Event::StoreLoaded { store, uploads, segments });
            loaded();
        }
        let wall_ms = clock::wall_ms();
        block_on(metadata.run(move |conn| {
            for orphan in metadata::orphans(conn, &|upload_id| known.contains(upload_id))? {
                metadata::release_orphan(conn, &orphan, wall_ms)?;
            }
            failed.iter().try_for_each(|record| metadata::release(conn, record, wall_ms))
        }))?;
        Ok(events)
    }
}

fn take_fence(database: &Database, node: u64) -> Result<Fence, DatabaseError> {
    block_on(database.run(move |conn| store::take_fence(conn, node)))
}

/// Segment files in a store's spool, by number.
pub(crate) fn segments(root: &Path, store: StoreId) -> std::io::Result<Vec<u32>> {
    let folder = root.join("spool").join(store.0.to_string());
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let name = entry?.file_name();
        let number = name.to_str().and_then(|name| name.strip_suffix(".seg"));
        found.extend(number.and_then(|number| number.parse::<u32>().ok()));
    }
    Ok(found)
}

/// Removes partial objects whose upload no store knows: a crash came before its record.
pub(crate) fn sweep_partials(
    root: &Path,
    store: StoreId,
    known: &[StoredUpload],
) -> std::io::Result<usize> {
    let folder = root.join("partial").join(store.0.to_string());
    let mut swept = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let is_known = known
            .iter()
            .any(|upload| name.to_str() == Some(upload.record.upload_id.to_string().as_str()));
        if !is_known {
            std::fs::remove_file(entry.path())?;
            swept += 1;
        }
    }
    Ok(swept)
}
