//! What is durable of an upload, and the steps that change it.
//!
//! A store keeps these; [`StoredUpload::apply`] says what each step means, for every store alike.
//! Steps are idempotent: the `rev` that goes with a step says whether it was taken before.

mod stored;

use std::collections::BTreeMap;

use sluice_proto::ids::{DriveId, Filename, NodeId, RequestId, UploadId};

use crate::parts::Schedule;

pub use stored::StoredUpload;

/// Where an upload stands. The last four never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum State {
    /// Made; nothing has come yet.
    Pending,
    /// Some chunks are in.
    Uploading,
    /// All chunks are in; the object is being made.
    Completing,
    /// The object is whole and visible.
    Completed,
    /// It can't become an object; `error` says why.
    Failed,
    /// The client gave it up.
    Aborted,
    /// It took longer than its lifetime.
    Expired,
}

impl State {
    /// Whether nothing can change any more.
    #[must_use]
    pub fn ended(self) -> bool {
        self >= State::Completed
    }
}

/// What a client asked for at Initiate, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UploadSpec {
    /// Who is billed; empty without authentication.
    pub tenant: String,
    /// Where the node will live.
    pub drive_id: DriveId,
    /// The durable record that it becomes.
    pub node_id: NodeId,
    /// The client's name for it; never a path.
    pub filename: Filename,
    /// The client's MIME type; empty if none was given.
    pub mime_type: String,
    /// The client's own pairs.
    pub metadata: BTreeMap<String, String>,
    /// The whole size in bytes, if the client knows it.
    pub expected_size_bytes: Option<u64>,
    /// Every chunk's length but the last's, bytes; `None` without a promise.
    pub chunk_size_bytes: Option<u64>,
    /// No object longer than this, bytes.
    pub max_size_bytes: u64,
    /// The SHA-256 that the client declared.
    pub sha256: Option<[u8; 32]>,
    /// Whether the SHA-256 of the whole is computed.
    pub hash: bool,
    /// Whether the name must be new in its drive.
    pub if_not_exists: bool,
    /// The client's key for this call.
    pub request_id: Option<RequestId>,
    /// A digest of all that the client asked for; a repeat must have the same.
    pub fingerprint: [u8; 32],
}

/// An object that is whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// Length, bytes.
    pub size_bytes: u64,
    /// CRC64NVME of the whole; `None` when `integrity.crc` is off.
    pub crc64nvme: Option<u64>,
    /// SHA-256 of the whole, if it was computed.
    pub sha256: Option<[u8; 32]>,
    /// As the object store knows it.
    pub stored: Option<StoredAs>,
}

/// What an object store answered to an object that it made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoredAs {
    /// Without quotes.
    pub etag: String,
    /// In a versioned bucket.
    pub version_id: Option<String>,
}

/// Why an upload failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndError {
    /// The contract's reason, as on the wire.
    pub reason: sluice_proto::error::Reason,
    /// The sentence for the client.
    pub message: String,
}

/// A slice of a spool segment, bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Extent {
    /// Segment number within the store.
    pub segment: u32,
    /// Where it starts in the segment, bytes.
    pub offset: u64,
    /// How long it is, bytes.
    pub bytes: u64,
}

/// Where a recorded chunk's bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChunkPlace {
    /// At their place in the partial object.
    Object,
    /// In the spool on disk.
    Spool(Extent),
    /// In Redis, under the record's attempt.
    Redis,
    /// In this process's memory: gone after a restart.
    Memory(crate::keys::BodyId),
    /// Nowhere: `objects = discard`. Recorded only of what was in Redis: else it would claim bytes
    /// that nobody had.
    Discarded,
}

/// A chunk that is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChunkRecord {
    /// The attempt that won. They count up; in Redis each has a key of its own, and one that was
    /// begun earlier may win later.
    pub attempt: u32,
    /// Length, bytes.
    pub bytes: u64,
    /// CRC64NVME of the chunk; 0 when `integrity.crc` is off.
    pub crc64nvme: u64,
    /// CRC32C of the chunk; 0 when `integrity.crc` is off.
    pub crc32c: u32,
    /// SHA-256 of the chunk, if the client sent one.
    pub sha256: Option<Box<[u8; 32]>>,
    /// Where the bytes are.
    pub place: ChunkPlace,
}

