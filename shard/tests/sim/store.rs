//! The model of the stores: steps become durable, each once, and each has to be allowed.

use std::collections::{BTreeMap, BTreeSet};

use sluice_proto::{
    checksum::{Crc64Nvme, Sha256State},
    error::Reason,
    ids::UploadId,
};
use sluice_shard::record::{
    ChunkPlace, EndError, Object, State, StoredUpload, Transition, UploadRecord,
};
use sluice_shard::{config::Spool, parts::Plan};

use crate::{disk::Disk, ledger::Ledger, metadata::Metadata, parts, redis::Redis};

/// Not ended, or not swept yet.
pub(crate) fn is_open(record: &UploadRecord) -> bool {
    !record.state.ended() || record.cleanup_pending
}

pub(crate) struct Stores {
    pub uploads: BTreeMap<UploadId, StoredUpload>,
    pub ledger: Ledger,
    /// How uploads ended, forgotten ones included.
    pub ended: BTreeMap<UploadId, State>,
    pub aborts_asked: BTreeSet<UploadId>,
    pub kept_ms: u64,
    /// Where chunks wait.
    pub spool: Spool,
    /// How objects are cut, if they are.
    pub plan: Plan,
    /// Whether objects are dropped: their chunks are recorded nowhere.
    pub discards: bool,
    /// Whether chunks are summed.
    pub summed: bool,
    /// The latest that the wall clock ever was, Unix ms.
    pub latest_ms: u64,
}

impl Stores {
    pub(crate) fn take(
        &mut self,
        (disk, redis, metadata): (&Disk, &Redis, &mut Metadata),
        upload_id: UploadId,
        first_rev: u64,
        wall_ms: u64,
        steps: &[Transition],
    ) {
        for (rev, step) in (first_rev..).zip(steps) {
            let held = self.uploads.get(&upload_id).map_or(0, |stored| stored.rev);
            // Taken before: its answer was lost.
            if rev <= held || (held == 0 && !matches!(step, Transition::Create(_))) {
                assert!(held > 0 || self.ended.contains_key(&upload_id), "no such upload");
                continue;
            }
            assert_eq!(held + 1, rev, "no step is left out");
            match step {
                Transition::Create(record) => {
                    assert!(!self.ended.contains_key(&upload_id), "an ended upload comes back");
                    let stored = StoredUpload::new((**record).clone(), rev);
                    self.uploads.insert(upload_id, stored);
                }
                step => {
                    self.judge((disk, redis, metadata), upload_id, step);
                    parts::judge(&self.uploads[&upload_id], self.plan, step);
                    let stored = self.uploads.get_mut(&upload_id).unwrap();
                    stored.apply(step, wall_ms);
                    if stored.record.state.ended() {
                        self.ended.insert(upload_id, stored.record.state);
                    }
                }
            }
        }
        let stored = self.uploads.get(&upload_id);
        stored.into_iter().for_each(assert_places_known);
    }

    /// What ended long enough ago is forgotten. The server's part.
    pub(crate) fn forget(&mut self, metadata: &mut Metadata, wall_ms: u64) {
        let kept_ms = self.kept_ms;
        self.uploads.retain(|upload_id, stored| {
            let record = &stored.record;
            let keep = is_open(record) || wall_ms < record.update_ms + kept_ms;
            if !keep {
                metadata.forget(upload_id);
            }
            keep
        });
    }

    /// Where it stands or stood, also if it was forgotten since.
    pub(crate) fn state(&self, upload_id: &UploadId) -> Option<State> {
        let held = self.uploads.get(upload_id).map(|stored| stored.record.state);
        held.or_else(|| self.ended.get(upload_id).copied())
    }

