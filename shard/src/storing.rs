//! What waits in the spool goes to an S3 store: part by part, or whole by one PUT.
//!
//! A part's range is recorded before it is sent, and from then on no chunk in it changes: so a
//! request of a process that is gone can bring nothing but the same bytes. A chunk's bytes may go
//! once every part over it is stored and a recorded SHA-256 is behind it.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};

use sluice_proto::{checksum::Crc64Nvme, ids::UploadId};

use crate::{
    config::Objects,
    context::{Context, OpKind},
    effect::{Effect, PartSums},
    ending,
    event::{Failure, Outcome},
    filling::At,
    hash,
    keys::OpId,
    losing,
    parts::Schedule,
    placing,
    record::{EndError, State, StoredAs, Transition, WHOLE},
    shard::Shard,
    steps,
    upload::{Ending, Upload},
};

/// How far an object has come on its way to the store.
#[derive(Debug, Default)]
pub(crate) struct Storing {
    /// A multipart upload is being begun.
    is_beginning: bool,
    /// It was begun after the upload had ended.
    pub begun_late: Option<String>,
    /// The store may hold multipart uploads that no record names.
    pub has_strays: bool,
    /// Recorded, but neither stored nor being sent, with the `rev` of that.
    pub unsent: BTreeMap<u32, u64>,
    pub sending: BTreeSet<u32>,
    /// Chunks that the store has whole, by where they end.
    pub done: BTreeMap<u64, u32>,
    /// What the store answered to the end of a multipart upload.
    pub made: Option<StoredAs>,
    /// How often it had other parts than it answered.
    pub differed: u32,
}

impl Storing {
    /// Nothing is under way at the store.
    pub(crate) fn is_quiet(&self) -> bool {
        !self.is_beginning && self.sending.is_empty()
    }
}

/// Sends what can be sent, and lets go of what the store has.
pub(crate) fn start(upload: &mut Upload, cx: &mut Context) {
    let is_open = upload.state() <= State::Completing && upload.ending == Ending::Open;
    if upload.stored.record.schedule.is_none() || !is_open || upload.durable_rev == 0 {
        return;
    }
    place_done(upload, cx);
    let whole = upload.object_bytes().filter(|_| upload.is_whole());
    // Before anything becomes visible.
    let judged = whole.filter(|_| upload.is_hashed_whole());
    if let Some(error) = judged.and_then(|bytes| ending::mismatch(upload, bytes)) {
        return ending::fail(upload, cx, error);
    }
    let is_small = |bytes| {
        let is_single = matches!(upload.stored.record.schedule, Some(Schedule::Single { .. }));
        is_single || bytes <= cx.config.plan.single_put_bytes
    };
    let is_multipart = upload.storing.is_beginning || upload.stored.record.multipart_id.is_some();
    match whole {
        Some(bytes) if !is_multipart && is_small(bytes) => {
            plan_whole(upload, cx, bytes);
        }
        _ if wants_multipart(upload, cx) => plan_parts(upload, cx),
        _ => {}
    }
    if upload.ending == Ending::Open {
        send_planned(upload, cx);
    }
}

fn wants_multipart(upload: &Upload, cx: &Context) -> bool {
    let record = &upload.stored.record;
    let is_cut = !matches!(record.schedule, None | Some(Schedule::Single { .. }));
    let is_large = record.spec.expected_size_bytes.is_some()
        || record.multipart_id.is_some()
        || upload.received_bytes > cx.config.plan.single_put_bytes;
    is_cut && is_large && !upload.stored.parts.contains_key(&WHOLE)
}

/// The whole is visible once it is sent.
fn plan_whole(upload: &mut Upload, cx: &mut Context, bytes: u64) {
    let planned = upload.stored.parts.get(&WHOLE);
    let is_stored = planned.is_some_and(|whole| whole.stored.is_some());
    if is_stored || !upload.is_hashed_whole() {
        return;
    }
    if planned.is_none() {
        plan(upload, cx, WHOLE, bytes);
    }
}

fn plan_parts(upload: &mut Upload, cx: &mut Context) {
    if upload.stored.record.multipart_id.is_none() {
        return begin_multipart(upload, cx);
    }
    while let Some(part) = next_full(upload, cx) {
        upload.filling.take(part);
        if !upload.stored.parts.contains_key(&part) {
            let bytes = upload.filling.filled_bytes(part);
            plan(upload, cx, part, bytes);
        }
    }
    let Some((last, last_bytes)) = upload.last_part() else { return };
    let is_in = upload.filling.filled_bytes(last) == last_bytes;
    if is_in && !upload.stored.parts.contains_key(&last) && has_room(upload, cx) {
        plan(upload, cx, last, last_bytes);
    }
}

