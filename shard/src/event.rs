//! What happens to a shard.

use bytes::Bytes;
use sluice_proto::{
    checksum::Sha256State,
    error::Refusal,
    grpc::ChunkChecks,
    ids::{ChunkCount, NodeId, StoreId, UploadId},
};

use crate::{
    effect::Progress,
    keys::{BodyId, CallId, OpId, StreamKey},
    record::{EndError, FoundUpload, StoredAs, UploadSpec},
};

/// One thing that happened.
#[derive(Debug)]
pub enum Event {
    /// A store was read at start; its uploads are served from now on.
    StoreLoaded {
        /// Which store.
        store: StoreId,
        /// All that it holds but uploads that have ended and are swept: these are read by
        /// [`Effect::Load`](crate::Effect::Load) when somebody asks for them.
        uploads: Vec<FoundUpload>,
        /// Segment files found in its spool.
        segments: Vec<u32>,
        /// They stay while this process runs: an upload that can't be read may have bytes there.
        keeps_segments: bool,
    },
    /// InitiateUpload.
    Initiate(Box<Initiate>),
    /// InitiateUpload, after [`CallReply::Known`](crate::effect::CallReply::Known): the same
    /// request made this upload before. Never begins another one, as [`Event::Initiate`] would
    /// under an id that had an end already.
    InitiateAgain {
        /// Who asks.
        call: CallId,
        /// The upload that was told.
        upload_id: UploadId,
    },
    /// The header of a chunk was read; its payload waits for the grant.
    ChunkOpen(Box<ChunkOpen>),
    /// A chunk that came whole with its header: taken at once, refused, or answered by
    /// [`StreamReply::Again`](crate::effect::StreamReply::Again), after which nothing is changed.
    ChunkWhole {
        /// As of its header.
        open: Box<ChunkOpen>,
        /// All of its payload.
        bytes: Bytes,
    },
    /// Payload of a granted chunk, in order.
    ChunkPiece {
        /// The chunk.
        stream: StreamKey,
        /// A slice of it.
        bytes: Bytes,
    },
    /// The payload is whole. What a late field changed is in here.
    ChunkEnd {
        /// The chunk.
        stream: StreamKey,
        /// As [`ChunkOpen::is_last`], with late fields applied.
        is_last: bool,
        /// As [`ChunkOpen::force`], with late fields applied.
        force: bool,
        /// As [`ChunkOpen::checks`], with late fields applied.
        checks: ChunkChecks,
    },
    /// The rest will never come: the client is gone, too slow, or broke the protocol. Nothing is
    /// answered on this stream any more.
    ChunkCut {
        /// The chunk.
        stream: StreamKey,
    },
    /// CompleteUpload.
    Complete {
        /// Who asks.
        call: CallId,
        /// Whose uploads the caller may see.
        tenant: String,
        /// The upload.
        upload_id: UploadId,
        /// N, if the caller says it.
        total_chunks: Option<ChunkCount>,
        /// SHA-256 of the whole, if the caller declares it here.
        sha256: Option<[u8; 32]>,
        /// Answer COMPLETING if it takes longer, monotonic ms.
        wait_until_ms: u64,
    },
    /// AbortUpload.
    Abort {
        /// Who asks.
        call: CallId,
        /// Whose uploads the caller may see.
        tenant: String,
        /// The upload.
        upload_id: UploadId,
    },
    /// GetUploadStatus.
    Status {
        /// Who asks.
        call: CallId,
        /// Whose uploads the caller may see.
        tenant: String,
        /// The upload.
        upload_id: UploadId,
        /// Chunks below this number were told on earlier pages.
        from_chunk: u32,
        /// At most so many ranges, received and missing together.
        ranges_max: usize,
    },
    /// StreamUploadProgress: answer at the upload's next change.
    Watch {
        /// Who asks.
        call: CallId,
        /// Whose uploads the caller may see.
        tenant: String,
        /// The upload.
        upload_id: UploadId,
        /// What the caller knows already.
        seen: Option<Progress>,
    },
    /// A control call's caller is gone.
    CallCut {
        /// The call.
        call: CallId,
    },
    /// An effect that carries an [`OpId`] has ended.
    Done {
        /// Which.
        op: OpId,
        /// How.
        result: Result<Outcome, Failure>,
    },
    /// A body whose turn at the SHA-256 came was closed and is hashed, or won't be.
    BodyHashed {
        /// Its upload.
        upload_id: UploadId,
        /// Which.
        body: BodyId,
        /// The SHA-256 at its end; `None` when its bytes are to be read back.
        state: Option<Box<Sha256State>>,
    },
    /// Whether Redis has memory for more bodies; until it is told, it has. Without, no body is
    /// begun; what is there goes on to its place, so room comes.
    SpoolRoom {
        /// It has.
        admits: bool,
    },
    /// [`Shard::next_deadline`](crate::Shard::next_deadline) has passed.
    Tick,
    /// Shutting down: what is open may end, nothing new begins.
    Drain,
}

