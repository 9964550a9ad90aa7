//! One upload as its owner knows it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use sluice_proto::checksum::Crc64Nvme;

use crate::{
    bodies::Bodies,
    budget::Charge,
    effect::Progress,
    filling::Filling,
    hash::Hash,
    keys::{BodyId, CallId, StreamKey},
    queue::Queue,
    ranges::Ranges,
    record::{ChunkPlace, Extent, State, StoredUpload, Transition},
    storing::Storing,
    writes::Writes,
};

/// An upload without its texts, and what points at it.
const UPLOAD_BYTES: usize = 1536;
/// A pair of the client's metadata, beside its texts.
const PAIR_BYTES: usize = 64;

/// What happens once a step is durable.
#[derive(Debug)]
pub(crate) enum Then {
    Ack(EndWaiterStream),
    /// Its chunk was lost before anybody was told that it is in.
    SendAgain(StreamKey),
    Initiated {
        call: CallId,
        duplicate: bool,
    },
    /// Tells what is missing, or awaits the end.
    Complete {
        call: CallId,
        wait_until_ms: u64,
    },
    Aborted(CallId),
    FreeExtent(Extent),
    FreeMemory(BodyId),
    FreeBody {
        number: u32,
        attempt: u32,
    },
    /// Drops what is in Redis: `objects = discard`.
    Dequeue {
        number: u32,
        attempt: u32,
    },
    FreeAll,
    Cleanup,
}

/// A chunk's ack that may wait for the end of the upload.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EndWaiterStream {
    pub stream: StreamKey,
    pub number: u32,
    pub bytes: u64,
    pub duplicate: bool,
    pub wait_until_ms: Option<u64>,
}

/// Who waits for the end.
#[derive(Debug)]
pub(crate) enum EndWaiter {
    Stream(EndWaiterStream),
    Call(CallId),
    /// AbortUpload: until all that the upload held is free.
    Abort(CallId),
}

/// How far the end has come. Each step is redone after a crash, from COMPLETING as recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Ending {
    Open,
    Sealing,
    Finishing,
    Recorded,
    /// What it held is given back, before its end is told: who is told may ask for it at once.
    Releasing,
    /// The same by a new process. The end was recorded before, and may have been told.
    Resumed,
    Sweeping,
    Swept,
}

/// One copy from the spool to its place.
#[derive(Debug)]
pub(crate) struct Copying {
    pub attempt: u32,
    /// What it reads was replaced by `force`, and is given back when the copy has ended.
    pub replaced: Option<Then>,
    /// A chunk before it was lost, so where it goes isn't known any more.
    pub is_astray: bool,
}

#[derive(Debug)]
pub(crate) struct Upload {
    /// As it will be once all queued steps are durable.
    pub stored: StoredUpload,
    pub durable_rev: u64,
    /// Steps in flight, from `durable_rev + 1` on, and their time.
    pub recording: Option<(u64, Vec<Transition>)>,
    pub queued: Vec<Transition>,
    pub then: VecDeque<(u64, Then)>,
    /// How much of its parts is in: `objects = s3`.
    pub filling: Filling,
    pub storing: Storing,
    pub received: Ranges,
    pub received_bytes: u64,
    /// Bytes of chunks 0..front.
    pub front_bytes: u64,
    /// Chunks 0..placed are at their place.
    pub placed: u32,
    pub placed_bytes: u64,
    pub placed_crc64nvme: u64,
    pub stored_bytes: u64,
    /// Recorded, but not at their place.
    pub unplaced: Queue,
    /// Their place in the object is being written.
    pub writes: Writes,
    /// Being copied from the spool to their place.
    pub copies: BTreeMap<u32, Copying>,
    /// Chunks that have bytes at their place which are the record's until this `rev` is durable.
    pub guarded: BTreeMap<u32, u64>,
    /// Nothing is copied to its place before this `rev` is durable.
    pub copies_from_rev: u64,
    pub streams: BTreeSet<(u32, StreamKey)>,
    /// Bodies whose writes may still happen after their stream is gone.
    pub dropping: usize,
    pub memory: BTreeMap<BodyId, Charge>,
    /// In Redis.
    pub bodies: Bodies,
    pub hash: Option<Hash>,
    pub ending: Ending,
    pub completing_rev: u64,
    pub end_waiters: Vec<(u64, EndWaiter)>,
    /// They wait until it isn't `watched` any more.
    pub watchers: Vec<CallId>,
    pub watched: Option<Progress>,
}

