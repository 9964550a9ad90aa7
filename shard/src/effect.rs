//! What a shard wants done. The driver does it and, where there is an [`OpId`], tells its end.

use std::ops::RangeInclusive;

use bytes::Bytes;
use sluice_proto::{checksum::Sha256State, error::Refusal, ids::UploadId};

use crate::{
    keys::{BodyId, CallId, OpId, StreamKey},
    record::{EndError, Extent, Object, State, Transition, UploadRecord, UploadSpec},
};

/// One thing to do, in the order given.
#[derive(Debug)]
pub enum Effect {
    /// Tells the reader of a chunk.
    Stream {
        /// The chunk.
        stream: StreamKey,
        /// What it is told.
        reply: StreamReply,
    },
    /// Answers a control call; its last effect.
    Reply {
        /// The call.
        call: CallId,
        /// The answer.
        result: Result<CallReply, Refusal>,
    },
    /// Takes steps in the upload's store, in this order, all or none. Steps at or below the
    /// store's `rev` were taken before and are skipped.
    Record {
        /// Ends with [`Outcome::Done`](crate::event::Outcome::Done).
        op: OpId,
        /// The upload.
        upload_id: UploadId,
        /// `rev` of the first step.
        first_rev: u64,
        /// Time of the steps, Unix ms.
        wall_ms: u64,
        /// The steps.
        steps: Vec<Transition>,
    },
    /// Reads an upload from its store, after all steps of it that were given before.
    Load {
        /// Ends with [`Outcome::Loaded`](crate::event::Outcome::Loaded).
        op: OpId,
        /// The upload.
        upload_id: UploadId,
    },
    /// Claims node, name and request in one metadata transaction, with the event row.
    Claim {
        /// Ends with [`Outcome::Claimed`](crate::event::Outcome::Claimed).
        op: OpId,
        /// For whom.
        upload_id: UploadId,
        /// What is claimed.
        spec: Box<UploadSpec>,
        /// When the upload begins, Unix ms.
        create_ms: u64,
    },
    /// Writes node row and event row in one metadata transaction; a repeat changes nothing.
    Finish {
        /// Ends with `Outcome::Done`.
        op: OpId,
        /// The upload.
        record: Box<UploadRecord>,
        /// Its object.
        object: Object,
    },
    /// Gives the claims back, with the event row, in one metadata transaction. Where nothing is
    /// claimed there is nothing to do: not even the event row.
    Release {
        /// Ends with `Outcome::Done`.
        op: OpId,
        /// The upload.
        record: Box<UploadRecord>,
    },
    /// Begins to write one attempt at a chunk.
    OpenBody {
        /// Names it from now on.
        body: BodyId,
        /// The upload.
        upload_id: UploadId,
        /// Where it goes.
        place: BodyPlace,
        /// How many bytes will come.
        bytes: u64,
        /// Whether the upload's SHA-256 is to go on over these bytes, from
        /// [`Effect::HashBody`] on. [`Event::BodyHashed`](crate::Event::BodyHashed) tells its end.
        hash: HashTurn,
    },
    /// The SHA-256 has come to where a body begins: goes on over its bytes as they come. Nothing
    /// is done for a body that left meanwhile.
    HashBody {
        /// The body.
        body: BodyId,
        /// The SHA-256 of all before.
        state: Box<Sha256State>,
    },
    /// The SHA-256 won't go over this body's bytes while they are in memory.
    LeaveHash {
        /// The body.
        body: BodyId,
    },
    /// The next bytes of a body. The driver gives the stream its window back when they have left
    /// memory, or are held in [`BodyPlace::Memory`], which was charged whole.
    Append {
        /// The body.
        body: BodyId,
        /// Whose window they came through.
        stream: StreamKey,
        /// The bytes.
        bytes: Bytes,
    },
    /// All bytes were appended: ends when they are as safe as `durability` promises.
    CloseBody {
        /// Ends with `Outcome::Done`, or a failure after which the body is gone.
        op: OpId,
        /// The body.
        body: BodyId,
        /// Ends only after this body's turn at the SHA-256 has come or it left: so an upload
        /// gets no further ahead of its hash than by a body.
        awaits_turn: bool,
    },
    /// The body isn't wanted. Ends when no write of it can still happen.
    DropBody {
        /// Ends with `Outcome::Done`, always.
        op: OpId,
        /// The body.
        body: BodyId,
    },
    /// Frees a body in Redis, in its own time. One that stays is found by
    /// [`Effect::SweepBodies`].
    FreeBody {
        /// The upload.
        upload_id: UploadId,
        /// Chunk number.
        number: u32,
        /// Which attempt at it.
        attempt: u32,
    },
    /// Forgets a body held in memory.
    FreeMemory {
        /// The body.
        body: BodyId,
    },
    /// Copies a chunk to its place in the partial object.
    Place {
        /// Ends with `Outcome::Done`, or with [`Failure::Gone`](crate::event::Failure::Gone).
        op: OpId,
        /// The upload.
        upload_id: UploadId,
        /// Where the bytes are.
        from: PlaceFrom,
        /// Where they go in the object, bytes.
        offset: u64,
        /// How many, bytes.
        bytes: u64,
    },
    /// Goes on with the SHA-256 over a range of the partial object, at low priority.
    Hash {
        /// Ends with [`Outcome::Hashed`](crate::event::Outcome::Hashed).
        op: OpId,
        /// The upload.
        upload_id: UploadId,
        /// The state so far; its length is where the range begins.
        state: Box<Sha256State>,
        /// How many bytes to go on.
        bytes: u64,
    },
    /// Makes the partial object whole and visible; a repeat changes nothing.
    Seal {
        /// Ends with `Outcome::Done`.
        op: OpId,
        /// The upload.
        record: Box<UploadRecord>,
        /// Its length, bytes.
        size_bytes: u64,
    },
    /// Removes the partial object, if there is one.
    RemovePartial {
        /// Ends with `Outcome::Done`.
        op: OpId,
        /// The upload.
        upload_id: UploadId,
    },
    /// Frees every body of the upload in Redis, of whatever number and attempt: also what a free
    /// that was lost has left, and a process before this one. None is being written any more.
    SweepBodies {
        /// Ends with `Outcome::Done`.
        op: OpId,
        /// The upload.
        upload_id: UploadId,
    },
    /// Removes a spool segment that nothing names any more.
    RemoveSegment {
        /// Which store.
        store: sluice_proto::ids::StoreId,
        /// Its number.
        segment: u32,
    },
}

