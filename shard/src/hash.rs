//! The SHA-256 of an upload's front: it goes along with bodies that continue it while their bytes are
//! in memory, and what it missed is read back.
//!
//! No ack waits for it. A body is lent where it begins, and the shard hears where it ended after it
//! was closed; that is taken once the body is at its place.

use std::collections::VecDeque;

use sluice_proto::{checksum::Sha256State, ids::UploadId};

use crate::{
    context::{Context, OpKind},
    effect::{Effect, HashFrom},
    event::Outcome,
    keys::{BodyId, OpId},
    record::{State, Transition},
    shard::Shard,
    steps,
    upload::Upload,
};

/// More bodies than this don't go on with one SHA-256: one is hashed while another comes.
const LINE_MAX: usize = 2;

/// How far it is, and what takes it on.
#[derive(Debug)]
pub(crate) struct Hash {
    pub state: Sha256State,
    /// Bytes that are read back beyond `state`.
    pub reading_bytes: u64,
    pub recorded_bytes: u64,
    /// Bodies that take it on as they come, each from where the one before ends.
    line: VecDeque<Lent>,
}

/// A body that the SHA-256 goes along with.
#[derive(Debug)]
struct Lent {
    body: BodyId,
    bytes: u64,
    /// All of it came and is written, so that nothing but the hash is waited for.
    is_closed: bool,
    /// At its end.
    hashed: Option<Sha256State>,
}

impl Hash {
    /// Goes on from the recorded state, if that fits what is at its place.
    pub(crate) fn begin(recorded: Option<&[u8]>, placed_bytes: u64) -> Self {
        let recorded = recorded.and_then(Sha256State::import);
        let state = recorded.filter(|state| state.bytes_hashed() <= placed_bytes);
        let state = state.unwrap_or_default();
        let recorded_bytes = state.bytes_hashed();
        Self { state, reading_bytes: 0, recorded_bytes, line: VecDeque::new() }
    }

    /// Where it will be once all that is under way is hashed, bytes.
    pub(crate) fn end(&self) -> u64 {
        let lent: u64 = self.line.iter().map(|lent| lent.bytes).sum();
        self.state.bytes_hashed() + self.reading_bytes + lent
    }

    /// From where these bytes can take it on while they are in memory, if they can: then none of
    /// them has to be read back.
    ///
    /// After another body only if that is closed: it must wait for nothing but the hash, as these
    /// bytes hold their window until they are hashed.
    pub(crate) fn lend(&mut self, body: BodyId, offset: u64, bytes: u64) -> Option<HashFrom> {
        if self.reading_bytes > 0 || self.end() != offset || self.line.len() == LINE_MAX {
            return None;
        }
        let from = match self.line.back() {
            None => HashFrom::State(Box::new(self.state.clone())),
            Some(Lent { hashed: Some(state), .. }) => HashFrom::State(Box::new(state.clone())),
            Some(before) if before.is_closed => HashFrom::After(before.body),
            Some(_) => return None,
        };
        self.line.push_back(Lent { body, bytes, is_closed: false, hashed: None });
        Some(from)
    }

    /// A body that is kept is written.
    pub(crate) fn closed(&mut self, body: BodyId) {
        if let Some(lent) = self.lent(body) {
            lent.is_closed = true;
        }
    }

    /// The body comes to nothing, and so does what was hashed of it and after it.
    pub(crate) fn take_back(&mut self, body: BodyId) {
        if let Some(at) = self.line.iter().position(|lent| lent.body == body) {
            self.line.truncate(at);
        }
    }

    fn is_under_way(&self) -> bool {
        self.reading_bytes > 0 || !self.line.is_empty()
    }

    fn lent(&mut self, body: BodyId) -> Option<&mut Lent> {
        self.line.iter_mut().find(|lent| lent.body == body)
    }

    /// The state at the end of the next body, once it is known and the body is at its place.
    fn next(&mut self, placed_bytes: u64) -> Option<Sha256State> {
        let is_placed = |state: &Sha256State| state.bytes_hashed() <= placed_bytes;
        self.line.pop_front_if(|lent| lent.hashed.as_ref().is_some_and(is_placed))?.hashed
    }
}

/// A body was hashed, which the line may have lost meanwhile.
pub(crate) fn body_hashed(
    shard: &mut Shard,
    upload_id: &UploadId,
    body: BodyId,
    state: Sha256State,
) {
    // It may have ended.
    let Some(upload) = shard.uploads.get_mut(upload_id) else { return };
    if let Some(lent) = upload.hash.as_mut().and_then(|hash| hash.lent(body)) {
        lent.hashed = Some(state);
        shard.advance(upload_id);
    }
}

/// Takes what bodies brought, and has read back what none will bring.
pub(crate) fn advance(upload: &mut Upload, cx: &mut Context) {
    let placed_bytes = upload.placed_bytes;
    while let Some(state) = upload.hash.as_mut().and_then(|hash| hash.next(placed_bytes)) {
        went_on(upload, cx, state);
    }
    start(upload, cx);
}

fn start(upload: &mut Upload, cx: &mut Context) {
    let step_bytes = cx.config.hash_step_bytes;
    let Some(hash) = &mut upload.hash else { return };
    let bytes = (upload.placed_bytes - hash.state.bytes_hashed()).min(step_bytes);
    if hash.is_under_way() || bytes == 0 {
        return;
    }
    hash.reading_bytes = bytes;
    let op = cx.begin(upload.stored.record.upload_id, OpKind::Hash { bytes });
    emit(upload, cx, op, bytes);
}

pub(crate) fn emit(upload: &Upload, cx: &mut Context, op: OpId, bytes: u64) {
    let state = Box::new(upload.hash.as_ref().expect("it is being hashed").state.clone());
    let upload_id = upload.stored.record.upload_id;
    cx.emit(Effect::Hash { op, upload_id, state, bytes });
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
    assert!(state.bytes_hashed() <= upload.placed_bytes, "hashed what is at its place");
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
