//! Ended uploads leave memory, and are read from their store again when somebody asks for one.
//!
//! So what is open is all that costs memory, and an upload stays readable for as long as its store
//! keeps it. An ended upload takes no steps, so memory and store never differ.

use sluice_proto::{error::Refusal, ids::UploadId};

use crate::{
    context::OpKind,
    effect::{Effect, StreamReply},
    event::{Event, Failure, Outcome},
    keys::StreamKey,
    recover, refuse,
    shard::Shard,
    upload::{Ending, Upload},
};

/// Questions that wait for a store, of a shard; more are refused.
const WAITING_MAX: usize = 1024;

/// Ended uploads give way when chunk records, or uploads, fill more than this part of their room.
const CRAMPED: (usize, usize) = (3, 4);

/// The upload that an event asks for, if only its store can know it.
pub(crate) fn target(shard: &Shard, event: &Event) -> Option<UploadId> {
    let upload_id = match event {
        Event::ChunkOpen(open) | Event::ChunkWhole { open, .. } => open.upload_id,
        Event::Complete { upload_id, .. }
        | Event::Abort { upload_id, .. }
        | Event::Status { upload_id, .. }
        | Event::Watch { upload_id, .. }
        | Event::InitiateAgain { upload_id, .. } => *upload_id,
        _ => return None,
    };
    let is_cold =
        shard.loaded.contains(&upload_id.store()) && !shard.uploads.contains_key(&upload_id);
    is_cold.then_some(upload_id)
}

/// Has the upload read, and the event wait for it.
pub(crate) fn ask(shard: &mut Shard, upload_id: UploadId, event: Event) {
    let cx = &mut shard.cx;
    if cx.asking.values().map(Vec::len).sum::<usize>() >= WAITING_MAX {
        return refuse(shard, event, &refuse::budget());
    }
    let waiting = cx.asking.entry(upload_id).or_default();
    waiting.push(event);
    if waiting.len() == 1 {
        let op = cx.begin(upload_id, OpKind::Load);
        cx.emit(Effect::Load { op, upload_id });
    }
}

pub(crate) fn loaded(shard: &mut Shard, upload_id: UploadId, result: Result<Outcome, Failure>) {
    let events = shard.cx.asking.remove(&upload_id).unwrap_or_default();
    match result {
        // Nobody asks any more, or a repeat of its request made it in the meantime.
        Ok(Outcome::Loaded(Some(found)))
            if !events.is_empty() && !shard.uploads.contains_key(&upload_id) =>
        {
            recover::resume(shard, *found);
        }
        Ok(Outcome::Loaded(_)) => {}
        Err(failure) => {
            let refusal = match failure {
                Failure::Full => refuse::budget(),
                Failure::Damaged => refuse::damaged(),
                Failure::Unavailable | Failure::Gone { .. } => refuse::backend_down(),
            };
            return events.into_iter().for_each(|event| refuse(shard, event, &refusal));
        }
        Ok(outcome) => unreachable!("a load ended with {outcome:?}"),
    }
    events.into_iter().for_each(|event| shard.handle(event));
}

/// The reader of a chunk that waits here is gone.
pub(crate) fn cut(shard: &mut Shard, stream: StreamKey) {
    for waiting in shard.cx.asking.values_mut() {
        waiting.retain(|event| !matches!(event, Event::ChunkOpen(open) if open.stream == stream));
    }
}

fn refuse(shard: &mut Shard, event: Event, refusal: &Refusal) {
    let cx = &mut shard.cx;
    match event {
        Event::ChunkOpen(open) => cx.tell(open.stream, StreamReply::Refused(refusal.clone())),
        Event::Complete { call, .. }
        | Event::Abort { call, .. }
        | Event::Status { call, .. }
        | Event::Watch { call, .. }
        | Event::InitiateAgain { call, .. } => cx.reply(call, Err(refusal.clone())),
        other => unreachable!("{other:?} asks for no upload"),
    }
}

/// Lets ended uploads go, the first to end first, while there are more than memory is kept for.
pub(crate) fn let_go(shard: &mut Shard) {
    let mut busy = Vec::new();
    while is_cramped(shard)
        && let Some(upload_id) = shard.cx.ended.pop_front()
    {
        if is_idle(&shard.uploads[&upload_id]) {
            let gone = shard.uploads.remove(&upload_id).expect("it was looked at");
            shard.cx.chunk_records -= gone.stored.chunks.len();
            shard.cx.upload_bytes -= gone.weight_bytes();
        } else {
            busy.push(upload_id);
        }
    }
    for upload_id in busy.into_iter().rev() {
        shard.cx.ended.push_front(upload_id);
    }
}

fn is_cramped(shard: &Shard) -> bool {
    let cx = &shard.cx;
    let fills = |held: usize, room: usize| held * CRAMPED.1 > room * CRAMPED.0;
    cx.ended.len() > cx.config.ended_max
        || fills(cx.chunk_records, cx.config.chunk_records_max)
        || fills(cx.upload_bytes, cx.config.upload_bytes_max)
}

/// Nothing is under way for it, and nobody waits.
fn is_idle(upload: &Upload) -> bool {
    upload.ending == Ending::Swept
        && upload.recording.is_none()
        && upload.queued.is_empty()
        && upload.then.is_empty()
        && upload.streams.is_empty()
        && upload.dropping == 0
        && upload.end_waiters.is_empty()
        && upload.watchers.is_empty()
}
