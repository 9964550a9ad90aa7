//! One shard: its uploads, and which of them an event is for.

use std::collections::{BTreeMap, BTreeSet};

use sluice_proto::ids::{StoreId, UploadId};

use crate::{
    admission, chunk, cold, commit,
    config::ShardConfig,
    context::{Context, Op, OpKind},
    control,
    effect::{Effect, StreamReply},
    ending,
    event::{Event, Failure, Outcome},
    hash, initiate,
    keys::{Now, OpId},
    losing, making, placing,
    record::{State, StoredUpload, UploadRecord},
    recover, steps, storing, stream,
    timers::Timer,
    upload::{Ending, Upload},
    watch,
};

/// Answers of one upload that wait for its record; its store is down if there are more.
const THEN_MAX: usize = 8192;

/// All that one core owns and decides.
///
/// Input goes through [`Shard::apply`] alone; output is the effects that it pushes.
#[derive(Debug)]
pub struct Shard {
    pub(crate) uploads: BTreeMap<UploadId, Upload>,
    pub(crate) loaded: BTreeSet<StoreId>,
    pub(crate) cx: Context,
}

/// Figures of one shard for its metrics.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShardStats {
    /// Uploads by state, in the order of [`State`].
    pub uploads: [usize; 7],
    /// Chunks on their way in.
    pub streams: usize,
    /// Of these, waiting for memory.
    pub parked_streams: usize,
    /// Memory charged, bytes.
    pub budget_used_bytes: u64,
    /// Memory that there is, bytes.
    pub budget_total_bytes: u64,
    /// Bytes of all spool segments, and of all bodies in Redis.
    pub spool_used_bytes: u64,
    /// Chunks recorded, but not at their place.
    pub queue_chunks: usize,
    /// How long the oldest of these has waited, ms; a restart counts anew.
    pub queue_oldest_ms: u64,
}

impl Shard {
    /// A shard without stores: each comes with [`Event::StoreLoaded`].
    #[must_use]
    pub fn new(config: ShardConfig) -> Self {
        Self { uploads: BTreeMap::new(), loaded: BTreeSet::new(), cx: Context::new(config) }
    }

    /// Takes one event and pushes what is to be done about it, in order.
    pub fn apply(&mut self, now: Now, event: Event, effects: &mut Vec<Effect>) {
        self.cx.now = now;
        std::mem::swap(&mut self.cx.effects, effects);
        self.dispatch(event);
        cold::let_go(self);
        while std::mem::take(&mut self.cx.freed) {
            admission::admit_waiting(self);
        }
        std::mem::swap(&mut self.cx.effects, effects);
    }

    /// Uploads that are live, or took their last step after `since_ms`, Unix ms, and are still here;
    /// and how many of their steps are durable.
    pub fn uploads_since(&self, since_ms: u64) -> impl Iterator<Item = (UploadId, u64)> {
        let stays = move |upload: &Upload| {
            upload.ending < Ending::Swept || upload.stored.record.update_ms > since_ms
        };
        let wanted = self.uploads.iter().filter(move |(_, upload)| stays(upload));
        wanted
            .filter(|(_, upload)| upload.durable_rev > 0)
            .map(|(upload_id, upload)| (*upload_id, upload.durable_rev))
    }

    /// Uploads that are live ([`UploadRecord::is_live`]), and how many of their steps are durable.
    pub fn live_uploads(&self) -> impl Iterator<Item = (UploadId, u64)> {
        self.uploads_since(u64::MAX)
    }

    /// When an upload took its last step, Unix ms, if it is durable that nothing comes any more.
    #[must_use]
    pub fn over_ms(&self, upload_id: &UploadId) -> Option<u64> {
        let upload = self.uploads.get(upload_id)?;
        let record = &upload.stored.record;
        (!record.is_live() && upload.durable_rev == upload.stored.rev).then_some(record.update_ms)
    }

    /// An upload as its store will have it once all its steps are durable.
    #[must_use]
    pub fn upload(&self, upload_id: &UploadId) -> Option<&StoredUpload> {
        self.uploads.get(upload_id).map(|upload| &upload.stored)
    }

