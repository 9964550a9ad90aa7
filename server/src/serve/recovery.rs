//! What a start finds: the uploads of all stores, and what a crash left beside them.

use std::{collections::HashSet, path::Path};

use futures_lite::future::block_on;
use sluice_io::{
    reactor::executor::ExecutorError,
    sqlite::{Database, DatabaseError},
};
use sluice_proto::ids::{StoreId, UploadId};
use sluice_shard::{
    Event,
    record::{ChunkPlace, ChunkRecord, FoundUpload, State, StoredUpload},
};

use super::{clock, limits::TooSmall, s3::S3Unfit};
use crate::{
    config::{Layer as _, Objects, Spool},
    metadata,
    store::{LiveUploads, StoreError, redis::RedisUnfit},
};

/// Why what is recorded can't be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// A database can't be opened, read or written.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// A store can't be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Redis isn't as it must be.
    #[error(transparent)]
    Redis(#[from] RedisUnfit),
    /// Objects can't be stored.
    #[error(transparent)]
    S3(#[from] S3Unfit),
    /// Parts of objects don't fit anywhere.
    #[error(transparent)]
    TooSmall(#[from] TooSmall),
    /// Uploads go on where they began.
    #[error(
        "{uploads} open uploads began with objects elsewhere than in {objects}: start with objects as \
         it was until they have ended"
    )]
    OtherObjects {
        /// How many.
        uploads: usize,
        /// What is set.
        objects: &'static str,
    },
    /// Nobody can ask backends.
    #[error(transparent)]
    Executors(#[from] ExecutorError),
    /// Chunks lie in Redis, and nobody would find them.
    #[error(
        "{uploads} uploads have chunks in redis, and spool isn't redis: start with spool = redis until \
         they have ended"
    )]
    LeftInRedis {
        /// How many.
        uploads: usize,
    },
    /// How often this node has begun can't be written down.
    #[error("file epoch: {0}")]
    Epoch(#[source] std::io::Error),
    /// A store's folders can't be read or swept.
    #[error("folders of store {store}: {source}")]
    Folder {
        /// The store.
        store: StoreId,
        /// What the file system says.
        source: std::io::Error,
    },
}

/// What a start goes by.
#[derive(Clone, Copy)]
pub(super) struct Found<'a> {
    pub(super) root: &'a Path,
    pub(super) metadata: &'a Database,
    pub(super) stores: u16,
    pub(super) spool: Spool,
    pub(super) objects: Objects,
}

/// An event for each store, in the order of their numbers, of the uploads that `load` finds in it.
///
/// Sweeps what a crash left behind before its upload was recorded: files, and claims in the
/// metadata; gives back what ended uploads hold, before anybody can hear of their end; and finds out
/// which have ended though their store has lost that. Of an upload that can't be read nothing goes.
pub(super) fn take_up(
    found: Found<'_>,
    mut load: impl FnMut(StoreId) -> Result<LiveUploads, StateError>,
) -> Result<Vec<Event>, StateError> {
    let Found { root, metadata, stores, spool, objects } = found;
    let (mut known, mut failed) = (HashSet::new(), Vec::new());
    let (mut events, mut left_in_redis, mut elsewhere) = (Vec::new(), 0, 0);
    for store in (0..stores).map(StoreId) {
        let LiveUploads { uploads, damaged } = load(store)?;
        let ids: HashSet<_> = uploads.iter().map(|upload| upload.record.upload_id).collect();
        let ids = &ids | &damaged.iter().copied().collect();
        let records = uploads.iter().map(|upload| &upload.record);
        failed.extend(records.filter(|record| record.state > State::Completed).cloned());
        let folder = |source| StateError::Folder { store, source };
        sweep_partials(root, store, &ids).map_err(folder)?;
        known.extend(ids);
        let segments = segments(root, store).map_err(folder)?;
        let uploads = with_lost_ends(metadata, uploads)?;
        left_in_redis += match spool {
            Spool::Redis => 0,
            Spool::Memory | Spool::Disk => {
                uploads.iter().filter(|upload| has_bodies(upload)).count()
            }
        };
        elsewhere += uploads.iter().filter(|found| is_elsewhere(found, objects)).count();
        let keeps_segments = !damaged.is_empty();
        events.push(Event::StoreLoaded { store, uploads, segments, keeps_segments });
    }
    if left_in_redis > 0 {
        return Err(StateError::LeftInRedis { uploads: left_in_redis });
    }
    if elsewhere > 0 {
        return Err(StateError::OtherObjects { uploads: elsewhere, objects: objects.as_str() });
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

fn with_lost_ends(
    metadata: &Database,
    uploads: Vec<StoredUpload>,
) -> Result<Vec<FoundUpload>, DatabaseError> {
    block_on(metadata.run(move |conn| {
        let found = uploads.into_iter().map(|stored| {
            let lost_end = match stored.record.state.ended() {
                true => None,
                false => metadata::lost_end(conn, &stored.record.upload_id)?,
            };
            Ok(FoundUpload { stored, lost_end })
        });
        found.collect()
    }))
}

/// Whether an upload that may still become an object has chunks in Redis.
fn has_bodies(found: &FoundUpload) -> bool {
    let in_redis = |chunk: &ChunkRecord| chunk.place == ChunkPlace::Redis;
    let has_ended = found.lost_end.is_some() || found.stored.record.state.ended();
    !has_ended && found.stored.chunks.values().any(in_redis)
}

/// Whether an upload that isn't over is cut into parts and there is nowhere to send them, or the
/// other way round.
fn is_elsewhere(found: &FoundUpload, objects: Objects) -> bool {
    let record = &found.stored.record;
    let is_over = record.state.ended() && !record.cleanup_pending;
    !is_over && record.schedule.is_some() != (objects == Objects::S3)
}

/// Segment files in a store's spool, by number.
fn segments(root: &Path, store: StoreId) -> std::io::Result<Vec<u32>> {
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
fn sweep_partials(
    root: &Path,
    store: StoreId,
    known: &HashSet<UploadId>,
) -> std::io::Result<usize> {
    let folder = root.join("partial").join(store.0.to_string());
    let mut swept = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let upload_id = name.to_str().and_then(|name| UploadId::parse(name).ok());
        let is_known = upload_id.is_some_and(|upload_id| known.contains(&upload_id));
        if !is_known {
            std::fs::remove_file(entry.path())?;
            swept += 1;
        }
    }
    Ok(swept)
}
