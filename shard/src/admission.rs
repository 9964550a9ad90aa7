//! Who gets memory, and when: fronts first, then in the order of arrival.

use sluice_proto::error::Refusal;

use crate::{
    bodies,
    budget::Charge,
    config::{Objects, Spool},
    context::Context,
    effect::{BodyPlace, Effect, HashTurn, StreamReply},
    hash,
    keys::{BodyId, StreamKey},
    record::{Extent, State},
    refuse,
    shard::Shard,
    stream::Phase,
    timers::Timer,
    turn,
    upload::Upload,
};

/// How a chunk's payload comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Coming {
    /// After the grant.
    InPieces,
    /// It is here: taken at once, or not at all.
    Whole,
}

/// Where an attempt is to be written, before anything is taken for it.
enum Kind {
    Discard,
    Place(u64),
    Spool,
    Redis,
    Memory,
}

/// Grants a chunk, lets it wait for memory, or refuses it. It is kept unless refused.
pub(crate) fn admit_or_wait(
    upload: &mut Upload,
    cx: &mut Context,
    key: StreamKey,
    judging: bool,
    coming: Coming,
) -> Result<(), Refusal> {
    let number = cx.streams[&key].open.number;
    let result = match admit(upload, cx, key, judging, coming) {
        Ok(true) => return Ok(()),
        Ok(false) if coming == Coming::Whole => {
            cx.streams.remove(&key);
            upload.streams.remove(&(number, key));
            cx.tell(key, StreamReply::Again);
            return Ok(());
        }
        Ok(false) if cx.waiting.len() >= cx.config.waiting_max => Err(refuse::budget()),
        Ok(false) => Ok(()),
        Err(refusal) => Err(refusal),
    };
    if let Err(refusal) = result {
        if let Some(stream) = cx.streams.remove(&key) {
            upload.streams.remove(&(stream.open.number, key));
        }
        return Err(refusal);
    }
    cx.waiting.push_back(key);
    cx.timers.set(cx.now.mono_ms + cx.config.admission_wait_ms, Timer::Admission(key));
    cx.tell(key, StreamReply::Parked);
    Ok(())
}

/// `Ok(false)`: there is no memory just now.
fn admit(
    upload: &mut Upload,
    cx: &mut Context,
    key: StreamKey,
    judging: bool,
    coming: Coming,
) -> Result<bool, Refusal> {
    let stream = cx.streams.get_mut(&key).expect("it is asked for");
    let (number, bytes) = (stream.open.number, stream.open.data_bytes);
    let kind = if judging { Kind::Discard } else { kind(upload, cx, number, bytes) };
    let room = match kind {
        Kind::Redis => Some(redis_room(upload, cx, number, bytes)?),
        _ => None,
    };
    let charge_bytes = match kind {
        Kind::Memory => bytes,
        Kind::Discard | Kind::Place(_) | Kind::Spool | Kind::Redis => {
            bytes.min(cx.config.hold_bytes)
        }
    };
    let ahead = number > upload.received.front();
    let is_cut = upload.stored.record.schedule.is_some();
    let charge = match kind {
        Kind::Memory if is_cut => charge_part(upload, cx, number, charge_bytes),
        _ => cx.budget.charge(charge_bytes, ahead),
    };
    let Some(charge) = charge else {
        room.into_iter().for_each(|room| cx.spool_room.refund(room));
        return Ok(false);
    };
    let place = match kind {
        Kind::Discard => BodyPlace::Discard,
        Kind::Memory => BodyPlace::Memory,
        Kind::Place(offset) => {
            upload.writes.begin(number, offset, bytes);
            BodyPlace::Object { offset }
        }
        Kind::Spool => {
            let Some(extent) = take_extent(upload, cx, number, bytes) else {
                cx.budget.refund(charge);
                return Err(refuse::spool_full());
            };
            BodyPlace::Spool(extent)
        }
        Kind::Redis => {
            let recorded = upload.stored.chunks.get(&number).map(|chunk| chunk.attempt);
            let room = room.expect("it was charged");
            let attempt = upload.bodies.open(number, recorded, room);
            BodyPlace::Redis { number, attempt }
        }
    };
    let body = cx.new_body();
    let stream = cx.streams.get_mut(&key).expect("it is asked for");
    stream.charge = Some(charge);
    stream.phase = Phase::Receiving { body, place, judging };
    let upload_id = upload.stored.record.upload_id;
    if coming == Coming::InPieces || place != BodyPlace::Discard {
        let hash = lend(upload, body, place, number, bytes);
        cx.emit(Effect::OpenBody { body, upload_id, place, bytes, hash });
        hash::start(upload, cx);
    }
    if coming == Coming::InPieces {
        cx.tell(key, StreamReply::Granted { bytes });
    }
    Ok(true)
}

