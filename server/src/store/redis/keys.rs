//! What keys are called. The braces are literal: what they hold is one slot of a cluster.

use sluice_proto::ids::{StoreId, UploadId};

/// Sets of live uploads that there are, so that none is large and none is one slot's alone.
const LIVE_SETS: u16 = 256;

/// The keys of one upload, all in one slot.
pub(super) struct UploadKeys {
    /// Hash: where it stands, and what was asked for.
    pub(super) state: String,
    /// Hash: chunk number to record.
    pub(super) chunks: String,
    /// Hash: what the client calls it.
    pub(super) metadata: String,
    /// Hash: chunk number to what must come again as it was.
    pub(super) lost: String,
    /// Sorted set: parts of its object by their numbers.
    pub(super) etags: String,
}

impl UploadKeys {
    pub(super) fn new(upload_id: &UploadId) -> Self {
        let key = |part| format!("upload:{{{upload_id}}}:{part}");
        Self {
            state: key("state"),
            chunks: key("chunks"),
            metadata: key("metadata"),
            lost: key("lost"),
            etags: key("etags"),
        }
    }

    /// As scripts take them.
    pub(super) fn all(&self) -> [&str; 5] {
        [&self.state, &self.chunks, &self.metadata, &self.lost, &self.etags]
    }
}

/// What one restore, of the process that began as `epoch`, has written so far of chunks, lost chunks
/// and parts.
pub(super) fn restored_keys(upload_id: &UploadId, epoch: u64, restore: u64) -> [String; 3] {
    ["chunks", "lost", "etags"]
        .map(|part| format!("upload:{{{upload_id}}}:restored:{epoch}:{restore}:{part}"))
}

/// String: the bytes of one attempt at a chunk.
pub(crate) fn body_key(upload_id: &UploadId, number: u32, attempt: u32) -> String {
    match attempt {
        0 => format!("upload:{{{upload_id}}}:chunks:{number}"),
        _ => format!("upload:{{{upload_id}}}:chunks:{number}:{attempt}"),
    }
}

/// Set: which bodies an upload has, or had.
pub(crate) fn body_list_key(upload_id: &UploadId) -> String {
    format!("upload:{{{upload_id}}}:bodies")
}

/// Set: uploads of a store, and of every store that shares the set, that aren't swept yet.
pub(super) fn live(store: StoreId) -> String {
    format!("sluice:live:{}", store.0 % LIVE_SETS)
}

/// The keys of one store of a node, in one slot.
pub(super) struct StoreKeys {
    /// Sorted set: its uploads in the order that they were made.
    pub(super) made: String,
    /// Sorted set: those that ended and are swept, by when, Unix ms.
    pub(super) ended: String,
}

impl StoreKeys {
    pub(super) fn new(node: u64, store: StoreId) -> Self {
        let key = |part| format!("sluice:store:{{{node:016x}:{store}}}:{part}");
        Self { made: key("made"), ended: key("ended") }
    }
}

/// The keys of one node, in one slot.
pub(super) struct NodeKeys {
    /// String: who runs as this node, while it says so.
    pub(super) lease: String,
    /// Number: how often somebody began to.
    pub(super) epoch: String,
}

impl NodeKeys {
    pub(super) fn new(node: u64) -> Self {
        let key = |part| format!("sluice:node:{{{node:016x}}}:{part}");
        Self { lease: key("lease"), epoch: key("epoch") }
    }
}
