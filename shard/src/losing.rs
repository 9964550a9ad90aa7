//! Chunks whose bytes nobody has any more are asked for again.
//!
//! Without a promise a chunk's place follows from the lengths of all before it. Once one of those
//! is lost it may come again with another length, so what is at its place behind it is lost too.

use sluice_proto::ids::UploadId;

use crate::{
    config::{Objects, ShardConfig, Spool},
    context::Context,
    placing,
    record::{ChunkPlace, State, StoredUpload, Transition},
    shard::Shard,
    steps, storing,
    timers::Timer,
    upload::{EndWaiter, Then, Upload},
};

/// Loses what the process before this one took with it.
pub(crate) fn lose_chunks(upload: &mut Upload, cx: &mut Context) {
    let lost = lost_chunks(&upload.stored, &cx.config);
    if lost.is_empty() {
        return;
    }
    // Where they lay isn't known any more once some of them are lost.
    let steps: Vec<_> = lost.iter().map(|&number| step(upload, number)).collect();
    steps.into_iter().for_each(|step| steps::take(upload, cx, step));
    cx.chunk_records -= lost.len();
    upload.recount(cx.now.mono_ms);
    debug_assert!(!upload.is_told());
}

/// How a chunk is lost: what was hashed of it, or sent, it must bring again.
fn step(upload: &Upload, number: u32) -> Transition {
    let is_cut = upload.stored.record.schedule.is_some();
    if is_cut && (upload.is_sent(number) || upload.is_hashed(number)) {
        Transition::BindChunk { number }
    } else {
        Transition::LoseChunk { number }
    }
}

/// Those that were only in the memory of a process that is gone; and those discarded, which an
/// older version recorded, while more are to come. What was discarded after it was in Redis stays:
/// it was recorded when its bytes were safe.
fn lost_chunks(stored: &StoredUpload, config: &ShardConfig) -> Vec<u32> {
    let promised = stored.record.spec.chunk_size_bytes.is_some();
    let is_cut = stored.record.schedule.is_some();
    let discards = config.objects == Objects::Discard && config.spool == Spool::Redis;
    let mut lost = Vec::new();
    for (&number, chunk) in &stored.chunks {
        let is_lost = match chunk.place {
            ChunkPlace::Memory(_) => true,
            ChunkPlace::Discarded => stored.record.state < State::Completing && !discards,
            ChunkPlace::Object => !promised && !is_cut && !lost.is_empty(),
            ChunkPlace::Spool(_) | ChunkPlace::Redis => false,
        };
        if is_lost {
            lost.push(number);
        }
    }
    lost
}

/// A chunk was to be copied to its place, and Redis doesn't have it: it came up empty, or without
/// its last second.
pub(crate) fn body_gone(shard: &mut Shard, upload_id: &UploadId, number: u32) {
    let upload = shard.uploads.get_mut(upload_id).expect("an operation's upload is kept");
    if placing::is_needless(upload, number) {
        return placing::placed(shard, upload_id, number);
    }
    let cx = &mut shard.cx;
    assert!(upload.state() <= State::Uploading, "COMPLETING promised what can be lost");
    placing::end_copy(upload, number);
    let lost = lost_with(upload, number);
    for &number in &lost {
        lose(upload, cx, number);
    }
    cx.chunk_records -= lost.len();
    upload.count_front();
    if upload.stored.record.spec.chunk_size_bytes.is_none() {
        placing::forget_places(upload, number);
    }
    // Until it is durable a restart would trust what is at its place behind the lost chunk.
    upload.copies_from_rev = upload.stored.rev;
    ask_again(upload, cx);
}

/// A chunk was to be sent, or hashed, and Redis doesn't have it.
pub(crate) fn slice_gone(upload: &mut Upload, cx: &mut Context, number: u32, attempt: u32) {
    let chunk = upload.stored.chunks.get(&number);
    // Another that read it found so before, and it may have come again.
    let is_gone =
        chunk.is_some_and(|chunk| chunk.attempt == attempt && chunk.place == ChunkPlace::Redis);
    if !storing::is_needed(upload) || !is_gone {
        return;
    }
    assert!(upload.state() <= State::Uploading, "COMPLETING promised what can be lost");
    lose(upload, cx, number);
    cx.chunk_records -= 1;
    upload.recount(cx.now.mono_ms);
    ask_again(upload, cx);
}

fn ask_again(upload: &mut Upload, cx: &mut Context) {
    // Its time may have come while all its chunks were in.
    let record = &upload.stored.record;
    cx.timers.set(record.expire_ms, Timer::Expire(record.upload_id));
    answer_waiting(upload);
    take_acks_back(upload);
}

fn lost_with(upload: &Upload, number: u32) -> Vec<u32> {
    let mut lost = vec![number];
    let promised = upload.stored.record.spec.chunk_size_bytes.is_some();
    // Mostly nothing is at its place but what lies before.
    if !promised && upload.stored_bytes > upload.placed_bytes {
        let behind = upload.stored.chunks.range(number + 1..);
        let at_place = behind.filter(|(_, chunk)| chunk.place == ChunkPlace::Object);
        lost.extend(at_place.map(|(&number, _)| number));
    }
    lost
}

fn lose(upload: &mut Upload, cx: &mut Context, number: u32) {
    let chunk = &upload.stored.chunks[&number];
    let (bytes, attempt, place) = (chunk.bytes, chunk.attempt, chunk.place);
    let step = step(upload, number);
    steps::take(upload, cx, step);
    upload.subtract(number, bytes, place);
    upload.guarded.remove(&number);
    upload.bodies.retire(attempt);
    if let Some(then) = placing::give_back(number, attempt, place) {
        steps::then(upload, then);
    }
}

/// Whoever isn't told yet that a lost chunk is in sends it again: another body of it may be
/// recorded by then, and not be durable.
fn take_acks_back(upload: &mut Upload) {
    for (_, then) in &mut upload.then {
        if let Then::Ack(waiter) = then
            && !upload.received.contains(waiter.number)
        {
            *then = Then::SendAgain(waiter.stream);
        }
    }
}

/// The end that was waited for has gone out of sight.
fn answer_waiting(upload: &mut Upload) {
    for (wait_until_ms, waiter) in std::mem::take(&mut upload.end_waiters) {
        match waiter {
            EndWaiter::Stream(waiter) => steps::then(upload, Then::Ack(waiter)),
            EndWaiter::Call(call) => steps::then(upload, Then::Complete { call, wait_until_ms }),
            EndWaiter::Abort(_) => upload.end_waiters.push((wait_until_ms, waiter)),
        }
    }
}
