//! From the last chunk to the object, and from any other end to nothing left behind.

use sluice_proto::{
    error::{Reason, Refusal},
    ids::UploadId,
};

use crate::{
    bodies,
    config::{Objects, Spool},
    context::{Context, OpKind},
    effect::{CallReply, Effect, StreamReply},
    hash,
    keys::{CallId, OpId, StreamKey},
    making, placing,
    record::{ChunkPlace, EndError, Object, State, Transition},
    refuse,
    shard::Shard,
    steps, storing,
    stream::Phase,
    timers::Timer,
    turn,
    upload::{EndWaiter, Ending, Then, Upload},
};

/// Starts whatever the upload's state allows: copies to place, the hash, the end.
pub(crate) fn advance(upload: &mut Upload, cx: &mut Context) {
    refuse_beyond(upload, cx);
    if upload.state() <= State::Uploading && upload.is_whole() && is_safe(upload, cx) {
        let discards = cx.config.objects == Objects::Discard;
        let object = discards.then(|| object(upload, cx));
        steps::take(upload, cx, Transition::Completing { object });
        upload.completing_rev = upload.stored.rev;
    }
    if upload.state() <= State::Completing {
        placing::start_places(upload, cx);
        hash::advance(upload, cx);
        // What is whole is sent once its hash is there.
        storing::start(upload, cx);
    }
    if upload.state() == State::Completing
        && upload.ending == Ending::Open
        && upload.durable_rev >= upload.completing_rev
    {
        try_end(upload, cx);
    }
    if upload.ending == Ending::Sweeping {
        try_sweep(upload, cx);
    }
}

/// Whether a restart finds all that the end takes.
fn is_safe(upload: &Upload, cx: &Context) -> bool {
    match cx.config.objects {
        Objects::Files | Objects::S3 => !upload.may_lose_chunks(),
        // What the chunks make is recorded for all of them.
        Objects::Discard => upload.unplaced.is_empty(),
    }
}

/// Goes on to the object once every byte is at its place and hashed.
fn try_end(upload: &mut Upload, cx: &mut Context) {
    let settled = upload.unplaced.is_empty() && upload.writes.is_empty() && upload.is_stored();
    let hashed =
        upload.hash.as_ref().is_none_or(|hash| hash.state.bytes_hashed() == upload.placed_bytes);
    if !settled || !hashed {
        return;
    }
    // What is sealed isn't opened again: neither a copy nor the hash may be left to be redone.
    if upload.hash.as_ref().is_some_and(|hash| hash.recorded_bytes < upload.placed_bytes) {
        hash::record(upload, cx);
    }
    if upload.durable_rev < upload.stored.rev {
        return;
    }
    assert_eq!(Some(upload.placed), upload.stored.record.total_chunks, "no hole");
    assert_eq!(upload.placed_bytes, upload.received_bytes, "every chunk is at its place");
    if let Some(error) = mismatch(upload, upload.placed_bytes) {
        return fail(upload, cx, error);
    }
    // Also what was discarded by a process before this one has nothing to seal.
    if cx.config.objects == Objects::Discard || upload.stored.record.object.is_some() {
        return start_finish(upload, cx);
    }
    if upload.stored.record.schedule.is_some() {
        return match upload.stored_as() {
            Some(_) => start_finish(upload, cx),
            None => making::start_complete(upload, cx),
        };
    }
    upload.ending = Ending::Sealing;
    let op = cx.begin(upload.stored.record.upload_id, OpKind::Seal);
    emit_seal(upload, cx, op);
}

pub(crate) fn emit_seal(upload: &Upload, cx: &mut Context, op: OpId) {
    let record = Box::new(upload.stored.record.clone());
    cx.emit(Effect::Seal { op, record, size_bytes: upload.placed_bytes });
}

