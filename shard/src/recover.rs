//! What a store held when it was loaded, taken up where it was left.

use sluice_proto::ids::StoreId;

use crate::{
    bodies,
    effect::Effect,
    ending,
    extents::Extents,
    losing, placing,
    record::{ChunkPlace, FoundUpload, State},
    shard::Shard,
    steps,
    timers::Timer,
    upload::{Ending, Then, Upload},
};

/// Segment files of a store.
#[derive(Clone, Copy)]
pub(crate) struct Segments<'a> {
    pub found: &'a [u32],
    /// Also those that no record names.
    pub stay: bool,
}

pub(crate) fn store_loaded(
    shard: &mut Shard,
    store: StoreId,
    uploads: Vec<FoundUpload>,
    segments: Segments<'_>,
) {
    let config = &shard.cx.config;
    let mut spool = Extents::new(config.segment_bytes, config.spool_bytes_max);
    for FoundUpload { stored: upload, .. } in &uploads {
        if !upload.record.is_live() {
            continue;
        }
        for chunk in upload.chunks.values() {
            if let ChunkPlace::Spool(extent) = chunk.place {
                spool.retake(extent);
            }
        }
    }
    for &segment in segments.found {
        if segments.stay {
            spool.pin(segment);
        } else if spool.is_dead(segment) {
            shard.cx.emit(Effect::RemoveSegment { store, segment });
        }
    }
    shard.cx.spools.insert(store, spool);
    shard.loaded.insert(store);
    for found in uploads {
        resume(shard, found);
    }
}

/// Takes an upload up as its store has it. What the store lost of its end is recorded again: its
/// object, or what it held, isn't its own any more.
pub(crate) fn resume(shard: &mut Shard, found: FoundUpload) {
    let FoundUpload { stored, lost_end } = found;
    let cx = &mut shard.cx;
    let upload_id = stored.record.upload_id;
    let rev = stored.rev;
    cx.chunk_records += stored.chunks.len();
    let mut upload = Upload::new(stored, rev, cx.now.mono_ms);
    if let Some(end) = lost_end.filter(|_| !upload.state().ended()) {
        steps::take(&mut upload, cx, end);
        upload.recount(cx.now.mono_ms);
        // It may have been told; nothing is swept before it is recorded.
        upload.ending = Ending::Resumed;
        steps::then(&mut upload, Then::Cleanup);
    }
    let record = &upload.stored.record;
    match record.state {
        _ if upload.ending == Ending::Resumed => {}
        State::Pending | State::Uploading | State::Completing => {
            cx.timers.set(record.expire_ms, Timer::Expire(upload_id));
            losing::lose_chunks(&mut upload, cx);
        }
        State::Completed if record.cleanup_pending => upload.ending = Ending::Sweeping,
        _ if record.cleanup_pending => {
            upload.ending = Ending::Resumed;
            ending::start_release(&upload, cx);
        }
        _ => {
            upload.ending = Ending::Swept;
            cx.ended.push_back(upload_id);
        }
    }
    if upload.ending < Ending::Swept {
        upload.suspect_strays();
        bodies::retake(&mut upload, &mut shard.cx);
    }
    if upload.state() <= State::Uploading {
        placing::dequeue_all(&mut upload, &mut shard.cx);
    }
    shard.insert(upload);
    shard.advance(&upload_id);
}