/// The durable part of an upload but its chunks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UploadRecord {
    /// Its id, which names its store.
    pub upload_id: UploadId,
    /// What was asked for.
    pub spec: UploadSpec,
    /// Where it stands.
    pub state: State,
    /// N, once it is fixed.
    pub total_chunks: Option<u32>,
    /// When it was made, Unix ms.
    pub create_ms: u64,
    /// When it last changed, Unix ms.
    pub update_ms: u64,
    /// When it expires, Unix ms.
    pub expire_ms: u64,
    /// The object, once COMPLETED; with `objects = discard` from COMPLETING on.
    pub object: Option<Object>,
    /// Why it FAILED.
    pub error: Option<EndError>,
    /// Ended, but its bytes and claims aren't swept yet.
    pub cleanup_pending: bool,
    /// How its object is cut into parts, from its first step on: `objects = s3`.
    pub schedule: Option<Schedule>,
    /// The object store's id of the multipart upload that makes the object.
    pub multipart_id: Option<String>,
}

/// The "part" that is the whole of a small object, sent by one PUT. Others count from 1.
pub const WHOLE: u32 = 0;

/// A part of the object. Its range follows from the schedule, and was recorded before it was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartRecord {
    /// Length, bytes: what the schedule says, or less for the last.
    pub bytes: u64,
    /// What the object store answered, once it has the part.
    pub stored: Option<StoredAs>,
}

/// What is known of a chunk whose bytes are lost after a part over them was sent, or the SHA-256 had
/// gone over them: it must come again as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LostChunk {
    /// Length, bytes.
    pub bytes: u64,
    /// CRC64NVME of the chunk.
    pub crc64nvme: u64,
    /// CRC32C of the chunk.
    pub crc32c: u32,
}

impl UploadRecord {
    /// It hasn't ended, or isn't swept yet: so its owner has it in memory.
    #[must_use]
    pub fn is_live(&self) -> bool {
        !self.state.ended() || self.cleanup_pending
    }
}

/// One step of an upload's durable life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Transition {
    /// The upload begins.
    Create(Box<UploadRecord>),
    /// A chunk is in; with `total_chunks` it also fixes N.
    PutChunk {
        /// Chunk number.
        number: u32,
        /// Its record, which replaces one of another attempt.
        chunk: ChunkRecord,
        /// N, if this chunk fixes it.
        total_chunks: Option<u32>,
    },
    /// A chunk's bytes were only in the memory of a process that is gone, or in a Redis that lost
    /// them, or their place in the object followed from the length of one that was.
    LoseChunk {
        /// Chunk number.
        number: u32,
    },
    /// As [`Transition::LoseChunk`], but the chunk must come again as it was.
    BindChunk {
        /// Chunk number.
        number: u32,
    },
    /// The object store has begun a multipart upload.
    BeginMultipart {
        /// Its id.
        multipart_id: String,
    },
    /// A part is about to be sent; from now on its range never changes.
    PlanPart {
        /// Part number, or [`WHOLE`].
        part: u32,
        /// Length, bytes.
        bytes: u64,
    },
    /// The object store has a part.
    StorePart {
        /// Part number, or [`WHOLE`].
        part: u32,
        /// What it answered.
        stored: StoredAs,
    },
    /// A chunk's bytes are now at their place in the object.
    PlaceChunk {
        /// Chunk number.
        number: u32,
        /// The attempt that was moved.
        attempt: u32,
    },
    /// A chunk's bytes were in Redis and are dropped: `objects = discard`.
    DropChunk {
        /// Chunk number.
        number: u32,
        /// The attempt that was dropped.
        attempt: u32,
    },
    /// N is fixed, and a SHA-256 may be declared late.
    FixTotal {
        /// N.
        total_chunks: u32,
        /// The SHA-256 that CompleteUpload declared.
        sha256: Option<[u8; 32]>,
    },
    /// The SHA-256 of the object's first bytes, as `Sha256State::export` gives it.
    HashState(Vec<u8>),
    /// All chunks are in.
    Completing {
        /// What they make, where they aren't recorded themselves: `objects = discard`.
        object: Option<Object>,
    },
    /// The object is whole, visible, and in the metadata.
    Completed(Object),
    /// FAILED, ABORTED or EXPIRED; the sweep is still to come.
    End {
        /// Which of the three.
        state: State,
        /// Why, if FAILED.
        error: Option<EndError>,
    },
    /// Bytes and claims are swept; parts are forgotten.
    CleanedUp,
}

/// An upload as a start, or a question, finds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundUpload {
    /// As its store has it.
    pub stored: StoredUpload,
    /// Its store takes it for open, and it isn't: the step that ended it, by what the metadata says.
    /// A store that went back in time has lost that.
    pub lost_end: Option<Transition>,
}

impl From<StoredUpload> for FoundUpload {
    fn from(stored: StoredUpload) -> Self {
        Self { stored, lost_end: None }
    }
}