impl Effect {
    /// The operation whose end the shard waits for, if it does.
    #[must_use]
    pub fn op(&self) -> Option<OpId> {
        match *self {
            Self::Record { op, .. }
            | Self::Load { op, .. }
            | Self::Claim { op, .. }
            | Self::Finish { op, .. }
            | Self::Release { op, .. }
            | Self::CloseBody { op, .. }
            | Self::DropBody { op, .. }
            | Self::Place { op, .. }
            | Self::Hash { op, .. }
            | Self::Seal { op, .. }
            | Self::RemovePartial { op, .. }
            | Self::SweepBodies { op, .. } => Some(op),
            Self::Stream { .. }
            | Self::Reply { .. }
            | Self::OpenBody { .. }
            | Self::HashBody { .. }
            | Self::LeaveHash { .. }
            | Self::Append { .. }
            | Self::FreeMemory { .. }
            | Self::FreeBody { .. }
            | Self::RemoveSegment { .. } => None,
        }
    }
}

/// Where one attempt's bytes are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyPlace {
    /// Straight to their place in the partial object.
    Object {
        /// Where they begin, bytes.
        offset: u64,
    },
    /// To the spool on disk.
    Spool(Extent),
    /// To Redis, under a key that was never written before.
    Redis {
        /// Chunk number.
        number: u32,
        /// Which attempt at it.
        attempt: u32,
    },
    /// Into memory.
    Memory,
    /// Nowhere.
    Discard,
}