fn next_full(upload: &Upload, cx: &Context) -> Option<u32> {
    upload.filling.full(1).next().filter(|_| has_room(upload, cx))
}

/// What waits for a lost chunk keeps nobody up.
fn has_room(upload: &Upload, cx: &Context) -> bool {
    let storing = &upload.storing;
    let unsent = storing.unsent.keys().filter(|&&part| is_filled(upload, part)).count();
    storing.sending.len() + unsent < cx.config.places_in_flight_max
}

fn is_filled(upload: &Upload, part: u32) -> bool {
    match part {
        // The store is told its SHA-256.
        WHOLE => upload.is_whole() && upload.is_hashed_whole(),
        _ => upload.filling.filled_bytes(part) == upload.stored.parts[&part].bytes,
    }
}

fn plan(upload: &mut Upload, cx: &mut Context, part: u32, bytes: u64) {
    steps::take(upload, cx, Transition::PlanPart { part, bytes });
    upload.storing.unsent.insert(part, upload.stored.rev);
}

fn begin_multipart(upload: &mut Upload, cx: &mut Context) {
    if upload.storing.is_beginning {
        return;
    }
    upload.storing.is_beginning = true;
    let op = cx.begin(upload.stored.record.upload_id, OpKind::BeginMultipart);
    emit_begin(upload, cx, op);
}

pub(crate) fn emit_begin(upload: &Upload, cx: &mut Context, op: OpId) {
    let record = Box::new(upload.stored.record.clone());
    cx.emit(Effect::BeginMultipart { op, record });
}

pub(crate) fn begun(shard: &mut Shard, upload_id: &UploadId, outcome: Outcome) {
    let upload = shard.uploads.get_mut(upload_id).expect("an operation's upload is kept");
    upload.storing.is_beginning = false;
    match outcome {
        Outcome::Begun { multipart_id } if is_needed(upload) => {
            steps::take(upload, &mut shard.cx, Transition::BeginMultipart { multipart_id });
        }
        Outcome::Begun { multipart_id } => upload.storing.begun_late = Some(multipart_id),
        Outcome::Refused(error) => refused(upload, &mut shard.cx, error),
        outcome => unreachable!("a multipart upload began with {outcome:?}"),
    }
}

/// It may have been begun all the same. Whether it is tried again.
pub(crate) fn begin_failed(shard: &mut Shard, upload_id: &UploadId) -> bool {
    let upload = shard.uploads.get_mut(upload_id).expect("an operation's upload is kept");
    upload.storing.has_strays = true;
    upload.storing.is_beginning = is_needed(upload);
    upload.storing.is_beginning
}

fn send_planned(upload: &mut Upload, cx: &mut Context) {
    let durable_rev = upload.durable_rev;
    let room = cx.config.places_in_flight_max.saturating_sub(upload.storing.sending.len());
    let planned = upload.storing.unsent.iter();
    let durable = planned.filter(|&(_, &rev)| rev <= durable_rev).map(|(&part, _)| part);
    let parts: Vec<u32> = durable.filter(|&part| is_filled(upload, part)).take(room).collect();
    for part in parts {
        upload.storing.unsent.remove(&part);
        upload.storing.sending.insert(part);
        let op = cx.begin(upload.stored.record.upload_id, OpKind::SendPart { part });
        emit_send(upload, cx, op, part);
    }
}

pub(crate) fn emit_send(upload: &Upload, cx: &mut Context, op: OpId, part: u32) {
    let range = upload.part_range(part);
    let record = Box::new(upload.stored.record.clone());
    if part == WHOLE {
        let slices = upload.slices(At { number: 0, offset: 0 }, range.clone());
        let mut object = ending::object(upload, cx);
        object.size_bytes = range.end;
        object.crc64nvme = Some(whole_crc64nvme(upload));
        return cx.emit(Effect::PutObject { op, record, object, slices });
    }
    let at = upload.filling.first(part).unwrap_or(At { number: 0, offset: 0 });
    let slices = upload.slices(at, range.clone());
    let sums = part_sums(upload, at, &range);
    let bytes = range.end - range.start;
    cx.emit(Effect::SendPart { op, record, part, bytes, slices, sums });
}

fn whole_crc64nvme(upload: &Upload) -> u64 {
    let chunks = upload.stored.chunks.values();
    chunks.fold(Crc64Nvme::of(b""), |sum, chunk| {
        Crc64Nvme::combine(sum, chunk.crc64nvme, chunk.bytes)
    })
}

