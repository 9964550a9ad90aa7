//! The SHA-256 of an upload's front: it goes over bodies while their bytes are in memory, and what
//! it missed is read back.
//!
//! A body is lent where it begins, and stands in line until the hash has come there: it has its turn
//! then, and the shard hears where it ended after it was closed. That is taken once the body is at
//! its place. An ack waits for the hash only where it would run ahead of it: when all before is in
//! memory already, until its own turn has come.

use std::collections::BTreeMap;

use sluice_proto::{checksum::Sha256State, ids::UploadId};

use crate::{
    context::{Context, OpKind},
    effect::{Effect, HashTurn, Slice},
    event::Outcome,
    filling::At,
    keys::{BodyId, OpId},
    record::{State, Transition},
    shard::Shard,
    steps,
    timers::Timer,
    upload::Upload,
};

/// More bodies of an upload don't stand in line, nor such as are further ahead than so many.
const LINE_MAX: usize = 16;

/// A body that is whole waits no longer for what is to come before it.
const TURN_WAIT_MS: u64 = 2_000;

/// How far it is, and what takes it on.
#[derive(Debug)]
pub(crate) struct Hash {
    pub state: Sha256State,
    /// Bytes that are read back beyond `state`.
    pub reading_bytes: u64,
    pub recorded_bytes: u64,
    /// A chunk at or before it: where slices are looked for from.
    near: At,
    /// Bodies that can take it on, by where they begin. None begins before the hash is there, so
    /// only the first can have its turn.
    line: BTreeMap<u64, Lent>,
}

/// A body that stands in line.
#[derive(Debug)]
struct Lent {
    body: BodyId,
    bytes: u64,
    /// All of it came.
    is_closing: bool,
    turn: Turn,
}

#[derive(Debug)]
enum Turn {
    Awaited,
    Come,
    /// With the SHA-256 at its end.
    Over(Sha256State),
}

impl Hash {
    /// Goes on from the recorded state, if that fits what is at its place.
    pub(crate) fn begin(recorded: Option<&[u8]>, placed_bytes: u64) -> Self {
        let recorded = recorded.and_then(Sha256State::import);
        let state = recorded.filter(|state| state.bytes_hashed() <= placed_bytes);
        let state = state.unwrap_or_default();
        let recorded_bytes = state.bytes_hashed();
        let near = At { number: 0, offset: 0 };
        Self { state, reading_bytes: 0, recorded_bytes, near, line: BTreeMap::new() }
    }

    /// Where it will be once all that is under way is hashed, bytes.
    pub(crate) fn end(&self) -> u64 {
        let turn = self.line.first_key_value().filter(|(_, lent)| lent.has_turn());
        let bytes = turn.map_or(self.reading_bytes, |(_, lent)| lent.bytes);
        self.state.bytes_hashed() + bytes
    }

    /// Whether these bytes can take it on while they are in memory: then they stand in line.
    pub(crate) fn lend(&mut self, body: BodyId, offset: u64, bytes: u64) -> HashTurn {
        let is_near =
            offset.checked_sub(self.end()).is_some_and(|ahead| ahead / bytes < LINE_MAX as u64);
        if !is_near || self.line.len() == LINE_MAX || self.line.contains_key(&offset) {
            return HashTurn::Never;
        }
        let turn = if self.is_sure(offset) { HashTurn::Sure } else { HashTurn::Maybe };
        self.line.insert(offset, Lent { body, bytes, is_closing: false, turn: Turn::Awaited });
        turn
    }

    /// Nothing but the hash of what is in memory lies between it and this.
    fn is_sure(&self, offset: u64) -> bool {
        let mut at = self.state.bytes_hashed() + self.reading_bytes;
        while let Some(lent) = self.line.get(&at).filter(|lent| lent.is_closing && at < offset) {
            at += lent.bytes;
        }
        at == offset
    }

    fn is_under_way(&self) -> bool {
        let first = self.line.first_key_value();
        self.reading_bytes > 0 || first.is_some_and(|(_, lent)| lent.has_turn())
    }

