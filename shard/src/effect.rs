//! What a shard wants done. The driver does it and, where there is an [`OpId`], tells its end.

mod place;
mod reply;

use bytes::Bytes;
use sluice_proto::{checksum::Sha256State, error::Refusal, ids::UploadId};

use crate::{
    keys::{BodyId, CallId, OpId, StreamKey},
    record::{Object, PartRecord, Transition, UploadRecord, UploadSpec},
};

pub use place::{BodyPlace, HashTurn, PartSums, PlaceFrom, Slice};
pub use reply::{CallReply, ChunkAck, Progress, StreamReply, UploadView};

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
    /// Goes on with the SHA-256 over a range of the object, at low priority.
    Hash {
        /// Ends with [`Outcome::Hashed`](crate::event::Outcome::Hashed).
        op: OpId,
        /// The upload.
        upload_id: UploadId,
        /// The state so far; its length is where the range begins.
        state: Box<Sha256State>,
        /// How many bytes to go on.
        bytes: u64,
        /// Where they are: `None` in the partial object, or the object.
        slices: Option<Vec<Slice>>,
    },
    /// Begins a multipart upload at the object store.
    BeginMultipart {
        /// Ends with [`Outcome::Begun`](crate::event::Outcome::Begun) or `Refused`.
        op: OpId,
        /// The upload.
        record: Box<UploadRecord>,
    },
    /// Sends a part. What it overwrites, if anything, has the same bytes.
    SendPart {
        /// Ends with [`Outcome::Stored`](crate::event::Outcome::Stored) or `Refused`, or with
        /// [`Failure::Gone`](crate::event::Failure::Gone).
        op: OpId,
        /// The upload, with its `multipart_id`.
        record: Box<UploadRecord>,
        /// Its number, from 1.
        part: u32,
        /// Its length, bytes.
        bytes: u64,
        /// Its bytes, in order.
        slices: Vec<Slice>,
        /// Their sums, where they follow from those of chunks.
        sums: Option<PartSums>,
    },
    /// Makes a small object by one PUT. What it overwrites, if anything, has the same bytes.
    PutObject {
        /// Ends as [`Effect::SendPart`].
        op: OpId,
        /// The upload.
        record: Box<UploadRecord>,
        /// Length and sums of the object.
        object: Object,
        /// Its bytes, in order.
        slices: Vec<Slice>,
    },
    /// Makes the object of its parts; a repeat finds it made.
    CompleteMultipart {
        /// Ends with [`Outcome::Stored`](crate::event::Outcome::Stored), `PartsDiffer` or
        /// `Refused`.
        op: OpId,
        /// The upload, with its `multipart_id`.
        record: Box<UploadRecord>,
        /// Length and sums of the object.
        object: Object,
        /// All parts by number, each stored.
        parts: Vec<(u32, PartRecord)>,
    },
    /// Removes what the object store has of an upload that has ended, until it says that nothing
    /// is left.
    Unstore {
        /// Ends with `Outcome::Done`.
        op: OpId,
        /// The upload.
        record: Box<UploadRecord>,
        /// Multipart uploads to abort.
        multipart_ids: Vec<String>,
        /// Its object may be there, and is not to be.
        object: bool,
        /// The store is asked which other multipart uploads there are under its key; these are
        /// aborted, too.
        strays: bool,
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
    /// Gives the disk back bytes of a spool segment that nothing names any more, and reads as
    /// nothing from now on.
    PunchSegment {
        /// Which store.
        store: sluice_proto::ids::StoreId,
        /// Which bytes of which segment.
        holes: crate::extents::Holes,
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
            | Self::BeginMultipart { op, .. }
            | Self::SendPart { op, .. }
            | Self::PutObject { op, .. }
            | Self::CompleteMultipart { op, .. }
            | Self::Unstore { op, .. }
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
            | Self::PunchSegment { .. }
            | Self::RemoveSegment { .. } => None,
        }
    }
}
