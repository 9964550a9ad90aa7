//! Lists of uploads: what is asked, and what is found.

use sluice_proto::ids::{DriveId, RequestId, UploadId};
use sluice_shard::{
    effect::UploadView,
    record::{State, UploadRecord},
};

/// Which uploads a list asks for.
#[derive(Clone, Debug)]
pub struct Filter {
    /// Who may see them.
    pub tenant: String,
    /// Their drive.
    pub drive_id: DriveId,
    /// Their request; `None`: any.
    pub request_id: Option<RequestId>,
    /// Their name; empty: any.
    pub filename: String,
    /// Their state, as far as a store knows it.
    pub stage: Stage,
}

/// Where uploads stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Anywhere.
    Any,
    /// Not ended, or not swept yet ([`UploadRecord::is_live`]): their owners have them in memory.
    Live,
    /// Ended so.
    Ended(State),
}

/// How much a stretch may still take.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    /// Uploads.
    pub items: usize,
    /// Bytes of their texts, about: the one that reaches them is the last.
    pub bytes: usize,
    /// Rows that are looked at.
    pub rows: usize,
}

impl Room {
    /// An upload is told, with so many bytes of texts.
    pub(super) fn take(&mut self, text_bytes: usize) {
        self.items -= 1;
        self.bytes = self.bytes.saturating_sub(text_bytes);
    }

    /// Chunks were looked at: these were rows, too.
    pub(super) fn take_chunks(&mut self, sums: Sums) -> Sums {
        self.rows = self.rows.saturating_sub(sums.chunks as usize);
        sums
    }

    /// Nothing more fits.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.items == 0 || self.bytes == 0 || self.rows == 0
    }
}

/// An upload that was found.
#[derive(Clone, Debug, PartialEq)]
pub enum Found {
    /// Its owner has it in memory, and knows better than what is recorded.
    Live(UploadId),
    /// It changes no more.
    AtRest(Box<UploadView>),
}

/// What was found in one stretch.
#[derive(Clone, Debug)]
pub struct Stretch {
    /// In the order that they were made.
    pub found: Vec<Found>,
    /// Where the next stretch goes on; `None`: this was the last.
    pub next: Option<i64>,
    /// What the next stretch may take.
    pub room: Room,
}

/// What is told of an upload's chunks all together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sums {
    /// How many there are.
    pub(super) chunks: u64,
    /// Their bytes.
    pub(super) bytes: u64,
    /// Those that are as far as they go.
    pub(super) stored_bytes: u64,
}

impl Sums {
    /// Of an upload that is one object: no chunk need be looked at.
    pub(super) fn of_object(record: &UploadRecord) -> Option<Self> {
        let bytes = record.object.as_ref()?.size_bytes;
        Some(Self { chunks: record.total_chunks?.into(), bytes, stored_bytes: bytes })
    }
}

impl Found {
    pub(super) fn at_rest(record: UploadRecord, sums: Sums) -> Self {
        Self::AtRest(Box::new(UploadView {
            record,
            received_bytes: sums.bytes,
            received_count: sums.chunks as u32,
            stored_bytes: sums.stored_bytes,
        }))
    }
}