    /// The one who stands in line with this body, and where.
    fn lent(&mut self, body: BodyId) -> Option<(u64, &mut Lent)> {
        let mut line = self.line.iter_mut();
        line.find(|(_, lent)| lent.body == body).map(|(&offset, lent)| (offset, lent))
    }

    /// The state at the end of the body whose turn is over, once the body is in, or at its place.
    fn next(&mut self, known_bytes: u64) -> Option<Sha256State> {
        let first = self.line.first_entry()?;
        match &first.get().turn {
            Turn::Over(state) if state.bytes_hashed() <= known_bytes => {}
            _ => return None,
        }
        let Turn::Over(state) = first.remove().turn else { unreachable!("it is over") };
        Some(state)
    }
}

impl Lent {
    fn has_turn(&self) -> bool {
        !matches!(self.turn, Turn::Awaited)
    }
}

/// All of a body came. Whether it is to wait for its turn before it ends.
pub(crate) fn closing(upload: &mut Upload, cx: &mut Context, body: BodyId) -> bool {
    let upload_id = upload.stored.record.upload_id;
    let Some(hash) = &mut upload.hash else { return false };
    let Some((offset, lent)) = hash.lent(body) else { return false };
    lent.is_closing = true;
    if lent.has_turn() {
        return false;
    }
    cx.timers.set(cx.now.mono_ms + TURN_WAIT_MS, Timer::HashTurn(upload_id, body));
    hash.is_sure(offset)
}

/// A body was recorded as this chunk: no other attempt at it is hashed.
pub(crate) fn kept(upload: &mut Upload, cx: &mut Context, number: u32, body: BodyId) {
    let Some(hash) = upload.hash.as_ref().filter(|hash| !hash.line.is_empty()) else { return };
    let lent = upload.offset_of(number).and_then(|offset| hash.line.get(&offset));
    if let Some(other) = lent.map(|lent| lent.body).filter(|&other| other != body) {
        take_back(upload, cx, other);
    }
}

/// The body comes to nothing, and so does what was hashed of it; whoever stands behind it would
/// wait for who knows what.
pub(crate) fn take_back(upload: &mut Upload, cx: &mut Context, body: BodyId) {
    let Some(hash) = &mut upload.hash else { return };
    if let Some((offset, _)) = hash.lent(body) {
        leave_from(hash, cx, offset);
    }
}

/// Nothing more will be hashed.
pub(crate) fn leave_all(upload: &mut Upload, cx: &mut Context) {
    if let Some(hash) = &mut upload.hash {
        leave_from(hash, cx, 0);
    }
}

fn leave_from(hash: &mut Hash, cx: &mut Context, offset: u64) {
    for lent in hash.line.split_off(&offset).into_values() {
        cx.emit(Effect::LeaveHash { body: lent.body });
    }
}

/// What comes before a body that is whole may never come.
pub(crate) fn waited_enough(shard: &mut Shard, upload_id: &UploadId, body: BodyId) {
    let Some(hash) = shard.uploads.get_mut(upload_id).and_then(|upload| upload.hash.as_mut())
    else {
        return;
    };
    if let Some((offset, _)) = hash.lent(body).filter(|(_, lent)| !lent.has_turn()) {
        hash.line.remove(&offset);
        shard.cx.emit(Effect::LeaveHash { body });
    }
}

/// A body's turn is over, unless it was taken back meanwhile. Without a state its bytes are read
/// back.
pub(crate) fn body_hashed(
    shard: &mut Shard,
    upload_id: &UploadId,
    body: BodyId,
    state: Option<Box<Sha256State>>,
) {
    // It may have ended.
    let Some(upload) = shard.uploads.get_mut(upload_id) else { return };
    let Some(hash) = &mut upload.hash else { return };
    let Some((offset, lent)) = hash.lent(body) else { return };
    match state {
        Some(state) => lent.turn = Turn::Over(*state),
        None => drop(hash.line.remove(&offset)),
    }
    shard.advance(upload_id);
}

/// Takes what bodies brought, and goes on.
pub(crate) fn advance(upload: &mut Upload, cx: &mut Context) {
    let known_bytes = upload.known_bytes();
    while let Some(state) = upload.hash.as_mut().and_then(|hash| hash.next(known_bytes)) {
        went_on(upload, cx, state);
    }
    start(upload, cx);
}