/// What is whole, but not what was declared.
pub(crate) fn mismatch(upload: &Upload, size: u64) -> Option<EndError> {
    let spec = &upload.stored.record.spec;
    if let Some(expected) = spec.expected_size_bytes.filter(|&expected| expected != size) {
        let message = format!("the chunks make {size} bytes; {expected} were declared");
        return Some(EndError { reason: Reason::SizeMismatch, message });
    }
    let declared = spec.sha256?;
    (sha256(upload) != Some(declared)).then(|| EndError {
        reason: Reason::ObjectMismatch,
        message: "the object's SHA-256 isn't the declared one".to_owned(),
    })
}

/// What the chunks make, or made before a restart.
pub(crate) fn object(upload: &Upload, cx: &Context) -> Object {
    upload.stored.record.object.clone().unwrap_or_else(|| Object {
        size_bytes: upload.placed_bytes,
        crc64nvme: cx.config.crc.then_some(upload.placed_crc64nvme),
        sha256: sha256(upload),
        stored: upload.stored_as(),
    })
}

/// SHA-256 of the whole, if it was computed; that of an object made before a restart, too.
fn sha256(upload: &Upload) -> Option<[u8; 32]> {
    match &upload.stored.record.object {
        Some(object) => object.sha256,
        None => upload.hash.as_ref().map(|hash| hash.state.clone().finish()),
    }
}

pub(crate) fn sealed(shard: &mut Shard, upload_id: &UploadId) {
    let upload = shard.uploads.get_mut(upload_id).expect("an operation's upload is kept");
    start_finish(upload, &mut shard.cx);
}

pub(crate) fn start_finish(upload: &mut Upload, cx: &mut Context) {
    upload.ending = Ending::Finishing;
    let op = cx.begin(upload.stored.record.upload_id, OpKind::Finish);
    emit_finish(upload, cx, op);
}

pub(crate) fn emit_finish(upload: &Upload, cx: &mut Context, op: OpId) {
    let record = Box::new(upload.stored.record.clone());
    cx.emit(Effect::Finish { op, record, object: object(upload, cx) });
}

pub(crate) fn finished(shard: &mut Shard, upload_id: &UploadId) {
    let upload = shard.uploads.get_mut(upload_id).expect("an operation's upload is kept");
    let object = object(upload, &shard.cx);
    steps::take(upload, &mut shard.cx, Transition::Completed(object));
    upload.ending = Ending::Recorded;
    steps::then(upload, Then::Cleanup);
}

pub(crate) fn fail(upload: &mut Upload, cx: &mut Context, error: EndError) {
    end_as(upload, cx, State::Failed, Some(error));
}

/// FAILED, ABORTED or EXPIRED: recorded first, then what it holds is given back, swept last.
pub(crate) fn end_as(upload: &mut Upload, cx: &mut Context, state: State, error: Option<EndError>) {
    steps::take(upload, cx, Transition::End { state, error });
    upload.ending = Ending::Recorded;
    steps::then(upload, Then::Cleanup);
}

pub(crate) fn expire(shard: &mut Shard, upload_id: &UploadId) {
    let Some(upload) = shard.uploads.get_mut(upload_id) else { return };
    if upload.state() <= State::Uploading && !upload.is_whole() {
        end_as(upload, &mut shard.cx, State::Expired, None);
    }
}

/// The end is durable. A node's claims are its own by now; those of what became nothing are given
/// back before anybody hears of it, so that whoever does can have them.
pub(crate) fn begin_cleanup(upload: &mut Upload, cx: &mut Context) {
    if upload.state() == State::Completed {
        return begin_sweep(upload, cx);
    }
    upload.ending = upload.ending.max(Ending::Releasing);
    start_release(upload, cx);
}

pub(crate) fn start_release(upload: &Upload, cx: &mut Context) {
    let op = cx.begin(upload.stored.record.upload_id, OpKind::Release);
    emit_release(upload, cx, op);
}

pub(crate) fn emit_release(upload: &Upload, cx: &mut Context, op: OpId) {
    let record = Box::new(upload.stored.record.clone());
    cx.emit(Effect::Release { op, record });
}

