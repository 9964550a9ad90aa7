//! Steps become durable in order, one batch of an upload at a time, and what waits for them
//! happens after.

use sluice_proto::ids::UploadId;

use crate::{
    bodies,
    context::{Context, OpKind},
    effect::{CallReply, Effect, StreamReply},
    ending,
    keys::OpId,
    placing,
    record::Transition,
    refuse,
    shard::Shard,
    upload::{EndWaiter, EndWaiterStream, Then, Upload},
};

/// Queues a step: it holds for all that is decided from now on, and is told once it is durable.
pub(crate) fn take(upload: &mut Upload, cx: &mut Context, step: Transition) {
    match step {
        Transition::Create(_) => upload.stored.rev += 1,
        _ => upload.stored.apply(&step, cx.now.wall_ms),
    }
    upload.queued.push(step);
}

/// Has this happen once all steps so far are durable.
pub(crate) fn then(upload: &mut Upload, then: Then) {
    upload.then.push_back((upload.stored.rev, then));
}

/// Sends the queued steps off, if none are under way, and does what waits for none.
pub(crate) fn record(upload: &mut Upload, cx: &mut Context) {
    run(upload, cx);
    if upload.recording.is_some() || upload.queued.is_empty() {
        return;
    }
    upload.recording = Some((cx.now.wall_ms, std::mem::take(&mut upload.queued)));
    // As the store will have it.
    upload.stored.record.update_ms = cx.now.wall_ms;
    let op = cx.begin(upload.stored.record.upload_id, OpKind::Record);
    emit(upload, cx, op);
}

pub(crate) fn emit(upload: &Upload, cx: &mut Context, op: OpId) {
    let (wall_ms, steps) = upload.recording.clone().expect("steps are under way");
    cx.emit(Effect::Record {
        op,
        upload_id: upload.stored.record.upload_id,
        first_rev: upload.durable_rev + 1,
        wall_ms,
        steps,
    });
}

pub(crate) fn recorded(shard: &mut Shard, upload_id: &UploadId) {
    let upload = shard.uploads.get_mut(upload_id).expect("an operation's upload is kept");
    let (_, steps) = upload.recording.take().expect("steps were under way");
    upload.durable_rev += steps.len() as u64;
}

/// Does what waited for steps that are durable now.
fn run(upload: &mut Upload, cx: &mut Context) {
    while upload.then.front().is_some_and(|(rev, _)| *rev <= upload.durable_rev) {
        let (_, then) = upload.then.pop_front().expect("it was there");
        happen(upload, cx, then);
    }
}

fn happen(upload: &mut Upload, cx: &mut Context, then: Then) {
    let upload_id = upload.stored.record.upload_id;
    match then {
        Then::Ack(waiter) => ack(upload, cx, waiter),
        Then::SendAgain(stream) => {
            cx.tell(stream, StreamReply::Refused(refuse::backend_down()));
        }
        Then::Initiated { call, duplicate } => {
            let view = Box::new(upload.view());
            cx.reply(call, Ok(CallReply::Initiated { upload: view, duplicate }));
        }
        // The last hole may have been filled while N was recorded, or a chunk been lost.
        Then::Complete { call, wait_until_ms } if upload.is_whole() => {
            ending::await_end(upload, cx, EndWaiter::Call(call), wait_until_ms);
        }
        Then::Complete { call, .. } => crate::control::answer_missing(upload, cx, call),
        Then::Aborted(call) => ending::await_release(upload, cx, call),
        Then::FreeExtent(extent) => cx.free_extent(&upload_id, extent),
        Then::FreeMemory(body) => {
            cx.emit(Effect::FreeMemory { body });
            let charge = upload.memory.remove(&body);
            cx.refund(charge);
        }
        Then::FreeBody { number, attempt } => bodies::free(upload, cx, number, attempt),
        Then::Dequeue { number, attempt } => placing::dequeue(upload, cx, number, attempt),
        Then::FreeAll => ending::free_all(upload, cx),
        Then::Cleanup => ending::begin_cleanup(upload, cx),
    }
}

fn ack(upload: &mut Upload, cx: &mut Context, waiter: EndWaiterStream) {
    match waiter.wait_until_ms {
        Some(wait_until_ms) if upload.is_whole() && !upload.is_told() => {
            ending::await_end(upload, cx, EndWaiter::Stream(waiter), wait_until_ms);
        }
        _ => {
            let ack = upload.ack(waiter, cx.spooled());
            cx.tell(waiter.stream, StreamReply::Acked(ack));
        }
    }
}
