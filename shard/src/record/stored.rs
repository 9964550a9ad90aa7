//! One upload as a store holds it, and what each step makes of it.

use std::collections::BTreeMap;

use super::{
    ChunkPlace, ChunkRecord, LostChunk, Object, PartRecord, State, StoredAs, Transition,
    UploadRecord,
};

/// One upload as a store holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredUpload {
    /// All but its chunks.
    pub record: UploadRecord,
    /// Its chunks by number.
    pub chunks: BTreeMap<u32, ChunkRecord>,
    /// Chunks that must come again as they were, by number.
    pub lost: BTreeMap<u32, LostChunk>,
    /// Parts that were sent, or are about to be, by number.
    pub parts: BTreeMap<u32, PartRecord>,
    /// The last recorded state of its SHA-256.
    pub hash_state: Option<Vec<u8>>,
    /// Steps taken so far.
    pub rev: u64,
}

impl StoredUpload {
    /// An upload that begins.
    #[must_use]
    pub fn new(record: UploadRecord, rev: u64) -> Self {
        Self {
            record,
            chunks: BTreeMap::new(),
            lost: BTreeMap::new(),
            parts: BTreeMap::new(),
            hash_state: None,
            rev,
        }
    }

    /// Length of a chunk that is in, or was and must come again as it was, bytes.
    pub(crate) fn chunk_bytes(&self, number: u32) -> Option<u64> {
        let lost = || self.lost.get(&number).map(|lost| lost.bytes);
        self.chunks.get(&number).map(|chunk| chunk.bytes).or_else(lost)
    }

    /// Holds a chunk that isn't recorded: a restart has it asked for again.
    pub(crate) fn hold(&mut self, number: u32, chunk: ChunkRecord, wall_ms: u64) {
        self.chunks.insert(number, chunk);
        self.record.state = self.record.state.max(State::Uploading);
        self.record.update_ms = wall_ms;
    }

    /// The object whose chunks needn't be recorded, and how many they were, if that is known:
    /// `objects = discard`, read from a store; or its store had lost that it is COMPLETED.
    pub(crate) fn made_before(&self) -> Option<(&Object, Option<u32>)> {
        let is_made = self.chunks.is_empty() || self.record.state == State::Completed;
        let object = self.record.object.as_ref().filter(|_| is_made)?;
        Some((object, self.record.total_chunks))
    }

    fn set_place(&mut self, number: u32, attempt: u32, place: ChunkPlace) {
        if let Some(chunk) = self.chunks.get_mut(&number).filter(|c| c.attempt == attempt) {
            chunk.place = place;
        }
    }

    fn bind(&mut self, number: u32) {
        if let Some(chunk) = self.chunks.remove(&number) {
            let ChunkRecord { bytes, crc64nvme, crc32c, .. } = chunk;
            self.lost.insert(number, LostChunk { bytes, crc64nvme, crc32c });
        }
    }

    fn store_part(&mut self, part: u32, stored: &StoredAs) {
        if let Some(planned) = self.parts.get_mut(&part) {
            planned.stored = Some(stored.clone());
        }
    }

    /// Takes one step, the `rev + 1`th. The reference for every store.
    ///
    /// # Panics
    /// On [`Transition::Create`], which makes the whole.
    pub fn apply(&mut self, step: &Transition, wall_ms: u64) {
        let record = &mut self.record;
        record.update_ms = wall_ms;
        self.rev += 1;
        match step {
            Transition::Create(_) => unreachable!("made whole"),
            Transition::PutChunk { number, chunk, total_chunks } => {
                self.lost.remove(number);
                self.chunks.insert(*number, chunk.clone());
                record.total_chunks = record.total_chunks.or(*total_chunks);
                record.state = record.state.max(State::Uploading);
            }
            Transition::LoseChunk { number } => drop(self.chunks.remove(number)),
            Transition::BindChunk { number } => self.bind(*number),
            Transition::BeginMultipart { multipart_id } => {
                record.multipart_id = Some(multipart_id.clone());
            }
            Transition::PlanPart { part, bytes } => {
                self.parts.insert(*part, PartRecord { bytes: *bytes, stored: None });
            }
            Transition::StorePart { part, stored } => self.store_part(*part, stored),
            Transition::PlaceChunk { number, attempt } => {
                self.set_place(*number, *attempt, ChunkPlace::Object);
            }
            Transition::DropChunk { number, attempt } => {
                self.set_place(*number, *attempt, ChunkPlace::Discarded);
            }
            Transition::FixTotal { total_chunks, sha256 } => {
                record.total_chunks = Some(*total_chunks);
                if sha256.is_some() {
                    record.spec.sha256 = *sha256;
                    record.spec.hash = true;
                }
            }
            Transition::HashState(state) => self.hash_state = Some(state.clone()),
            Transition::Completing { object } => {
                record.state = State::Completing;
                record.object.clone_from(object);
            }
            Transition::Completed(object) => {
                record.state = State::Completed;
                record.object = Some(object.clone());
                record.cleanup_pending = true;
            }
            Transition::End { state, error } => {
                record.state = *state;
                record.error = error.clone();
                record.object = None;
                record.cleanup_pending = true;
            }
            Transition::CleanedUp => {
                record.cleanup_pending = false;
                self.lost.clear();
                self.parts.clear();
            }
        }
    }
}