impl Upload {
    pub(crate) fn new(stored: StoredUpload, durable_rev: u64, now_ms: u64) -> Self {
        let mut upload = Self {
            durable_rev,
            recording: None,
            queued: Vec::new(),
            then: VecDeque::new(),
            filling: Filling::default(),
            storing: Storing::default(),
            received: Ranges::default(),
            received_bytes: 0,
            front_bytes: 0,
            placed: 0,
            placed_bytes: 0,
            placed_crc64nvme: 0,
            stored_bytes: 0,
            unplaced: Queue::default(),
            writes: Writes::default(),
            copies: BTreeMap::new(),
            guarded: BTreeMap::new(),
            copies_from_rev: 0,
            streams: BTreeSet::new(),
            dropping: 0,
            memory: BTreeMap::new(),
            bodies: Bodies::default(),
            hash: None,
            ending: Ending::Open,
            completing_rev: 0,
            end_waiters: Vec::new(),
            watchers: Vec::new(),
            watched: None,
            stored,
        };
        upload.recount(now_ms);
        upload.begin_hash();
        if upload.state() == State::Completing {
            upload.completing_rev = durable_rev;
        }
        upload
    }

    /// Works out from the chunk records what is kept beside them.
    pub(crate) fn recount(&mut self, now_ms: u64) {
        self.received = Ranges::default();
        (self.received_bytes, self.front_bytes, self.stored_bytes) = (0, 0, 0);
        let mut unplaced = Vec::new();
        for (&number, chunk) in &self.stored.chunks {
            self.received.insert(number);
            self.received_bytes += chunk.bytes;
            match chunk.place {
                ChunkPlace::Object | ChunkPlace::Discarded => self.stored_bytes += chunk.bytes,
                ChunkPlace::Spool(_) | ChunkPlace::Redis | ChunkPlace::Memory(_) => {
                    unplaced.push(number);
                }
            }
        }
        self.unplaced = Queue::anew(unplaced.into_iter(), &self.unplaced, now_ms);
        (self.placed, self.placed_bytes, self.placed_crc64nvme) = (0, 0, 0);
        self.advance_placed();
        self.count_front();
        self.count_made();
        self.recount_parts();
    }

    /// All chunks of an object were in, whatever is recorded of them.
    fn count_made(&mut self) {
        let Some((object, total)) = self.stored.made_before() else { return };
        if let Some(total) = total {
            self.received = Ranges::first(total);
            self.placed = total;
        }
        self.placed_bytes = object.size_bytes;
        self.placed_crc64nvme = object.crc64nvme.unwrap_or_default();
        let bytes = self.placed_bytes;
        (self.received_bytes, self.front_bytes, self.stored_bytes) = (bytes, bytes, bytes);
    }

    /// Counts a chunk that is new.
    pub(crate) fn add(&mut self, number: u32, bytes: u64, at_place: bool, now_ms: u64) {
        let before = self.received.front();
        self.received.insert(number);
        self.received_bytes += bytes;
        let front = self.received.front();
        self.front_bytes +=
            self.stored.chunks.range(before..front).map(|(_, chunk)| chunk.bytes).sum::<u64>();
        if at_place {
            self.stored_bytes += bytes;
            self.advance_placed();
        } else {
            self.unplaced.insert(number, now_ms);
        }
        self.count_parts(number);
    }

    /// Doesn't count a chunk any more that isn't among those placed without a hole.
    pub(crate) fn subtract(&mut self, number: u32, bytes: u64, place: ChunkPlace) {
        assert!(number >= self.placed, "what is placed and summed isn't lost");
        self.received.remove(number);
        self.received_bytes -= bytes;
        match place {
            ChunkPlace::Object | ChunkPlace::Discarded => self.stored_bytes -= bytes,
            ChunkPlace::Spool(_) | ChunkPlace::Redis | ChunkPlace::Memory(_) => {
                self.unplaced.remove(number);
            }
        }
    }

