//! The end at an S3 store: an object of all parts, or nothing of any.

use sluice_proto::{error::Reason, ids::UploadId};

use crate::{
    context::{Context, OpKind},
    effect::Effect,
    ending,
    event::Outcome,
    keys::OpId,
    record::{EndError, PartRecord, State, StoredAs, Transition, WHOLE},
    shard::Shard,
    steps,
    upload::{Ending, Upload},
};

/// So often the store may say at the end that it has other parts than it answered.
const DIFFERS_MAX: u32 = 8;

pub(crate) fn start_complete(upload: &mut Upload, cx: &mut Context) {
    upload.ending = Ending::Sealing;
    let op = cx.begin(upload.stored.record.upload_id, OpKind::CompleteMultipart);
    emit_complete(upload, cx, op);
}

pub(crate) fn emit_complete(upload: &Upload, cx: &mut Context, op: OpId) {
    let record = Box::new(upload.stored.record.clone());
    let object = ending::object(upload, cx);
    let parts: Vec<(u32, PartRecord)> =
        upload.stored.parts.iter().map(|(&part, stored)| (part, stored.clone())).collect();
    cx.emit(Effect::CompleteMultipart { op, record, object, parts });
}

pub(crate) fn completed(shard: &mut Shard, upload_id: &UploadId, outcome: Outcome) {
    let upload = shard.uploads.get_mut(upload_id).expect("an operation's upload is kept");
    let cx = &mut shard.cx;
    match outcome {
        Outcome::Stored(stored) => {
            upload.storing.made = Some(stored);
            ending::start_finish(upload, cx);
        }
        Outcome::PartsDiffer(parts) => differ(upload, cx, parts),
        Outcome::Refused(error) => ending::fail(upload, cx, error),
        outcome => unreachable!("a multipart upload ended with {outcome:?}"),
    }
}

/// The store has other parts than it had answered. Bytes are the same where it has any: it may name
/// them anew.
fn differ(upload: &mut Upload, cx: &mut Context, parts: Vec<(u32, Option<StoredAs>)>) {
    upload.storing.differed += 1;
    let lost = parts.iter().find(|(_, stored)| stored.is_none()).map(|(part, _)| *part);
    if lost.is_some() || upload.storing.differed > DIFFERS_MAX {
        let part = lost.or(parts.first().map(|(part, _)| *part)).unwrap_or_default();
        let message = format!("the object store doesn't have part {part} as it was sent");
        return ending::fail(upload, cx, EndError { reason: Reason::ObjectMismatch, message });
    }
    for (part, stored) in parts {
        let stored = stored.expect("none is lost");
        steps::take(upload, cx, Transition::StorePart { part, stored });
    }
    upload.ending = Ending::Open;
}

/// Removes what the store has of an upload that has ended, if it may have anything.
pub(crate) fn start_unstore(upload: &Upload, cx: &mut Context) -> bool {
    let record = &upload.stored.record;
    let failed = record.state != State::Completed;
    let has_multipart =
        failed && (record.multipart_id.is_some() || upload.storing.begun_late.is_some());
    let has_whole = failed && upload.stored.parts.contains_key(&WHOLE);
    if !(has_multipart || has_whole || upload.storing.has_strays) {
        return false;
    }
    let op = cx.begin(record.upload_id, OpKind::Unstore);
    emit_unstore(upload, cx, op);
    true
}

pub(crate) fn emit_unstore(upload: &Upload, cx: &mut Context, op: OpId) {
    let record = Box::new(upload.stored.record.clone());
    let failed = record.state != State::Completed;
    let begun = [record.multipart_id.clone(), upload.storing.begun_late.clone()];
    let multipart_ids = begun.into_iter().flatten().filter(|_| failed).collect();
    let object = failed && upload.stored.parts.contains_key(&WHOLE);
    let strays = upload.storing.has_strays;
    cx.emit(Effect::Unstore { op, record, multipart_ids, object, strays });
}
