//! Chunks that wait in the spool go to their place in the object.

use sluice_proto::ids::UploadId;

use crate::{
    config::{Objects, Spool},
    context::{Context, OpKind},
    effect::{Effect, PlaceFrom},
    keys::OpId,
    record::{ChunkPlace, ChunkRecord, State, Transition},
    shard::Shard,
    steps,
    upload::{Copying, Then, Upload},
};

pub(crate) fn start_places(upload: &mut Upload, cx: &mut Context) {
    let is_cut = upload.stored.record.schedule.is_some();
    if is_cut || upload.durable_rev < upload.copies_from_rev || drops(cx) {
        return;
    }
    let mut room = cx.config.places_in_flight_max.saturating_sub(upload.copies.len());
    let mut from = 0;
    while room > 0 {
        let Some(number) = upload.unplaced.next(from) else { return };
        from = number + 1;
        let Some(offset) = upload.offset_of(number) else { return };
        let chunk = &upload.stored.chunks[&number];
        let (attempt, bytes) = (chunk.attempt, chunk.bytes);
        let guarded = upload.guarded.get(&number).is_some_and(|&rev| rev > upload.durable_rev);
        if guarded || !upload.writes.allow(number, offset, bytes) {
            continue;
        }
        upload.writes.begin(number, offset, bytes);
        upload.copies.insert(number, Copying { attempt, replaced: None, is_astray: false });
        room -= 1;
        let op = cx.begin(upload.stored.record.upload_id, OpKind::Place { number });
        emit_place(upload, cx, op, number);
    }
}

pub(crate) fn emit_place(upload: &Upload, cx: &mut Context, op: OpId, number: u32) {
    let upload_id = upload.stored.record.upload_id;
    let chunk = &upload.stored.chunks[&number];
    let from = source(number, chunk);
    let offset = upload.offset_of(number).expect("it was known when the copy began");
    cx.emit(Effect::Place { op, upload_id, from, offset, bytes: chunk.bytes });
}

/// Where a chunk's bytes wait.
pub(crate) fn source(number: u32, chunk: &ChunkRecord) -> PlaceFrom {
    match chunk.place {
        ChunkPlace::Spool(extent) => PlaceFrom::Spool(extent),
        ChunkPlace::Redis => PlaceFrom::Redis { number, attempt: chunk.attempt },
        ChunkPlace::Memory(body) => PlaceFrom::Memory(body),
        ChunkPlace::Object | ChunkPlace::Discarded => unreachable!("it is at its place"),
    }
}

/// Whether all chunks are dropped from Redis, none copied.
fn drops(cx: &Context) -> bool {
    cx.config.objects == Objects::Discard && cx.config.spool == Spool::Redis
}

/// Whether nobody needs this copy any more: then it isn't tried again.
pub(crate) fn is_vain(upload: &Upload, number: u32) -> bool {
    upload.copies[&number].is_astray || is_needless(upload, number)
}

/// Whether nobody needs the bytes that are copied.
pub(crate) fn is_needless(upload: &Upload, number: u32) -> bool {
    upload.copies[&number].replaced.is_some() || upload.state() > State::Completing
}

/// Where chunks behind this one go isn't known any more.
pub(crate) fn forget_places(upload: &mut Upload, number: u32) {
    for (_, copy) in upload.copies.range_mut(number..) {
        copy.is_astray = true;
    }
}

pub(crate) fn end_copy(upload: &mut Upload, number: u32) -> Copying {
    upload.writes.end(number);
    upload.copies.remove(&number).expect("it was being copied")
}

pub(crate) fn placed(shard: &mut Shard, upload_id: &UploadId, number: u32) {
    let upload = shard.uploads.get_mut(upload_id).expect("an operation's upload is kept");
    let copy = end_copy(upload, number);
    // Replaced by `force` in the meantime: the copy is done again, from the new attempt.
    if let Some(then) = copy.replaced {
        return steps::then(upload, then);
    }
    if upload.state() > State::Completing || copy.is_astray {
        return;
    }
    let recorded = upload.stored.chunks[&number].attempt;
    assert_eq!(recorded, copy.attempt, "what was copied is what is recorded");
    stored(upload, &mut shard.cx, number);
}

/// What a chunk's bytes were for is done: they can go.
pub(crate) fn stored(upload: &mut Upload, cx: &mut Context, number: u32) {
    let chunk = &upload.stored.chunks[&number];
    let (attempt, from) = (chunk.attempt, chunk.place);
    take_placed(upload, cx, number, Transition::PlaceChunk { number, attempt });
    steps::then(upload, give_back(number, attempt, from).expect("it was kept somewhere"));
}

/// With `objects = discard` what is in Redis is done with once its record is durable.
pub(crate) fn dequeue(upload: &mut Upload, cx: &mut Context, number: u32, attempt: u32) {
    let Some(chunk) = upload.stored.chunks.get(&number) else { return };
    // Replaced by `force` in the meantime, or given up.
    if chunk.attempt != attempt || upload.state() > State::Uploading {
        return;
    }
    let from = chunk.place;
    take_placed(upload, cx, number, Transition::DropChunk { number, attempt });
    steps::then(upload, give_back(number, attempt, from).expect("it was kept somewhere"));
}

/// Does so for all that a process before this one had in its queue.
pub(crate) fn dequeue_all(upload: &mut Upload, cx: &mut Context) {
    if !drops(cx) {
        return;
    }
    let numbers: Vec<u32> = upload.unplaced.numbers(0).collect();
    for number in numbers {
        let attempt = upload.stored.chunks[&number].attempt;
        dequeue(upload, cx, number, attempt);
    }
}

/// Takes the step that a chunk's bytes are as far as they go, and counts it.
fn take_placed(upload: &mut Upload, cx: &mut Context, number: u32, step: Transition) {
    steps::take(upload, cx, step);
    upload.guarded.remove(&number);
    upload.unplaced.remove(number);
    upload.stored_bytes += upload.stored.chunks[&number].bytes;
    upload.advance_placed();
}

/// `force` has replaced an attempt whose bytes were here.
pub(crate) fn replaced(upload: &mut Upload, number: u32, attempt: u32, place: ChunkPlace) {
    match (give_back(number, attempt, place), upload.copies.get_mut(&number)) {
        // It is being copied, and the copy may still read it. A later attempt was never read.
        (Some(then), Some(copy)) if copy.replaced.is_none() => copy.replaced = Some(then),
        (Some(then), _) => steps::then(upload, then),
        // Until the replacement is durable a restart would find the old record, and trust what
        // is at the chunk's place.
        (None, _) => {
            let rev = upload.stored.rev;
            upload.guarded.entry(number).or_insert(rev);
        }
    }
}

/// What becomes of a chunk's bytes once no record names them there.
pub(crate) fn give_back(number: u32, attempt: u32, place: ChunkPlace) -> Option<Then> {
    match place {
        ChunkPlace::Spool(extent) => Some(Then::FreeExtent(extent)),
        ChunkPlace::Redis => Some(Then::FreeBody { number, attempt }),
        ChunkPlace::Memory(body) => Some(Then::FreeMemory(body)),
        ChunkPlace::Object | ChunkPlace::Discarded => None,
    }
}