    /// What is recorded of an upload, or will be once its steps are durable.
    #[must_use]
    pub fn record(&self, upload_id: &UploadId) -> Option<&UploadRecord> {
        self.uploads.get(upload_id).map(|upload| &upload.stored.record)
    }

    /// When [`Event::Tick`] is due, monotonic ms.
    #[must_use]
    pub fn next_deadline(&self) -> Option<u64> {
        self.cx.timers.next_mono_ms(self.cx.now)
    }

    /// Chunks on their way in and calls under way: zero when drained.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.cx.streams.len()
            + self.cx.ops.len()
            + self.uploads.values().map(|upload| upload.then.len()).sum::<usize>()
    }

    /// Figures for metrics; walks all uploads.
    #[must_use]
    pub fn stats(&self) -> ShardStats {
        let mut stats = ShardStats {
            streams: self.cx.streams.len(),
            parked_streams: self.cx.waiting.len(),
            budget_used_bytes: self.cx.budget.used_bytes(),
            budget_total_bytes: self.cx.budget.total_bytes(),
            spool_used_bytes: self.spool_used_bytes(),
            ..ShardStats::default()
        };
        for upload in self.uploads.values() {
            stats.uploads[upload.state() as usize] += 1;
            // What an upload without an object holds goes nowhere any more.
            if upload.state().ended() {
                continue;
            }
            stats.queue_chunks += upload.unplaced.len();
            let oldest_ms = upload.unplaced.oldest_ms().unwrap_or(self.cx.now.mono_ms);
            let waited_ms = self.cx.now.mono_ms.saturating_sub(oldest_ms);
            stats.queue_oldest_ms = stats.queue_oldest_ms.max(waited_ms);
        }
        stats
    }

    fn spool_used_bytes(&self) -> u64 {
        let on_disk: u64 = self.cx.spools.values().map(|spool| spool.held_bytes()).sum();
        on_disk + self.cx.spool_room.used_bytes()
    }

    fn dispatch(&mut self, event: Event) {
        match (cold::target(self, &event), event) {
            // Its bytes must not wait here: nobody counts them.
            (Some(_), Event::ChunkWhole { open, .. }) => {
                self.cx.tell(open.stream, StreamReply::Again);
            }
            (Some(upload_id), event) => cold::ask(self, upload_id, event),
            (None, event) => self.handle(event),
        }
    }

    /// Takes an event whose upload, if it is there at all, is in memory.
    pub(crate) fn handle(&mut self, event: Event) {
        match event {
            Event::StoreLoaded { store, uploads, segments, keeps_segments } => {
                let found = recover::Segments { found: &segments, stay: keeps_segments };
                recover::store_loaded(self, store, uploads, found);
            }
            Event::Initiate(request) => initiate::initiate(self, request),
            Event::InitiateAgain { call, upload_id } => initiate::again(self, call, &upload_id),
            Event::ChunkOpen(open) => chunk::open(self, *open),
            Event::ChunkWhole { open, bytes } => chunk::whole(self, *open, &bytes),
            Event::ChunkPiece { stream, bytes } => chunk::piece(self, stream, bytes),
            Event::ChunkEnd { stream, is_last, force, checks } => {
                chunk::end(self, stream, is_last, force, checks);
            }
            Event::ChunkCut { stream } => {
                cold::cut(self, stream);
                chunk::cut(self, stream);
            }
            Event::Complete { call, tenant, upload_id, total_chunks, sha256, wait_until_ms } => {
                let asked = control::Complete {
                    call,
                    total_chunks: total_chunks.map(|count| count.get()),
                    sha256,
                    wait_until_ms,
                };
                control::complete(self, &tenant, &upload_id, asked);
            }
            Event::Abort { call, tenant, upload_id } => {
                control::abort(self, call, &tenant, &upload_id);
            }
            Event::Status { call, tenant, upload_id, from_chunk, ranges_max } => {
                let page = control::Page { from_chunk, ranges_max };
                control::status(self, call, &tenant, &upload_id, page);
            }
            Event::Watch { call, tenant, upload_id, seen } => {
                watch::watch(self, call, &tenant, &upload_id, seen);
            }
            Event::CallCut { call } => {
                if !watch::cut(self, call) {
                    control::cut(self, call);
                }
            }
            Event::Done { op, result } => self.done(op, result),
            Event::BodyHashed { upload_id, body, state } => {
                hash::body_hashed(self, &upload_id, body, state);
            }
            Event::SpoolRoom { admits } => self.cx.spool_admits = admits,
            Event::Tick => self.tick(),
            Event::Drain => {
                self.cx.draining = true;
                watch::drain(self);
            }
        }
    }

    fn done(&mut self, op_id: OpId, result: Result<Outcome, Failure>) {
        let op = self.cx.ops.remove(&op_id).expect("an effect ends once");
        let upload_id = op.upload_id;
        match (op.kind, result) {
            (OpKind::Claim(request), result) => initiate::claimed(self, request, result),
            (OpKind::Load, result) => cold::loaded(self, upload_id, result),
            (OpKind::CloseBody(stream), result) => commit::closed(self, stream, result),
            (OpKind::DropBody { number, place, charge }, _) => {
                stream::dropped(self, &upload_id, number, place, charge);
            }
            (OpKind::Place { number }, Err(Failure::Gone { .. })) => {
                losing::body_gone(self, &upload_id, number);
            }
            (OpKind::Place { number }, Err(_))
                if placing::is_vain(&self.uploads[&upload_id], number) =>
            {
                placing::placed(self, &upload_id, number);
            }
            (OpKind::BeginMultipart, Err(_)) if !storing::begin_failed(self, &upload_id) => {}
            (kind @ (OpKind::SendPart { .. } | OpKind::Hash { .. }), Err(failure))
                if storing::is_over(self, &upload_id, &kind, failure) => {}
            (kind, Err(_)) => {
                if matches!(kind, OpKind::Release) {
                    ending::release_failed(self, &upload_id);
                }
                let failed = Op { upload_id, kind, tries: op.tries };
                self.cx.retry_later(op_id, failed);
                return;
            }
            (OpKind::Record, Ok(_)) => steps::recorded(self, &upload_id),
            (OpKind::Place { number }, Ok(_)) => placing::placed(self, &upload_id, number),
            (OpKind::Hash { bytes }, Ok(outcome)) => {
                hash::read_back(self, &upload_id, bytes, outcome);
            }
            (OpKind::BeginMultipart, Ok(outcome)) => storing::begun(self, &upload_id, outcome),
            (OpKind::SendPart { part }, Ok(outcome)) => {
                storing::sent(self, &upload_id, part, outcome);
            }
            (OpKind::CompleteMultipart, Ok(outcome)) => {
                making::completed(self, &upload_id, outcome);
            }
            (OpKind::Unstore, Ok(_)) => ending::unstored(self, &upload_id),
            (OpKind::Seal, Ok(_)) => ending::sealed(self, &upload_id),
            (OpKind::Finish, Ok(_)) => ending::finished(self, &upload_id),
            (OpKind::RemovePartial, Ok(_)) => ending::partial_removed(self, &upload_id),
            (OpKind::SweepBodies, Ok(_)) => ending::bodies_swept(self, &upload_id),
            (OpKind::Release, Ok(_)) => ending::released(self, &upload_id),
            (OpKind::Unclaim(_), Ok(_)) => {}
        }
        self.advance(&upload_id);
    }

    /// Takes an upload as far as it can go by itself now.
    pub(crate) fn advance(&mut self, upload_id: &UploadId) {
        if let Some(upload) = self.uploads.get_mut(upload_id) {
            ending::advance(upload, &mut self.cx);
            steps::record(upload, &mut self.cx);
            watch::tell(upload, &mut self.cx);
        }
    }

    fn tick(&mut self) {
        while let Some(timer) = self.cx.timers.pop(self.cx.now) {
            match timer {
                Timer::Admission(stream) => admission::waited_enough(self, stream),
                Timer::EndWait(upload_id) => ending::waited_enough(self, &upload_id),
                Timer::HashTurn(upload_id, body) => {
                    hash::waited_enough(self, &upload_id, body);
                }
                Timer::Retry(op) => self.retry(op),
                Timer::Expire(upload_id) => {
                    ending::expire(self, &upload_id);
                    self.advance(&upload_id);
                }
            }
        }
    }

    fn retry(&mut self, op_id: OpId) {
        let Some(op) = self.cx.ops.get(&op_id) else { return };
        let upload_id = op.upload_id;
        if let OpKind::Unclaim(record) = &op.kind {
            let record = record.clone();
            return self.cx.emit(Effect::Release { op: op_id, record });
        }
        let upload = self.uploads.get_mut(&upload_id).expect("an operation's upload is kept");
        match op.kind {
            OpKind::Record => steps::emit(upload, &mut self.cx, op_id),
            OpKind::Place { number } if placing::is_vain(upload, number) => {
                self.cx.ops.remove(&op_id);
                placing::placed(self, &upload_id, number);
                self.advance(&upload_id);
            }
            OpKind::Place { number } => {
                placing::emit_place(upload, &mut self.cx, op_id, number);
            }
            OpKind::Hash { bytes } if hash::lacks(upload, bytes) => {
                self.cx.ops.remove(&op_id);
                hash::lost(upload);
                self.advance(&upload_id);
            }
            OpKind::Hash { bytes } => hash::emit(upload, &mut self.cx, op_id, bytes),
            OpKind::BeginMultipart | OpKind::SendPart { .. } if !storing::is_needed(upload) => {
                let op = self.cx.ops.remove(&op_id).expect("it was there");
                storing::give_up(upload, &op.kind);
                self.advance(&upload_id);
            }
            OpKind::BeginMultipart => storing::emit_begin(upload, &mut self.cx, op_id),
            OpKind::SendPart { part } => storing::retry_send(upload, &mut self.cx, op_id, part),
            OpKind::CompleteMultipart => making::emit_complete(upload, &mut self.cx, op_id),
            OpKind::Unstore => making::emit_unstore(upload, &mut self.cx, op_id),
            OpKind::Seal => ending::emit_seal(upload, &mut self.cx, op_id),
            OpKind::Finish => ending::emit_finish(upload, &mut self.cx, op_id),
            OpKind::RemovePartial => {
                self.cx.emit(Effect::RemovePartial { op: op_id, upload_id });
            }
            OpKind::SweepBodies => {
                self.cx.emit(Effect::SweepBodies { op: op_id, upload_id });
            }
            OpKind::Release => {
                ending::emit_release(upload, &mut self.cx, op_id);
            }
            OpKind::Claim(_)
            | OpKind::Unclaim(_)
            | OpKind::Load
            | OpKind::CloseBody(_)
            | OpKind::DropBody { .. } => {
                unreachable!("not tried again")
            }
        }
    }

    pub(crate) fn insert(&mut self, upload: Upload) {
        self.cx.upload_bytes += upload.weight_bytes();
        self.uploads.insert(upload.stored.record.upload_id, upload);
    }

    /// Whether one more upload may begin.
    pub(crate) fn has_room(&self) -> bool {
        let claims = self.cx.ops.values().filter(|op| matches!(op.kind, OpKind::Claim(_))).count();
        self.uploads.len() - self.cx.ended.len() + claims < self.cx.config.uploads_max
            && self.cx.upload_bytes < self.cx.config.upload_bytes_max
    }

    /// The upload, if the caller may see it.
    pub(crate) fn find(
        &mut self,
        tenant: &str,
        upload_id: &UploadId,
    ) -> Result<(&mut Upload, &mut Context), sluice_proto::error::Refusal> {
        if !self.loaded.contains(&upload_id.store()) {
            return Err(crate::refuse::loading());
        }
        match self.uploads.get_mut(upload_id) {
            Some(upload) if upload.stored.record.spec.tenant == tenant => {
                if upload.then.len() >= THEN_MAX {
                    return Err(crate::refuse::backend_down());
                }
                Ok((upload, &mut self.cx))
            }
            _ => Err(crate::refuse::unknown(upload_id)),
        }
    }
}

const _: () = assert!(State::Expired as usize == 6);