/// It is tried again; meanwhile whoever waits may ask again.
pub(crate) fn release_failed(shard: &mut Shard, upload_id: &UploadId) {
    let upload = shard.uploads.get_mut(upload_id).expect("an operation's upload is kept");
    for (until_ms, waiter) in std::mem::take(&mut upload.end_waiters) {
        match waiter {
            EndWaiter::Abort(call) => shard.cx.reply(call, Err(refuse::backend_down())),
            waiter => upload.end_waiters.push((until_ms, waiter)),
        }
    }
}

pub(crate) fn released(shard: &mut Shard, upload_id: &UploadId) {
    let upload = shard.uploads.get_mut(upload_id).expect("an operation's upload is kept");
    begin_sweep(upload, &mut shard.cx);
}

/// Answers AbortUpload once all that the upload held is free.
pub(crate) fn await_release(upload: &mut Upload, cx: &mut Context, call: CallId) {
    if upload.ending >= Ending::Sweeping {
        return cx.reply(call, Ok(CallReply::Aborted));
    }
    upload.end_waiters.push((u64::MAX, EndWaiter::Abort(call)));
}

/// Tells the end, and begins to sweep.
fn begin_sweep(upload: &mut Upload, cx: &mut Context) {
    upload.ending = Ending::Sweeping;
    hash::leave_all(upload, cx);
    turn::over(cx, &upload.stored.record.upload_id);
    for (_, waiter) in std::mem::take(&mut upload.end_waiters) {
        answer(upload, cx, waiter);
    }
    if upload.state() != State::Completed {
        let keys = upload.streams.iter().map(|&(_, key)| key).collect();
        refuse_streams(upload, cx, keys, |_, upload| refuse::ended(&upload.stored.record));
    }
    try_sweep(upload, cx);
}

/// N was fixed while chunks beyond it were on their way in: the end doesn't wait for them, and
/// what is sealed isn't opened again by them.
fn refuse_beyond(upload: &mut Upload, cx: &mut Context) {
    let Some(total) = upload.stored.record.total_chunks else { return };
    let beyond = upload.streams.range((total, StreamKey(0))..);
    let keys: Vec<StreamKey> = beyond.map(|&(_, key)| key).collect();
    refuse_streams(upload, cx, keys, |number, _| refuse::last_conflict(number, total));
}

/// Nobody needs these bytes any more. Bodies that are closing end by themselves.
fn refuse_streams(
    upload: &mut Upload,
    cx: &mut Context,
    keys: Vec<StreamKey>,
    refusal: impl Fn(u32, &Upload) -> Refusal,
) {
    for key in keys {
        let Some(stream) = cx.streams.get(&key) else { continue };
        if matches!(stream.phase, Phase::Closing { .. }) {
            continue;
        }
        let mut stream = cx.streams.remove(&key).expect("it is there");
        let (number, charge) = (stream.open.number, stream.charge.take());
        upload.streams.remove(&(number, key));
        cx.waiting.retain(|waiting| *waiting != key);
        if let Phase::Receiving { body, place, .. } = stream.phase {
            upload.dropping += 1;
            hash::take_back(upload, cx, body);
            let kind = OpKind::DropBody { number, place, charge };
            let op = cx.begin(stream.open.upload_id, kind);
            cx.emit(Effect::DropBody { op, body });
        }
        cx.tell(key, StreamReply::Refused(refusal(number, upload)));
    }
}

fn try_sweep(upload: &mut Upload, cx: &mut Context) {
    let quiet = upload.dropping == 0
        && upload.copies.is_empty()
        && upload.storing.is_quiet()
        && upload.bodies.are_written()
        && upload.hash.as_ref().is_none_or(|hash| hash.reading_bytes == 0)
        && (upload.streams.is_empty() || upload.state() == State::Completed);
    if !quiet {
        return;
    }
    upload.ending = Ending::Swept;
    if making::start_unstore(upload, cx) {
        return;
    }
    remove_partial(upload, cx);
}

