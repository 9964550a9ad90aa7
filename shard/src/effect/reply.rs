//! What clients are told.

use std::ops::RangeInclusive;

use sluice_proto::{error::Refusal, ids::UploadId};

use crate::record::{EndError, State, UploadRecord};

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
