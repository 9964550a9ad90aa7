//! CompleteUpload, AbortUpload, GetUploadStatus.

use std::ops::RangeInclusive;

use sluice_proto::{
    error::{Reason, Refusal},
    ids::UploadId,
};

use crate::{
    config::Objects,
    context::Context,
    effect::CallReply,
    ending,
    keys::CallId,
    record::{State, Transition},
    refuse,
    shard::Shard,
    steps,
    upload::{EndWaiter, Ending, Then, Upload},
};

/// Ranges named in the metadata of MISSING_CHUNKS.
const MISSING_TOLD_MAX: usize = 10;

pub(crate) struct Complete {
    pub call: CallId,
    pub total_chunks: Option<u32>,
    pub sha256: Option<[u8; 32]>,
    pub wait_until_ms: u64,
}

pub(crate) struct Page {
    pub from_chunk: u32,
    pub ranges_max: usize,
}

pub(crate) fn complete(shard: &mut Shard, tenant: &str, upload_id: &UploadId, asked: Complete) {
    let call = asked.call;
    let result =
        shard.find(tenant, upload_id).and_then(|(upload, cx)| try_complete(upload, cx, asked));
    if let Err(refusal) = result {
        shard.cx.reply(call, Err(refusal));
    }
    shard.advance(upload_id);
}

fn try_complete(upload: &mut Upload, cx: &mut Context, asked: Complete) -> Result<(), Refusal> {
    let Complete { call, total_chunks, sha256, wait_until_ms } = asked;
    if upload.state() > State::Completed {
        // A repeat gets the answer that the first one got.
        ending::await_end(upload, cx, EndWaiter::Call(call), wait_until_ms);
        return Ok(());
    }
    let total = judge_total(upload, total_chunks)?;
    let late_sha256 = judge_sha256(upload, cx, sha256)?;
    let fixed = upload.stored.record.total_chunks;
    if fixed != Some(total) || late_sha256.is_some() {
        steps::take(upload, cx, Transition::FixTotal { total_chunks: total, sha256: late_sha256 });
        upload.begin_hash();
    }
    steps::then(upload, Then::Complete { call, wait_until_ms });
    Ok(())
}

fn judge_total(upload: &Upload, asked: Option<u32>) -> Result<u32, Refusal> {
    let fixed = upload.stored.record.total_chunks;
    let highest = upload.highest();
    match (asked, fixed) {
        (Some(asked), Some(fixed)) if asked != fixed => Err(refuse::total_conflict(asked, fixed)),
        (_, Some(fixed)) => Ok(fixed),
        (Some(asked), None) => match highest {
            Some(highest) if highest >= asked => Err(refuse::total_conflict(asked, highest + 1)),
            _ => Ok(asked),
        },
        (None, None) => highest.map(|highest| highest + 1).ok_or_else(|| {
            let message = "nothing was received, so the number of chunks has to be said";
            Refusal::invalid("total_chunks", message)
        }),
    }
}

/// A SHA-256 declared only now, if there is one.
fn judge_sha256(
    upload: &Upload,
    cx: &Context,
    asked: Option<[u8; 32]>,
) -> Result<Option<[u8; 32]>, Refusal> {
    match (asked, upload.stored.record.spec.sha256) {
        (None, _) => Ok(None),
        (Some(asked), Some(held)) if asked == held => Ok(None),
        (Some(_), Some(_)) => {
            Err(Refusal::invalid("sha256", "another SHA-256 was declared before"))
        }
        (Some(_), None) if cx.config.objects == Objects::Discard => {
            let message = "with objects = discard there is nothing to take a SHA-256 of";
            Err(Refusal::invalid("sha256", message))
        }
        (Some(asked), None) => match (known_sha256(upload), upload.ending) {
            (Some(sum), _) if sum == asked => Ok(None),
            (Some(_), _) => {
                Err(Refusal::new(Reason::ObjectMismatch, "the object has another SHA-256"))
            }
            (None, Ending::Open) if upload.hash.is_some() || upload.stored.parts.is_empty() => {
                Ok(Some(asked))
            }
            (None, _) => {
                let message = "it comes too late: the object was made without a SHA-256";
                Err(Refusal::invalid("sha256", message))
            }
        },
    }
}