/// A new upload, checked.
#[derive(Clone, Debug)]
pub struct Initiate {
    /// Who asks.
    pub call: CallId,
    /// A fresh id in one of this shard's stores.
    pub upload_id: UploadId,
    /// What is asked for.
    pub spec: UploadSpec,
}

/// A chunk whose header was read.
#[derive(Clone, Debug)]
pub struct ChunkOpen {
    /// Names the chunk until its last effect.
    pub stream: StreamKey,
    /// Whose uploads the caller may see.
    pub tenant: String,
    /// The upload.
    pub upload_id: UploadId,
    /// Chunk number.
    pub number: u32,
    /// It fixes N.
    pub is_last: bool,
    /// It replaces what the number holds.
    pub force: bool,
    /// What the client says of the bytes.
    pub checks: ChunkChecks,
    /// Length, bytes.
    pub data_bytes: u64,
    /// If this chunk ends the upload, answer at this time at the latest, monotonic ms. `None`:
    /// don't wait for the end.
    pub end_wait_until_ms: Option<u64>,
}

/// How an effect ended well.
#[derive(Debug)]
pub enum Outcome {
    /// Nothing more to say.
    Done,
    /// The answer to a claim.
    Claimed(Claimed),
    /// What the store holds of an upload, if it does.
    Loaded(Option<Box<FoundUpload>>),
    /// The hash state at the end of the range.
    Hashed(Box<Sha256State>),
    /// A multipart upload was begun.
    Begun {
        /// Its id at the store.
        multipart_id: String,
    },
    /// The store has a part, or an object.
    Stored(StoredAs),
    /// The store has other parts than it answered: what it has in their place, if anything of
    /// this length and these bytes.
    PartsDiffer(Vec<(u32, Option<StoredAs>)>),
    /// The object store takes it by no means, now or later.
    Refused(EndError),
}

/// What the metadata said to a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claimed {
    /// It is this upload's now, or was already.
    Granted,
    /// The same request made this upload before.
    Known {
        /// That upload.
        upload_id: UploadId,
        /// Its node.
        node_id: NodeId,
    },
    /// The request can't be granted: drive unknown, node or name taken, request_id reused.
    Refused(Refusal),
}

/// How an effect failed: it may have happened or not, but won't happen any more. Everything is
/// tried again, but writing a chunk's body and a claim: there the client asks again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// No room: disk or database full.
    Full,
    /// Not now: an I/O error, a backend that is down or slow.
    Unavailable,
    /// Only of [`Effect::Load`](crate::Effect::Load): what is recorded of the upload can't be read.
    Damaged,
    /// Only where bytes are read from Redis: the body isn't there, or isn't whole, and won't ever
    /// be.
    Gone {
        /// Chunk number.
        number: u32,
        /// Which attempt at it.
        attempt: u32,
    },
}