/// Whether the SHA-256 will come to a body while its bytes are in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HashTurn {
    /// No: they are read back.
    Never,
    /// All before is in memory or hashed: it waits for nothing but the hash, so its bytes may hold
    /// their window until then.
    Sure,
    /// Something before is still on its way in, and may never come: its bytes may wait for that
    /// where they hold nobody up.
    Maybe,
}

/// Where a placed chunk comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlaceFrom {
    /// The spool of the upload's store.
    Spool(Extent),
    /// Redis.
    Redis {
        /// Chunk number.
        number: u32,
        /// Which attempt at it.
        attempt: u32,
    },
    /// A body held in memory.
    Memory(BodyId),
}

/// What the reader of a chunk is told.
#[derive(Clone, Debug, PartialEq)]
pub enum StreamReply {
    /// Read on: this many bytes may come, and are paid for.
    Granted {
        /// The chunk's length.
        bytes: u64,
    },
    /// No room just now: keep the window shut and wait.
    Parked,
    /// A whole chunk can't be taken at once: open it as any other.
    Again,
    /// The answer, OK; the last. If bytes still come they are drained, bounded.
    Acked(ChunkAck),
    /// The answer, an error; the last.
    Refused(Refusal),
}

/// A chunk is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkAck {
    /// Chunk number.
    pub number: u32,
    /// Its length, bytes.
    pub bytes: u64,
    /// Bytes of all chunks that are in.
    pub received_bytes: u64,
    /// How many chunks are in.
    pub received_count: u32,
    /// Bytes at their place in the object.
    pub stored_bytes: u64,
    /// It was in before.
    pub duplicate: bool,
    /// Where the upload stands.
    pub state: State,
    /// Survives this process.
    pub spooled: bool,
}

/// A control call's answer.
#[derive(Clone, Debug, PartialEq)]
pub enum CallReply {
    /// InitiateUpload: the upload is made, or was before.
    Initiated {
        /// The upload.
        upload: Box<UploadView>,
        /// The same request made it before.
        duplicate: bool,
    },
    /// InitiateUpload: the same request made this upload before. Ask its owner, by
    /// [`Event::InitiateAgain`](crate::Event::InitiateAgain).
    Known {
        /// That upload.
        upload_id: UploadId,
        /// Its node.
        node_id: sluice_proto::ids::NodeId,
    },
    /// CompleteUpload: COMPLETED, or still COMPLETING.
    Completed(Box<UploadView>),
    /// AbortUpload.
    Aborted,
    /// StreamUploadProgress: the upload after a change.
    Watched(Box<UploadView>),
    /// GetUploadStatus.
    Status {
        /// The upload.
        upload: Box<UploadView>,
        /// Chunk numbers that are in.
        received: Vec<RangeInclusive<u32>>,
        /// Chunk numbers that aren't, below N or the highest that is in.
        missing: Vec<RangeInclusive<u32>>,
        /// Where the next page begins.
        next_chunk: Option<u32>,
    },
}

/// What changes of an upload while it goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Where it stands.
    pub state: State,
    /// N, once it is fixed.
    pub total_chunks: Option<u32>,
    /// Bytes of all chunks that are in.
    pub received_bytes: u64,
    /// How many chunks are in.
    pub received_count: u32,
    /// Bytes at their place in the object.
    pub stored_bytes: u64,
}

/// An upload as a client sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UploadView {
    /// What is recorded of it.
    pub record: UploadRecord,
    /// Bytes of all chunks that are in.
    pub received_bytes: u64,
    /// How many chunks are in.
    pub received_count: u32,
    /// Bytes at their place in the object.
    pub stored_bytes: u64,
}

impl UploadView {
    /// How far it has come.
    #[must_use]
    pub fn progress(&self) -> Progress {
        Progress {
            state: self.record.state,
            total_chunks: self.record.total_chunks,
            received_bytes: self.received_bytes,
            received_count: self.received_count,
            stored_bytes: self.stored_bytes,
        }
    }

    /// Why it failed, if it did.
    #[must_use]
    pub fn error(&self) -> Option<&EndError> {
        self.record.error.as_ref()
    }
}
