//! One upload's bodies in Redis: which are there, and under which attempt the next one goes.
//!
//! A body is written once, under (upload, number, attempt), and no two bodies of a chunk ever have
//! the same attempt. So neither another attempt nor a late write of a process that is gone can
//! touch bytes that a record names.

use std::collections::BTreeMap;

use crate::{
    budget::Charge,
    config::{Objects, Spool},
    context::Context,
    effect::Effect,
    record::ChunkPlace,
    turn,
    upload::Upload,
};

/// Bodies that are written, or being written, and not freed yet.
#[derive(Debug, Default)]
pub(crate) struct Bodies {
    /// By number and attempt.
    held: BTreeMap<(u32, u32), Charge>,
    /// So many of them are still being written.
    writing: usize,
    /// What was given to a body that neither is held nor has a record lies below.
    attempt_floor: u32,
}

impl Bodies {
    /// Takes a new body of a chunk; its attempt. `recorded`: the attempt that is recorded.
    pub(crate) fn open(&mut self, number: u32, recorded: Option<u32>, charge: Charge) -> u32 {
        let of_chunk = (number, 0)..=(number, u32::MAX);
        let held = self.held.range(of_chunk).next_back().map(|(&(_, attempt), _)| attempt);
        let next = held.max(recorded).map_or(0, after);
        let attempt = next.max(self.attempt_floor);
        self.held.insert((number, attempt), charge);
        self.writing += 1;
        attempt
    }

    /// No write of a body can happen any more.
    pub(crate) fn written(&mut self) {
        self.writing -= 1;
    }

    pub(crate) fn are_written(&self) -> bool {
        self.writing == 0
    }

    /// An attempt won't be known from a record any more. It isn't used again.
    pub(crate) fn retire(&mut self, attempt: u32) {
        self.attempt_floor = self.attempt_floor.max(after(attempt));
    }
}

/// Going on at 0 would write over what is recorded.
fn after(attempt: u32) -> u32 {
    attempt.checked_add(1).expect("no upload has so many attempts")
}

/// Whether there is room for another body, and what that is charged: `None` while Redis is full.
///
/// The chunk right behind all that is placed goes to its place as soon as it is in, whatever else
/// waits: room for the largest is kept free for such. What waits for another chunk may wait for
/// ever, so it takes at most half.
pub(crate) fn charge(upload: &Upload, cx: &mut Context, number: u32, bytes: u64) -> Option<Charge> {
    if upload.stored.record.schedule.is_some() {
        return charge_part(upload, cx, number, bytes);
    }
    let room = &mut cx.spool_room;
    let kept_bytes = if number == upload.placed { 0 } else { cx.config.max_chunk_bytes };
    let fits = room.used_bytes() + bytes + kept_bytes <= room.total_bytes();
    let waits = cx.config.objects == Objects::Files && upload.offset_of(number).is_none();
    if cx.spool_admits && fits { room.charge(bytes, waits) } else { None }
}

/// Bytes leave by whole parts: what is kept free is for one upload at a time.
fn charge_part(upload: &Upload, cx: &mut Context, number: u32, bytes: u64) -> Option<Charge> {
    if !cx.spool_admits {
        return None;
    }
    let ahead = number > upload.received.front();
    if let Some(charge) = cx.spool_room.charge_sparing(bytes, ahead, true) {
        return Some(charge);
    }
    let is_free = cx.spool_room.has_reserve();
    let has_turn = turn::take(upload, cx, number, is_free);
    has_turn.then(|| cx.spool_room.charge_sparing(bytes, false, false)).flatten()
}

/// Frees a body that no durable record names, and nobody reads.
pub(crate) fn free(upload: &mut Upload, cx: &mut Context, number: u32, attempt: u32) {
    // What was swept meanwhile is free already.
    let Some(charge) = upload.bodies.held.remove(&(number, attempt)) else { return };
    cx.spool_room.refund(charge);
    let recorded = upload.stored.chunks.get(&number).map(|chunk| chunk.attempt);
    if recorded < Some(attempt) {
        upload.bodies.retire(attempt);
    }
    let upload_id = upload.stored.record.upload_id;
    cx.emit(Effect::FreeBody { upload_id, number, attempt });
}

/// Takes what a process before this one left: its bodies may come to be at any attempt below
/// `attempt_base`, and its records name some.
pub(crate) fn retake(upload: &mut Upload, cx: &mut Context) {
    if cx.config.spool != Spool::Redis {
        return;
    }
    upload.bodies.attempt_floor = cx.config.attempt_base;
    for number in upload.unplaced.numbers(0) {
        let chunk = &upload.stored.chunks[&number];
        if chunk.place != ChunkPlace::Redis {
            continue;
        }
        let waits = cx.config.objects == Objects::Files && upload.offset_of(number).is_none();
        let charge = cx.spool_room.charge_what_is(chunk.bytes, waits);
        upload.bodies.held.insert((number, chunk.attempt), charge);
    }
}

/// Nothing of the upload is in Redis any more.
pub(crate) fn swept(upload: &mut Upload, cx: &mut Context) {
    for charge in std::mem::take(&mut upload.bodies.held).into_values() {
        cx.spool_room.refund(charge);
    }
}