/// The SHA-256 of an object that is whole, if it was computed.
fn known_sha256(upload: &Upload) -> Option<[u8; 32]> {
    match &upload.stored.record.object {
        Some(object) => object.sha256,
        None if upload.ending == Ending::Open && !is_known_whole(upload) => None,
        None => upload.hash.as_ref().map(|hash| hash.state.clone().finish()),
    }
}

/// The whole is hashed, and on its way to where it is visible.
fn is_known_whole(upload: &Upload) -> bool {
    upload.is_sent_whole() && upload.is_whole() && upload.is_hashed_whole()
}

pub(crate) fn answer_missing(upload: &mut Upload, cx: &mut Context, call: CallId) {
    let total = upload.stored.record.total_chunks.unwrap_or_default();
    let missing = u64::from(total) - u64::from(upload.received.count());
    let ranges: Vec<String> = upload
        .received
        .missing(0, total)
        .take(MISSING_TOLD_MAX)
        .map(|range| format!("{}-{}", range.start(), range.end()))
        .collect();
    let refusal = Refusal::new(Reason::MissingChunks, format!("{missing} chunks are missing"))
        .with("missing_count", missing)
        .with("missing_ranges", ranges.join(","))
        .with("total_chunks", total);
    cx.reply(call, Err(refusal));
}

pub(crate) fn abort(shard: &mut Shard, call: CallId, tenant: &str, upload_id: &UploadId) {
    let result = shard.find(tenant, upload_id).and_then(|(upload, cx)| {
        match upload.state() {
            State::Pending | State::Uploading => {
                ending::end_as(upload, cx, State::Aborted, None);
            }
            State::Aborted => {}
            State::Completing => {
                let message = "all chunks are in and the object is being made";
                return Err(Refusal::new(Reason::UploadCompleting, message));
            }
            State::Completed | State::Failed | State::Expired => {
                return Err(refuse::ended(&upload.stored.record));
            }
        }
        steps::then(upload, Then::Aborted(call));
        Ok(())
    });
    if let Err(refusal) = result {
        shard.cx.reply(call, Err(refusal));
    }
    shard.advance(upload_id);
}

pub(crate) fn status(
    shard: &mut Shard,
    call: CallId,
    tenant: &str,
    upload_id: &UploadId,
    page: Page,
) {
    let result = shard.find(tenant, upload_id).map(|(upload, _)| status_page(upload, &page));
    shard.cx.reply(call, result);
}

/// Received and missing ranges in the order of their numbers, as many as the page takes.
fn status_page(upload: &Upload, page: &Page) -> CallReply {
    let end = upload
        .stored
        .record
        .total_chunks
        .or_else(|| upload.received.highest().map(|highest| highest + 1))
        .unwrap_or_default();
    let mut present = upload.received.present(page.from_chunk).peekable();
    let mut holes = upload.received.missing(page.from_chunk, end).peekable();
    let (mut received, mut missing) = (Vec::new(), Vec::new());
    let mut next_chunk = None;
    let start = |range: Option<&RangeInclusive<u32>>| range.map_or(u32::MAX, |r| *r.start());
    loop {
        let (in_from, out_from) = (start(present.peek()), start(holes.peek()));
        if in_from == u32::MAX && out_from == u32::MAX {
            break;
        }
        if received.len() + missing.len() >= page.ranges_max {
            next_chunk = Some(in_from.min(out_from));
            break;
        }
        if in_from < out_from {
            received.extend(present.next());
        } else {
            missing.extend(holes.next());
        }
    }
    CallReply::Status { upload: Box::new(upload.view()), received, missing, next_chunk }
}

/// The caller is gone: its answer would go nowhere, so none is kept waiting for it.
pub(crate) fn cut(shard: &mut Shard, call: CallId) {
    for upload in shard.uploads.values_mut() {
        let is_cut = |waiter: &EndWaiter| match waiter {
            EndWaiter::Call(waiting) | EndWaiter::Abort(waiting) => *waiting == call,
            EndWaiter::Stream(_) => false,
        };
        upload.end_waiters.retain(|(_, waiter)| !is_cut(waiter));
    }
}