    pub(crate) fn count_front(&mut self) {
        self.front_bytes = self.bytes_before(self.received.front());
    }

    /// Most is asked for just behind what is placed, so the sum goes on from there.
    fn bytes_before(&self, number: u32) -> u64 {
        let (from, bytes) =
            if number >= self.placed { (self.placed, self.placed_bytes) } else { (0, 0) };
        let behind = self.stored.chunks.range(from..number).map(|(_, chunk)| chunk.bytes);
        bytes + behind.sum::<u64>()
    }

    /// Goes over what is at its place now, and sums it.
    pub(crate) fn advance_placed(&mut self) {
        while let Some(chunk) = self.stored.chunks.get(&self.placed) {
            if !matches!(chunk.place, ChunkPlace::Object | ChunkPlace::Discarded) {
                return;
            }
            // Of nothing, or where nothing is summed: combining would change nothing.
            self.placed_crc64nvme = if self.placed_crc64nvme == 0 {
                chunk.crc64nvme
            } else {
                Crc64Nvme::combine(self.placed_crc64nvme, chunk.crc64nvme, chunk.bytes)
            };
            self.placed_bytes += chunk.bytes;
            self.placed += 1;
        }
    }

    /// Starts the hash, from the recorded state if there is one.
    pub(crate) fn begin_hash(&mut self) {
        if self.hash.is_none() && self.stored.record.spec.hash {
            let recorded = self.stored.hash_state.as_deref();
            // What the store has isn't read again: the recorded state holds whatever is lost.
            let is_cut = self.stored.record.schedule.is_some();
            let known_bytes = if is_cut { u64::MAX } else { self.placed_bytes };
            self.hash = Some(Hash::begin(recorded, known_bytes));
        }
    }

    /// Where a chunk's bytes go in the object, if that can be known yet.
    pub(crate) fn offset_of(&self, number: u32) -> Option<u64> {
        let front = self.received.front();
        match self.stored.record.spec.chunk_size_bytes {
            Some(chunk_bytes) => Some(u64::from(number) * chunk_bytes),
            None if number == front => Some(self.front_bytes),
            None if number < front => Some(self.bytes_before(number)),
            None => self.offset_behind_lost(number),
        }
    }

    /// Whether `force` comes too late for this chunk, or would shift what is placed behind it.
    pub(crate) fn is_sealed(&self, number: u32, bytes: u64) -> bool {
        let Some(old) = self.stored.chunks.get(&number) else { return false };
        let shifts = old.bytes != bytes
            && self.stored.record.spec.chunk_size_bytes.is_none()
            && number < self.received.front();
        shifts || self.is_hashed(number) || self.is_sent(number)
    }

    /// Whether the SHA-256 goes over a chunk, or has.
    pub(crate) fn is_hashed(&self, number: u32) -> bool {
        let offset = self.offset_of(number);
        let hash = self.hash.as_ref();
        hash.is_some_and(|hash| offset.is_some_and(|offset| offset < hash.end()))
    }

    /// What it takes in memory beside its chunks, bytes, about.
    pub(crate) fn weight_bytes(&self) -> usize {
        let spec = &self.stored.record.spec;
        let pair = |(key, value): (&String, &String)| key.len() + value.len() + PAIR_BYTES;
        let texts = [spec.tenant.len(), spec.filename.as_str().len(), spec.mime_type.len()];
        let metadata = spec.metadata.iter().map(pair).sum::<usize>();
        UPLOAD_BYTES + texts.iter().sum::<usize>() + metadata
    }

    /// All of 0..N-1 are in.
    pub(crate) fn is_whole(&self) -> bool {
        self.stored.record.total_chunks == Some(self.received.front())
    }

    /// Some chunk is only in memory or in Redis: COMPLETING would promise what a restart, of this
    /// process or of Redis, takes back.
    pub(crate) fn may_lose_chunks(&self) -> bool {
        let may_be_lost = |number| {
            let place = self.stored.chunks.get(&number).map(|chunk| chunk.place);
            matches!(place, Some(ChunkPlace::Memory(_) | ChunkPlace::Redis))
        };
        self.unplaced.numbers(0).any(may_be_lost)
    }

    pub(crate) fn state(&self) -> State {
        self.stored.record.state
    }
}