/// The sums of a part that is made of whole chunks.
fn part_sums(upload: &Upload, mut at: At, range: &Range<u64>) -> Option<PartSums> {
    let mut sums = (at.offset == range.start).then(PartSums::empty)?;
    while at.offset < range.end {
        let chunk = &upload.stored.chunks[&at.number];
        sums = sums.then(chunk.crc64nvme, chunk.crc32c, chunk.bytes);
        at = At { number: at.number + 1, offset: at.offset + chunk.bytes };
    }
    (at.offset == range.end).then_some(sums)
}

/// A part is sent, or was refused for good.
pub(crate) fn sent(shard: &mut Shard, upload_id: &UploadId, part: u32, outcome: Outcome) {
    let upload = shard.uploads.get_mut(upload_id).expect("an operation's upload is kept");
    let cx = &mut shard.cx;
    upload.storing.sending.remove(&part);
    let stored = match outcome {
        Outcome::Stored(stored) => stored,
        Outcome::Refused(error) => return refused(upload, cx, error),
        outcome => unreachable!("a part ended with {outcome:?}"),
    };
    if !is_needed(upload) {
        return;
    }
    let range = upload.part_range(part);
    let first = if part == WHOLE { None } else { upload.filling.first(part) };
    steps::take(upload, cx, Transition::StorePart { part, stored });
    upload.filling.forget(part);
    let behind = |hash: &hash::Hash| hash.recorded_bytes < hash.state.bytes_hashed();
    if upload.hash.as_ref().is_some_and(behind) {
        hash::record(upload, cx);
    }
    note_chunks(upload, first.unwrap_or(At { number: 0, offset: 0 }), range.end);
}

fn note_chunks(upload: &mut Upload, mut at: At, end: u64) {
    while at.offset < end {
        let bytes = upload.stored.chunk_bytes(at.number).expect("a part was made of it");
        upload.note_done(at, bytes);
        at = At { number: at.number + 1, offset: at.offset + bytes };
    }
}

/// Chunks that the store has whole, and a recorded SHA-256 is behind.
fn place_done(upload: &mut Upload, cx: &mut Context) {
    let hashed = upload.hash.as_ref().map_or(u64::MAX, |hash| hash.recorded_bytes);
    while let Some((&end, &number)) = upload.storing.done.first_key_value()
        && end <= hashed
    {
        upload.storing.done.remove(&end);
        placing::stored(upload, cx, number);
    }
    let waits = |hash: &hash::Hash| {
        let first = upload.storing.done.first_key_value();
        first.is_some_and(|(&end, _)| end <= hash.state.bytes_hashed())
    };
    if upload.hash.as_ref().is_some_and(waits) {
        hash::record(upload, cx);
        place_done(upload, cx);
    }
}

/// Whether what failed isn't tried again as it was: nobody needs it, or its bytes are gone.
pub(crate) fn is_over(
    shard: &mut Shard,
    upload_id: &UploadId,
    kind: &OpKind,
    failure: Failure,
) -> bool {
    let upload = shard.uploads.get_mut(upload_id).expect("an operation's upload is kept");
    let Failure::Gone { number, attempt } = failure else {
        let is_over = matches!(kind, OpKind::SendPart { .. }) && !is_needed(upload);
        if is_over {
            give_up(upload, kind);
        }
        return is_over;
    };
    give_up(upload, kind);
    losing::slice_gone(upload, &mut shard.cx, number, attempt);
    true
}

/// It is under way no more.
pub(crate) fn give_up(upload: &mut Upload, kind: &OpKind) {
    match *kind {
        OpKind::BeginMultipart => upload.storing.is_beginning = false,
        OpKind::SendPart { part } => {
            upload.storing.sending.remove(&part);
            upload.storing.unsent.insert(part, 0);
        }
        OpKind::Hash { .. } => hash::lost(upload),
        _ => unreachable!("it is tried again"),
    }
}

/// What it is made of may have gone while it waited.
pub(crate) fn retry_send(upload: &mut Upload, cx: &mut Context, op: OpId, part: u32) {
    if is_filled(upload, part) {
        return emit_send(upload, cx, op, part);
    }
    cx.ops.remove(&op);
    give_up(upload, &OpKind::SendPart { part });
}

/// Whether the upload can still become an object.
pub(crate) fn is_needed(upload: &Upload) -> bool {
    upload.state() <= State::Completing && upload.ending <= Ending::Sealing
}

/// The store takes it by no means.
fn refused(upload: &mut Upload, cx: &mut Context, error: EndError) {
    if is_needed(upload) {
        ending::fail(upload, cx, error);
    }
}

/// The schedule of a new object.
pub(crate) fn schedule(cx: &Context, size_bytes: Option<u64>) -> Option<Schedule> {
    let is_cut = cx.config.objects == Objects::S3;
    is_cut.then(|| cx.config.plan.schedule(size_bytes)).flatten()
}