/// Memory for a chunk that stays there until its part is stored.
fn charge_part(upload: &Upload, cx: &mut Context, number: u32, bytes: u64) -> Option<Charge> {
    let ahead = number > upload.received.front();
    if let Some(charge) = cx.budget.charge_sparing(bytes, ahead, true) {
        return Some(charge);
    }
    let is_free = cx.budget.has_reserve();
    let has_turn = turn::take(upload, cx, number, is_free);
    has_turn.then(|| cx.budget.charge_sparing(bytes, false, false)).flatten()
}

/// Room in the spool on disk.
fn take_extent(upload: &Upload, cx: &mut Context, number: u32, bytes: u64) -> Option<Extent> {
    let store = upload.stored.record.upload_id.store();
    let kept_bytes = match upload.stored.record.schedule {
        Some(_) => cx.config.kept_bytes(),
        None => 0,
    };
    let taken = cx.take_extent(store, bytes, kept_bytes);
    let is_free = cx.spools[&store].has(kept_bytes);
    if taken.is_some() || kept_bytes == 0 || !turn::take(upload, cx, number, is_free) {
        return taken;
    }
    cx.take_extent(store, bytes, 0)
}

/// Whether the SHA-256 will come to a body while its bytes are in memory.
fn lend(upload: &mut Upload, body: BodyId, place: BodyPlace, number: u32, bytes: u64) -> HashTurn {
    let is_cut = upload.stored.record.schedule.is_some();
    let offset = match place {
        BodyPlace::Object { offset } => Some(offset),
        BodyPlace::Spool(_) if is_cut => upload.offset_of(number),
        _ => None,
    };
    match (offset, &mut upload.hash) {
        (Some(offset), Some(hash)) => hash.lend(body, offset, bytes),
        _ => HashTurn::Never,
    }
}

fn redis_room(
    upload: &Upload,
    cx: &mut Context,
    number: u32,
    bytes: u64,
) -> Result<Charge, Refusal> {
    let front = upload.received.front();
    bodies::charge(upload, cx, number, bytes).ok_or_else(|| refuse::redis_full(number, front))
}

/// To Redis whatever the place. Else in place only if no other attempt at the chunk is recorded and
/// nothing else is being written there: so no attempt can harm another's bytes.
fn kind(upload: &Upload, cx: &Context, number: u32, bytes: u64) -> Kind {
    if cx.config.spool == Spool::Redis {
        return Kind::Redis;
    }
    if cx.config.objects == Objects::Discard {
        return if cx.config.discards_whole { Kind::Memory } else { Kind::Discard };
    }
    let is_cut = upload.stored.record.schedule.is_some();
    let is_new = !upload.stored.chunks.contains_key(&number);
    match (upload.offset_of(number), cx.config.spool) {
        (Some(offset), _) if is_new && !is_cut && upload.writes.allow(number, offset, bytes) => {
            Kind::Place(offset)
        }
        (_, Spool::Memory) => Kind::Memory,
        (_, Spool::Disk) => Kind::Spool,
        (_, Spool::Redis) => Kind::Redis,
    }
}

/// Memory came free.
pub(crate) fn admit_waiting(shard: &mut Shard) {
    for fronts_only in [true, false] {
        let waiting: Vec<_> = shard.cx.waiting.iter().copied().collect();
        for key in waiting {
            let Some(stream) = shard.cx.streams.get(&key) else { continue };
            let (upload_id, number) = (stream.open.upload_id, stream.open.number);
            let Some(upload) = shard.uploads.get_mut(&upload_id) else { continue };
            if fronts_only && number > upload.received.front() {
                continue;
            }
            // While it waited the same chunk may have come in: then its bytes are only compared.
            let replaces = stream.open.force && upload.state() <= State::Uploading;
            let judging = upload.stored.chunks.contains_key(&number) && !replaces;
            match admit(upload, &mut shard.cx, key, judging, Coming::InPieces) {
                Ok(true) => shard.cx.waiting.retain(|waiting| *waiting != key),
                Ok(false) if fronts_only => continue,
                Ok(false) => return,
                Err(refusal) => refuse_waiting(shard, key, refusal),
            }
        }
    }
}

/// A chunk's time to wait is over.
pub(crate) fn waited_enough(shard: &mut Shard, key: StreamKey) {
    let waits = shard.cx.streams.get(&key).is_some_and(|stream| stream.phase == Phase::Waiting);
    if waits {
        refuse_waiting(shard, key, refuse::budget());
    }
}

pub(crate) fn refuse_waiting(shard: &mut Shard, key: StreamKey, refusal: Refusal) {
    drop(crate::stream::forget(shard, key));
    shard.cx.tell(key, StreamReply::Refused(refusal));
}
