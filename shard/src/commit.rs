//! A chunk's bytes are written: it is recorded, or they are given back.

use sluice_proto::{error::Refusal, ids::UploadId};

use crate::{
    bodies,
    config::Objects,
    context::Context,
    effect::{BodyPlace, Effect, HashTurn, StreamReply},
    event::{Failure, Outcome},
    hash,
    keys::{BodyId, StreamKey},
    placing,
    record::{ChunkPlace, ChunkRecord, State, Transition},
    refuse, repeat,
    shard::Shard,
    steps,
    stream::{self, Phase, Stream},
    upload::{EndWaiterStream, Then, Upload},
};

/// All bytes of a chunk are written, or never will be.
pub(crate) fn closed(shard: &mut Shard, key: StreamKey, ended: Result<Outcome, Failure>) {
    let Some(stream) = stream::forget(shard, key) else { unreachable!("a closing chunk is kept") };
    let Phase::Closing { body, place } = stream.phase else { unreachable!("it was closing") };
    let upload_id = stream.open.upload_id;
    let number = stream.open.number;
    let upload = shard.uploads.get_mut(&upload_id).expect("an upload outlives its chunks' writes");
    match place {
        BodyPlace::Object { .. } => upload.writes.end(number),
        BodyPlace::Redis { .. } => upload.bodies.written(),
        BodyPlace::Spool(_) | BodyPlace::Memory | BodyPlace::Discard => {}
    }
    let written = ended.is_ok();
    let result = match &ended {
        Err(Failure::Full) => Err(refuse::spool_full()),
        Err(Failure::Unavailable | Failure::Damaged | Failure::Gone { .. }) => {
            Err(refuse::backend_down())
        }
        Ok(_) => commit(upload, &mut shard.cx, &stream, place, body),
    };
    let kept = matches!(result, Ok(true));
    match kept {
        true => hash::kept(upload, &mut shard.cx, number, body),
        false => hash::take_back(upload, &mut shard.cx, body),
    }
    let charge = stream.charge;
    // With `objects = discard` even what was held whole isn't needed any more.
    let held = kept && place == BodyPlace::Memory && shard.cx.config.objects != Objects::Discard;
    if held {
        upload.memory.extend(charge.map(|charge| (body, charge)));
    } else {
        shard.cx.refund(charge);
    }
    if !kept || (place == BodyPlace::Memory && !held) {
        discard(upload, &mut shard.cx, place, body, written);
    }
    if let Err(refusal) = result
        && !stream.cut
    {
        shard.cx.tell(key, StreamReply::Refused(refusal));
    }
    if kept {
        judge_rivals(shard, &upload_id, number);
    }
}

/// Records a written chunk, if it may still be one. `false`: it was in already.
fn commit(
    upload: &mut Upload,
    cx: &mut Context,
    stream: &Stream,
    place: BodyPlace,
    body: BodyId,
) -> Result<bool, Refusal> {
    let open = &stream.open;
    let number = open.number;
    let old = upload.stored.chunks.get(&number);
    if old.is_some_and(|old| stream.matches(old)) && upload.state() <= State::Completed {
        repeat::duplicate(upload, cx, open)?;
        return Ok(false);
    }
    if upload.state() > State::Uploading {
        return Err(refuse::ended(&upload.stored.record));
    }
    if old.is_some() {
        if !open.force {
            return Err(refuse::conflict(number));
        }
        if upload.is_sealed(number, open.data_bytes) {
            return Err(refuse::sealed(number));
        }
    }
    if upload.stored.lost.get(&number).is_some_and(|lost| !stream.matches_lost(lost)) {
        return Err(refuse::sealed(number));
    }
    let total_chunks = upload.judge(number, open.data_bytes, open.is_last)?;
    let chunk = ChunkRecord {
        attempt: match place {
            BodyPlace::Redis { attempt, .. } => attempt,
            _ => old.map_or(0, |old| old.attempt + 1),
        },
        bytes: open.data_bytes,
        crc64nvme: stream.sums.crc64nvme(),
        crc32c: stream.sums.crc32c(),
        sha256: open.checks.sha256.map(Box::new),
        place: match place {
            BodyPlace::Object { .. } => ChunkPlace::Object,
            BodyPlace::Spool(extent) => ChunkPlace::Spool(extent),
            BodyPlace::Redis { .. } => ChunkPlace::Redis,
            BodyPlace::Memory if cx.config.objects != Objects::Discard => ChunkPlace::Memory(body),
            BodyPlace::Memory | BodyPlace::Discard => ChunkPlace::Discarded,
        },
    };
    put(upload, cx, number, chunk, total_chunks);
    if !stream.cut {
        let waiter = EndWaiterStream {
            stream: open.stream,
            number,
            bytes: open.data_bytes,
            duplicate: false,
            wait_until_ms: upload.is_whole().then_some(open.end_wait_until_ms).flatten(),
        };
        steps::then(upload, Then::Ack(waiter));
    }
    if let (BodyPlace::Redis { number, attempt }, Objects::Discard) = (place, cx.config.objects) {
        steps::then(upload, Then::Dequeue { number, attempt });
    }
    Ok(true)
}