fn remove_partial(upload: &mut Upload, cx: &mut Context) {
    let upload_id = upload.stored.record.upload_id;
    let op = cx.begin(upload_id, OpKind::RemovePartial);
    cx.emit(Effect::RemovePartial { op, upload_id });
}

/// Nothing of the upload is left at the object store but its object.
pub(crate) fn unstored(shard: &mut Shard, upload_id: &UploadId) {
    let upload = shard.uploads.get_mut(upload_id).expect("an operation's upload is kept");
    remove_partial(upload, &mut shard.cx);
}

pub(crate) fn partial_removed(shard: &mut Shard, upload_id: &UploadId) {
    let upload = shard.uploads.get_mut(upload_id).expect("an operation's upload is kept");
    if shard.cx.config.spool != Spool::Redis {
        return clean(upload, &mut shard.cx);
    }
    let op = shard.cx.begin(*upload_id, OpKind::SweepBodies);
    shard.cx.emit(Effect::SweepBodies { op, upload_id: *upload_id });
}

pub(crate) fn bodies_swept(shard: &mut Shard, upload_id: &UploadId) {
    let upload = shard.uploads.get_mut(upload_id).expect("an operation's upload is kept");
    bodies::swept(upload, &mut shard.cx);
    clean(upload, &mut shard.cx);
}

fn clean(upload: &mut Upload, cx: &mut Context) {
    steps::take(upload, cx, Transition::CleanedUp);
    steps::then(upload, Then::FreeAll);
}

/// The sweep is durable: after a restart no record of this upload is asked for its bytes.
pub(crate) fn free_all(upload: &mut Upload, cx: &mut Context) {
    let upload_id = upload.stored.record.upload_id;
    for chunk in upload.stored.chunks.values() {
        if let ChunkPlace::Spool(extent) = chunk.place {
            cx.free_extent(&upload_id, extent);
        }
    }
    for (body, charge) in std::mem::take(&mut upload.memory) {
        cx.emit(Effect::FreeMemory { body });
        cx.refund(Some(charge));
    }
    cx.ended.push_back(upload_id);
}

/// Answers at once if the end is known, else when it is, or when the time is over.
pub(crate) fn await_end(
    upload: &mut Upload,
    cx: &mut Context,
    waiter: EndWaiter,
    wait_until_ms: u64,
) {
    if upload.is_told() {
        return answer(upload, cx, waiter);
    }
    upload.end_waiters.push((wait_until_ms, waiter));
    cx.timers.set(wait_until_ms, Timer::EndWait(upload.stored.record.upload_id));
}

pub(crate) fn waited_enough(shard: &mut Shard, upload_id: &UploadId) {
    let cx = &mut shard.cx;
    let Some(upload) = shard.uploads.get_mut(upload_id) else { return };
    let (over, waiting) = std::mem::take(&mut upload.end_waiters)
        .into_iter()
        .partition(|&(until_ms, _)| until_ms <= cx.now.mono_ms);
    upload.end_waiters = waiting;
    let over: Vec<(u64, EndWaiter)> = over;
    for (_, waiter) in over {
        answer(upload, cx, waiter);
    }
}

fn answer(upload: &Upload, cx: &mut Context, waiter: EndWaiter) {
    match waiter {
        EndWaiter::Stream(waiter) => {
            let ack = upload.ack(waiter, cx.spooled());
            cx.tell(waiter.stream, StreamReply::Acked(ack));
        }
        EndWaiter::Abort(call) => cx.reply(call, Ok(CallReply::Aborted)),
        EndWaiter::Call(call) => {
            let result = match (upload.told_state(), &upload.stored.record.error) {
                (State::Failed, Some(error)) => Err(refuse::failed(error)),
                (State::Failed | State::Aborted | State::Expired, _) => {
                    Err(refuse::ended(&upload.stored.record))
                }
                _ => Ok(CallReply::Completed(Box::new(upload.view()))),
            };
            cx.reply(call, result);
        }
    }
}
