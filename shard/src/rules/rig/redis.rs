//! The rig's Redis: bodies by their keys, each written once.

use std::collections::{BTreeMap, BTreeSet};

use sluice_proto::ids::UploadId;

use crate::{
    Effect,
    effect::PlaceFrom,
    record::{ChunkPlace, StoredUpload},
};

/// Upload, chunk number, attempt.
type Key = (UploadId, u32, u32);

#[derive(Default)]
pub(in crate::rules) struct Redis {
    pub bodies: BTreeMap<Key, Vec<u8>>,
    /// All that were ever begun.
    begun: BTreeSet<Key>,
    /// Uploads by how often they were swept.
    pub swept: BTreeMap<UploadId, usize>,
}

impl Redis {
    pub(super) fn begin(&mut self, key: Key) {
        assert!(self.begun.insert(key), "{key:?} has bytes of another body");
    }

    pub(super) fn write(&mut self, key: Key, data: Vec<u8>) {
        assert!(self.bodies.insert(key, data).is_none(), "{key:?} has bytes already");
    }

    pub(super) fn free(&mut self, stored: &BTreeMap<UploadId, StoredUpload>, key: Key) {
        let (upload_id, number, attempt) = key;
        let upload = &stored[&upload_id];
        let chunk = upload.chunks.get(&number).filter(|_| !upload.record.state.ended());
        let is_named =
            chunk.is_some_and(|chunk| chunk.place == ChunkPlace::Redis && chunk.attempt == attempt);
        assert!(!is_named, "{key:?} is recorded, and freed");
        self.bodies.remove(&key);
    }

    /// Whether it would copy what isn't there.
    pub(super) fn lacks(&self, effect: &Effect) -> bool {
        match *effect {
            Effect::Place { upload_id, from: PlaceFrom::Redis { number, attempt }, .. } => {
                !self.bodies.contains_key(&(upload_id, number, attempt))
            }
            _ => false,
        }
    }

    pub(super) fn sweep(&mut self, upload_id: UploadId) {
        self.bodies.retain(|(of, _, _), _| *of != upload_id);
        *self.swept.entry(upload_id).or_default() += 1;
    }

    /// Number and attempt of all that is there.
    pub(in crate::rules) fn keys(&self) -> Vec<(u32, u32)> {
        self.bodies.keys().map(|&(_, number, attempt)| (number, attempt)).collect()
    }
}
