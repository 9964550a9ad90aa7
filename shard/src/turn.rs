//! Room that is kept free for one upload at a time: `objects = s3`.
//!
//! Bytes leave the spool by whole parts, so uploads that have each filled part of one could fill all
//! of the room, and none could go on. What is kept free is enough to fill any one part: when nothing
//! else is free one upload takes it, for chunks that its next part needs, until all of it is free
//! again.

use std::collections::BTreeMap;

use sluice_proto::ids::{StoreId, UploadId};

use crate::{
    config::{Objects, ShardConfig, Spool},
    context::Context,
    extents::ALIGN_BYTES,
    upload::Upload,
};

/// Who takes nothing for so long passes its turn on, ms.
const IDLE_MS: u64 = 30_000;

/// An upload that may take what is kept free.
#[derive(Clone, Copy, Debug)]
struct Turn {
    upload_id: UploadId,
    active_ms: u64,
}

/// Whose turn it is, by the store that the room belongs to; `None` for that of the whole shard.
#[derive(Debug, Default)]
pub(crate) struct Turns(BTreeMap<Option<StoreId>, Turn>);

impl ShardConfig {
    /// Room that is kept free for one upload, bytes: a part, and chunks that straddle its ends.
    #[must_use]
    pub fn kept_bytes(&self) -> u64 {
        if self.objects != Objects::S3 {
            return 0;
        }
        let hold_bytes = self.plan.part_bytes_max.max(self.plan.single_put_bytes);
        let chunks_bytes = 2 * self.max_chunk_bytes;
        match self.spool {
            // Each chunk begins on a whole block, and some of a segment is left over.
            Spool::Disk => {
                let chunks = hold_bytes.div_ceil(self.chunk_bytes_usual);
                let taken_bytes = chunks * (self.chunk_bytes_usual + ALIGN_BYTES);
                taken_bytes + chunks_bytes + 2 * self.segment_bytes
            }
            Spool::Memory | Spool::Redis => hold_bytes + chunks_bytes,
        }
    }
}

/// Whether a chunk may take of what is kept free. `is_free`: all of that is free now.
pub(crate) fn take(upload: &Upload, cx: &mut Context, number: u32, is_free: bool) -> bool {
    if !is_wanted(upload, cx, number) {
        return false;
    }
    let upload_id = upload.stored.record.upload_id;
    let room = (cx.config.spool == Spool::Disk).then(|| upload_id.store());
    let now_ms = cx.now.mono_ms;
    let others = cx.turns.0.get(&room).is_some_and(|turn| {
        turn.upload_id != upload_id && !is_free && now_ms < turn.active_ms + IDLE_MS
    });
    if !others {
        cx.turns.0.insert(room, Turn { upload_id, active_ms: now_ms });
    }
    !others
}

/// Whether a chunk belongs to the part that an upload fills next.
fn is_wanted(upload: &Upload, cx: &Context, number: u32) -> bool {
    let (Some(schedule), Some(offset)) = (upload.stored.record.schedule, upload.offset_of(number))
    else {
        return false;
    };
    let next = schedule.part_at(upload.front_bytes).map_or(u64::MAX, |(_, range)| range.end);
    let is_multipart = upload.stored.record.multipart_id.is_some();
    let small_bytes = if is_multipart { 0 } else { cx.config.plan.single_put_bytes };
    offset < next.max(small_bytes)
}

/// An upload takes no more chunks.
pub(crate) fn over(cx: &mut Context, upload_id: &UploadId) {
    cx.turns.0.retain(|_, turn| turn.upload_id != *upload_id);
}
