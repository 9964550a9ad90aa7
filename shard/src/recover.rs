//! What a store held when it was loaded, taken up where it was left.

use sluice_proto::ids::StoreId;

use crate::{
    effect::Effect,
    ending,
    extents::Extents,
    record::{ChunkPlace, State, StoredUpload, Transition},
    shard::Shard,
    steps,
    timers::Timer,
    upload::{Ending, Upload},
};

pub(crate) fn store_loaded(
    shard: &mut Shard,
    store: StoreId,
    uploads: Vec<StoredUpload>,
    segments: &[u32],
) {
    let config = &shard.cx.config;
    let mut spool = Extents::new(config.segment_bytes, config.spool_bytes_max);
    for upload in &uploads {
        let record = &upload.record;
        if record.state.ended() && !record.cleanup_pending {
            continue;
        }
        for chunk in upload.chunks.values() {
            if let ChunkPlace::Spool(extent) = chunk.place {
                spool.retake(extent);
            }
        }
    }
    for &segment in segments {
        if spool.is_dead(segment) {
            shard.cx.emit(Effect::RemoveSegment { store, segment });
        }
    }
    shard.cx.spools.insert(store, spool);
    shard.loaded.insert(store);
    for stored in uploads {
        resume(shard, stored);
    }
}

/// Takes an upload up as its store has it.
pub(crate) fn resume(shard: &mut Shard, stored: StoredUpload) {
    let cx = &mut shard.cx;
    let upload_id = stored.record.upload_id;
    let rev = stored.rev;
    cx.chunk_records += stored.chunks.len();
    let mut upload = Upload::new(stored, rev, cx.now.mono_ms);
    let record = &upload.stored.record;
    match record.state {
        State::Pending | State::Uploading | State::Completing => {
            cx.timers.set(record.expire_ms, Timer::Expire(upload_id));
            lose_chunks(&mut upload, shard);
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
    shard.insert(upload);
    shard.advance(&upload_id);
}

/// Chunks whose bytes nobody has any more are asked for again.
fn lose_chunks(upload: &mut Upload, shard: &mut Shard) {
    let lost = lost_chunks(&upload.stored);
    if lost.is_empty() {
        return;
    }
    for &number in &lost {
        steps::take(upload, &mut shard.cx, Transition::LoseChunk { number });
    }
    shard.cx.chunk_records -= lost.len();
    upload.recount(shard.cx.now.mono_ms);
    debug_assert!(!upload.is_told());
}

/// Those that were only in the memory of a process that is gone; and those discarded, which an
/// older version recorded, while more are to come.
///
/// Without a promise a chunk's place follows from the lengths of all before it. Once one of those
/// is lost it may come again with another length, so what is at its place behind it is lost too.
fn lost_chunks(stored: &StoredUpload) -> Vec<u32> {
    let promised = stored.record.spec.chunk_size_bytes.is_some();
    let mut lost = Vec::new();
    for (&number, chunk) in &stored.chunks {
        let is_lost = match chunk.place {
            ChunkPlace::Memory(_) => true,
            ChunkPlace::Discarded => stored.record.state < State::Completing,
            ChunkPlace::Object => !promised && !lost.is_empty(),
            ChunkPlace::Spool(_) => false,
        };
        if is_lost {
            lost.push(number);
        }
    }
    lost
}