/// Goes over the next body in line, if that begins here; else what is at its place is read back.
pub(crate) fn start(upload: &mut Upload, cx: &mut Context) {
    let (known_bytes, step_bytes) = (upload.known_bytes(), cx.config.hash_step_bytes);
    let Some(hash) = &mut upload.hash else { return };
    if hash.is_under_way() {
        return;
    }
    let at = hash.state.bytes_hashed();
    if let Some(lent) = hash.line.get_mut(&at) {
        lent.turn = Turn::Come;
        let (body, state) = (lent.body, Box::new(hash.state.clone()));
        return cx.emit(Effect::HashBody { body, state });
    }
    let next = hash.line.first_key_value().map_or(u64::MAX, |(&offset, _)| offset);
    // What was lost after it was hashed comes again as it was.
    let bytes = known_bytes.min(next).saturating_sub(at).min(step_bytes);
    if bytes == 0 {
        return;
    }
    hash.reading_bytes = bytes;
    let op = cx.begin(upload.stored.record.upload_id, OpKind::Hash { bytes });
    emit(upload, cx, op, bytes);
}

pub(crate) fn emit(upload: &mut Upload, cx: &mut Context, op: OpId, bytes: u64) {
    let slices = upload.stored.record.schedule.map(|_| slices(upload, bytes));
    let state = Box::new(upload.hash.as_ref().expect("it is being hashed").state.clone());
    let upload_id = upload.stored.record.upload_id;
    cx.emit(Effect::Hash { op, upload_id, state, bytes, slices });
}

/// The bytes that the hash is to go over now, where they wait.
fn slices(upload: &mut Upload, bytes: u64) -> Vec<Slice> {
    let hash = upload.hash.as_ref().expect("it is being hashed");
    let (near, at) = (hash.near, hash.state.bytes_hashed());
    let near = upload.chunk_at(near, at).expect("it is in");
    upload.hash.as_mut().expect("it is being hashed").near = near;
    upload.slices(near, at..at + bytes)
}

/// Whether some of what was to be read is gone.
pub(crate) fn lacks(upload: &Upload, bytes: u64) -> bool {
    let hash = upload.hash.as_ref().expect("it is being hashed");
    upload.stored.record.schedule.is_some()
        && upload.known_bytes() < hash.state.bytes_hashed() + bytes
}

/// What was to be read is gone: it is looked at anew what can be hashed.
pub(crate) fn lost(upload: &mut Upload) {
    upload.hash.as_mut().expect("it was being hashed").reading_bytes = 0;
}

pub(crate) fn read_back(shard: &mut Shard, upload_id: &UploadId, bytes: u64, outcome: Outcome) {
    let Outcome::Hashed(state) = outcome else { unreachable!("a hash ended with {outcome:?}") };
    let upload = shard.uploads.get_mut(upload_id).expect("an operation's upload is kept");
    let open = upload.state() <= State::Completing;
    let hash = upload.hash.as_mut().expect("it was being hashed");
    assert_eq!(state.bytes_hashed(), hash.state.bytes_hashed() + bytes, "hashed the range asked");
    hash.reading_bytes = 0;
    match open {
        true => went_on(upload, &mut shard.cx, *state),
        false => hash.state = *state,
    }
}

/// The SHA-256 of bytes that are recorded has got as far as this.
fn went_on(upload: &mut Upload, cx: &mut Context, state: Sha256State) {
    let is_cut = upload.stored.record.schedule.is_some();
    assert!(is_cut || state.bytes_hashed() <= upload.placed_bytes, "hashed what is at its place");
    let hash = upload.hash.as_mut().expect("it was being hashed");
    hash.state = state;
    if hash.state.bytes_hashed() - hash.recorded_bytes >= cx.config.hash_record_bytes {
        record(upload, cx);
    }
}

pub(crate) fn record(upload: &mut Upload, cx: &mut Context) {
    let hash = upload.hash.as_mut().expect("it is being hashed");
    hash.recorded_bytes = hash.state.bytes_hashed();
    let state = hash.state.export();
    steps::take(upload, cx, Transition::HashState(state));
}