/// Takes the step that a chunk is in, if it is to be recorded, and keeps the sums beside the
/// records right.
fn put(
    upload: &mut Upload,
    cx: &mut Context,
    number: u32,
    chunk: ChunkRecord,
    total_chunks: Option<u32>,
) {
    let (bytes, attempt) = (chunk.bytes, chunk.attempt);
    let at_place = matches!(chunk.place, ChunkPlace::Object | ChunkPlace::Discarded);
    let old = upload.stored.chunks.get(&number).map(|old| (old.attempt, old.place));
    if chunk.place == ChunkPlace::Discarded {
        upload.stored.hold(number, chunk, cx.now.wall_ms);
        if let Some(total_chunks) = total_chunks {
            steps::take(upload, cx, Transition::FixTotal { total_chunks, sha256: None });
        }
    } else {
        steps::take(upload, cx, Transition::PutChunk { number, chunk, total_chunks });
    }
    match old {
        // Replaced: rare, so everything is counted anew.
        Some((old, place)) => {
            upload.recount(cx.now.mono_ms);
            placing::replaced(upload, number, old, place);
            if old > attempt {
                upload.bodies.retire(old);
            }
        }
        None => {
            cx.chunk_records += 1;
            upload.add(number, bytes, at_place, cx.now.mono_ms);
        }
    }
}

/// An attempt that is still being written to its place, or to Redis, lost: it only has to show now
/// whether its bytes are the same, so that the winner can go there, and Redis has room.
fn judge_rivals(shard: &mut Shard, upload_id: &UploadId, number: u32) {
    let Some(upload) = shard.uploads.get(upload_id) else { return };
    let of_chunk = (number, StreamKey(0))..=(number, StreamKey(u64::MAX));
    let rivals: Vec<_> = upload.streams.range(of_chunk).map(|&(_, key)| key).collect();
    for key in rivals {
        let body = shard.cx.new_body();
        let Some(stream) = shard.cx.streams.get_mut(&key) else { continue };
        let Phase::Receiving { body: old, place, judging: false } = stream.phase else { continue };
        let is_kept = !matches!(place, BodyPlace::Object { .. } | BodyPlace::Redis { .. });
        if is_kept || stream.open.force {
            continue;
        }
        let bytes = stream.open.data_bytes;
        stream.phase = Phase::Receiving { body, place: BodyPlace::Discard, judging: true };
        // What is still being written is what holds memory; what is only summed holds none.
        let charge = stream.charge.take();
        stream::begin_drop(shard, upload_id, number, old, place, charge);
        let (upload_id, place, hash) = (*upload_id, BodyPlace::Discard, HashTurn::Never);
        shard.cx.emit(Effect::OpenBody { body, upload_id, place, bytes, hash });
    }
}

/// Gives back what an attempt held that is written and not recorded.
fn discard(upload: &mut Upload, cx: &mut Context, place: BodyPlace, body: BodyId, written: bool) {
    match place {
        BodyPlace::Spool(extent) => cx.free_extent(&upload.stored.record.upload_id, extent),
        // Also what failed may have come there.
        BodyPlace::Redis { number, attempt } => bodies::free(upload, cx, number, attempt),
        BodyPlace::Memory if written => cx.emit(Effect::FreeMemory { body }),
        BodyPlace::Memory | BodyPlace::Object { .. } | BodyPlace::Discard => {}
    }
}
