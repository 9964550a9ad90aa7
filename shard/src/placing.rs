//! Chunks that wait in the spool go to their place in the object.

use sluice_proto::ids::UploadId;

use crate::{
    context::{Context, OpKind},
    effect::{Effect, PlaceFrom},
    keys::OpId,
    record::{ChunkPlace, State, Transition},
    shard::Shard,
    steps,
    upload::{Then, Upload},
};

pub(crate) fn start_places(upload: &mut Upload, cx: &mut Context) {
    let numbers: Vec<u32> = upload
        .unplaced
        .iter()
        .copied()
        .filter(|number| !upload.busy.contains(number))
        .take_while(|&number| upload.offset_of(number).is_some())
        .take(cx.config.places_in_flight_max.saturating_sub(upload.places_in_flight))
        .collect();
    for number in numbers {
        let attempt = upload.stored.chunks[&number].attempt;
        upload.busy.insert(number);
        upload.places_in_flight += 1;
        let op = cx.begin(upload.stored.record.upload_id, OpKind::Place { number, attempt });
        emit_place(upload, cx, op, number);
    }
}

pub(crate) fn emit_place(upload: &Upload, cx: &mut Context, op: OpId, number: u32) {
    let upload_id = upload.stored.record.upload_id;
    let chunk = &upload.stored.chunks[&number];
    let from = match chunk.place {
        ChunkPlace::Spool(extent) => PlaceFrom::Spool(extent),
        ChunkPlace::Memory(body) => PlaceFrom::Memory(body),
        ChunkPlace::Object | ChunkPlace::Discarded => unreachable!("it is at its place"),
    };
    let offset = upload.offset_of(number).expect("it was known when the copy began");
    cx.emit(Effect::Place { op, upload_id, from, offset, bytes: chunk.bytes });
}

pub(crate) fn placed(shard: &mut Shard, upload_id: &UploadId, number: u32, attempt: u32) {
    let upload = shard.uploads.get_mut(upload_id).expect("an operation's upload is kept");
    upload.busy.remove(&number);
    upload.places_in_flight -= 1;
    let Some(chunk) = upload.stored.chunks.get(&number) else { return };
    // Replaced by `force` in the meantime: the copy is done again, from the new attempt.
    if chunk.attempt != attempt || upload.state() > State::Completing {
        return;
    }
    let (from, bytes) = (chunk.place, chunk.bytes);
    steps::take(upload, &mut shard.cx, Transition::PlaceChunk { number, attempt });
    match from {
        ChunkPlace::Spool(extent) => steps::then(upload, Then::FreeExtent(extent)),
        ChunkPlace::Memory(body) => steps::then(upload, Then::FreeMemory(body)),
        ChunkPlace::Object | ChunkPlace::Discarded => unreachable!("it was copied"),
    }
    upload.unplaced.remove(&number);
    upload.stored_bytes += bytes;
    upload.advance_placed();
}
