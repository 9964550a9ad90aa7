//! What may be taken from the spool on disk: only what no record of an upload that goes on names.

use std::ops::Range;

use sluice_proto::ids::StoreId;
use sluice_shard::record::{ChunkPlace, Extent};

use crate::world::World;

impl World {
    /// No record names any of these bytes of a segment.
    pub(crate) fn assert_unnamed(&self, store: StoreId, segment: u32, ranges: &[Range<u64>]) {
        for (upload_id, stored) in &self.stores.uploads {
            let record = &stored.record;
            if upload_id.store() != store || (record.state.ended() && !record.cleanup_pending) {
                continue;
            }
            for chunk in stored.chunks.values() {
                let named = matches!(chunk.place,
                    ChunkPlace::Spool(at) if at.segment == segment && lies_in(at, ranges));
                assert!(!named, "{chunk:?} of {upload_id} is where nothing may be");
            }
        }
    }
}

fn lies_in(extent: Extent, ranges: &[Range<u64>]) -> bool {
    let end = extent.offset + extent.bytes;
    ranges.iter().any(|range| range.start < end && extent.offset < range.end)
}