    /// Whether a step may follow what is durable.
    fn judge(
        &mut self,
        (disk, redis, metadata): (&Disk, &Redis, &Metadata),
        upload_id: UploadId,
        step: &Transition,
    ) {
        let stored = &self.uploads[&upload_id];
        let record = &stored.record;
        let open = record.state <= State::Uploading;
        let total = record.total_chunks;
        let is_whole = total.is_some_and(|total| stored.chunks.len() == total as usize);
        match step {
            Transition::PutChunk { number, chunk, total_chunks } => {
                assert!(open, "a chunk after all were in");
                assert!(self.records(), "a record of bytes that nobody has");
                assert!(total.or(*total_chunks).is_none_or(|total| *number < total));
                assert!(total_chunks.is_none_or(|fixed| total.is_none_or(|total| total == fixed)));
                self.ledger.recorded(upload_id, *number, stored.chunks.get(number), chunk);
            }
            Transition::LoseChunk { number } | Transition::BindChunk { number } => {
                self.judge_loss(redis, stored, *number)
            }
            Transition::PlaceChunk { number, attempt } => {
                assert_eq!(stored.chunks[number].attempt, *attempt);
                assert!(record.state <= State::Completing);
            }
            Transition::DropChunk { number, attempt } => {
                let chunk = &stored.chunks[number];
                assert_eq!((chunk.attempt, chunk.place), (*attempt, ChunkPlace::Redis));
                assert!(self.discards && record.state <= State::Uploading);
            }
            Transition::FixTotal { total_chunks, .. } => {
                assert!(total.is_none_or(|total| total == *total_chunks), "N is fixed once");
                assert!(stored.chunks.keys().all(|number| number < total_chunks));
            }
            Transition::HashState(state) => {
                let state = Sha256State::import(state).unwrap();
                let bytes = self.ledger.bytes(stored);
                let hashed = &bytes[..state.bytes_hashed() as usize];
                assert_eq!(state.finish(), Sha256State::of(hashed), "hashed what is recorded");
            }
            Transition::Completing { object } => {
                assert!(open && total.is_some() && (is_whole || !self.records()), "with a hole");
                let is_safe = |place| !matches!(place, ChunkPlace::Memory(_) | ChunkPlace::Redis);
                assert!(stored.chunks.values().all(|chunk| is_safe(chunk.place)), "may be lost");
                assert_eq!(object.is_some(), self.discards);
                if let (Some(object), true) = (object, self.records()) {
                    let bytes = self.ledger.bytes(stored);
                    assert_eq!(object.crc64nvme, Some(Crc64Nvme::of(&bytes)));
                    assert_eq!(object.size_bytes, bytes.len() as u64);
                }
                if let (Some(object), Some(total), false) = (object, total, self.records()) {
                    self.ledger.check_unrecorded(upload_id, total, object, self.summed);
                }
            }
            Transition::Completed(object) => {
                assert_eq!(record.state, State::Completing);
                assert_eq!(metadata.object(&upload_id), Some(object), "the node row is first");
            }
            Transition::End { state, error } => match state {
                State::Failed => self.judge_failure(stored, error.as_ref().unwrap()),
                State::Aborted => assert!(open && self.aborts_asked.contains(&upload_id)),
                State::Expired => {
                    assert!(open && !is_whole && self.latest_ms >= record.expire_ms);
                }
                _ => panic!("{state:?} isn't an end"),
            },
            Transition::CleanedUp => {
                assert!(!disk.partials.contains_key(&upload_id), "swept");
                assert_eq!(metadata.is_claimed(&upload_id), record.state == State::Completed);
            }
            Transition::BeginMultipart { .. }
            | Transition::PlanPart { .. }
            | Transition::StorePart { .. } => {}
            Transition::Create(_) => unreachable!("not a step of it"),
        }
    }

    /// Whether chunks are recorded.
    pub(crate) fn records(&self) -> bool {
        !self.discards || self.spool == Spool::Redis
    }

    /// Only what was in memory, or in Redis and isn't any more, is lost, or lies behind it at a
    /// place that isn't known any more.
    fn judge_loss(&self, redis: &Redis, stored: &StoredUpload, number: u32) {
        let chunk = &stored.chunks[&number];
        let is_gone = match chunk.place {
            ChunkPlace::Memory(_) => true,
            ChunkPlace::Redis => {
                let key = (stored.record.upload_id, number, chunk.attempt);
                redis.read(key, chunk.bytes).is_none()
            }
            _ => false,
        };
        let promised = stored.record.spec.chunk_size_bytes.is_some();
        let front = (0..).find(|front| !stored.chunks.contains_key(front)).unwrap();
        let at_place = chunk.place == ChunkPlace::Object;
        let behind = self.spool != Spool::Disk && !promised && number > front && at_place;
        assert!(is_gone || behind, "chunk {number} is lost");
        assert!(stored.record.state <= State::Uploading, "lost after all were in");
    }

    /// What an upload that is COMPLETING has to become.
    pub(crate) fn object(&self, stored: &StoredUpload) -> Object {
        if self.discards {
            return stored.record.object.clone().expect("recorded with COMPLETING");
        }
        let bytes = self.ledger.bytes(stored);
        Object {
            size_bytes: bytes.len() as u64,
            crc64nvme: Some(Crc64Nvme::of(&bytes)),
            sha256: stored.record.spec.hash.then(|| Sha256State::of(&bytes)),
            stored: None,
        }
    }

    fn judge_failure(&self, stored: &StoredUpload, error: &EndError) {
        let spec = &stored.record.spec;
        let object = self.object(stored);
        match error.reason {
            Reason::SizeMismatch => {
                assert_ne!(spec.expected_size_bytes, Some(object.size_bytes));
            }
            Reason::ObjectMismatch => assert_ne!(spec.sha256, object.sha256),
            reason => panic!("an upload failed for {reason}"),
        }
    }
}

/// Without a promise no place is known behind a hole, so no restart may find any there.
fn assert_places_known(stored: &StoredUpload) {
    // What was sent of a chunk that was lost comes again as it was.
    if stored.record.schedule.is_some() {
        return;
    }
    let promised = stored.record.spec.chunk_size_bytes.is_some();
    let mut in_order = stored.chunks.iter().zip(0..);
    let Some(((&behind, _), _)) = in_order.find(|((number, _), next)| *number != next) else {
        return;
    };
    let mut behind = stored.chunks.range(behind..);
    let placed = behind.find(|(_, chunk)| chunk.place == ChunkPlace::Object);
    assert!(promised || placed.is_none(), "{placed:?} is placed behind a hole");
}
