//! What becomes of an effect: when it happens, whether, and what the shard is told.

use sluice_proto::ids::UploadId;
use sluice_shard::{
    Effect, Event,
    config::{Objects, Spool},
    effect::{BodyPlace, CallReply, PlaceFrom, StreamReply},
    event::{Failure, Outcome},
    keys::{BodyId, CallId, StreamKey},
    record::{Object, State, StoredUpload},
};

use crate::{
    disk::Writer,
    world::{Action, Answer, World},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Happens,
    /// It doesn't happen, or only in part, and is told to have failed.
    Fails,
    /// It happens, and is told to have failed.
    Lost,
}

/// The bytes of one attempt while they are written.
pub(crate) struct Body {
    pub upload: UploadId,
    pub place: BodyPlace,
    pub bytes: u64,
    pub data: Vec<u8>,
    /// So many are on disk.
    pub landed: usize,
}

impl Body {
    pub(crate) fn held_bytes(&self, hold_bytes: u64) -> u64 {
        match self.place {
            BodyPlace::Memory => self.bytes,
            BodyPlace::Discard => 0,
            BodyPlace::Object { .. } | BodyPlace::Spool(_) | BodyPlace::Redis { .. } => {
                self.bytes.min(hold_bytes)
            }
        }
    }
}

impl World {
    /// Does an effect at once, or has it end later.
    pub(crate) fn take(&mut self, life: u64, effect: Effect) {
        match effect {
            Effect::Stream { stream, reply } => self.tell(stream, reply),
            Effect::Reply { call, result } => self.answer(call, result),
            Effect::OpenBody { body, upload_id, place, bytes, hash } => {
                let data = Vec::new();
                self.stand_in_line(life, body, upload_id, hash);
                let opened = Body { upload: upload_id, place, bytes, data, landed: 0 };
                self.open_body(life, body, opened);
            }
            Effect::HashBody { body, state } => self.turn_comes(life, body, state),
            Effect::LeaveHash { body } => {
                drop(self.node(life).expect("it is alive").line.remove(&body));
            }
            Effect::Append { body, bytes, .. } => {
                let node = self.node(life).expect("it is alive");
                let body_data = &mut node.bodies.get_mut(&body).expect("it is open").data;
                body_data.extend_from_slice(&bytes);
                if self.rng.percent(50) {
                    self.land(life, body, usize::MAX);
                }
            }
            Effect::FreeMemory { body } => self.free_memory(life, body),
            effect => self.later(life, effect),
        }
    }

    fn open_body(&mut self, life: u64, body: BodyId, opened: Body) {
        match opened.place {
            BodyPlace::Object { offset } => {
                let range = offset..offset + opened.bytes;
                self.disk.begin_write(Writer::Body(life, body), opened.upload, range);
            }
            BodyPlace::Spool(extent) => self.disk.open_extent(opened.upload.store(), extent),
            BodyPlace::Redis { number, attempt } => {
                self.begin_in_redis(life, (opened.upload, number, attempt));
            }
            BodyPlace::Memory => {
                let config = &self.plan.config;
                assert!(config.spool == Spool::Memory || config.discards_whole);
            }
            BodyPlace::Discard => {}
        }
        let node = self.node(life).expect("it is alive");
        assert!(node.bodies.insert(body, opened).is_none());
    }

    fn free_memory(&mut self, life: u64, body: BodyId) {
        let reads = |action: &Action| {
            matches!(action, Action::End { life: of, effect: Effect::Place { from, .. }, .. }
                if *of == life && *from == PlaceFrom::Memory(body))
        };
        assert!(!self.queue.values().any(reads), "a copy still reads what is freed");
        self.assert_no_slice(life, PlaceFrom::Memory(body), None);
        let node = self.node(life).expect("it is alive");
        let freed = node.bodies.remove(&body).expect("it is held");
        assert_eq!(freed.place, BodyPlace::Memory);
    }

    /// Some of what was appended reaches the disk, at most up to `most` bytes.
    pub(crate) fn land(&mut self, life: u64, id: BodyId, most: usize) {
        let Some(body) = self.nodes.iter_mut().find(|node| node.life == life) else { return };
        let body = body.bodies.get_mut(&id).expect("it is open");
        let (from, end) = (body.landed, body.data.len().min(most).max(body.landed));
        body.landed = end;
        let data = &body.data[from..end];
        match body.place {
            BodyPlace::Object { offset } if !data.is_empty() => {
                self.disk.write(body.upload, offset + from as u64, data);
            }
            BodyPlace::Spool(at) => self.disk.write_extent(body.upload.store(), at, data),
            BodyPlace::Redis { number, attempt } if !data.is_empty() => {
                self.redis.append((body.upload, number, attempt), data);
            }
            _ => {}
        }
    }

    /// A part of a body reaches the disk.
    pub(crate) fn land_some(&mut self, life: u64, id: BodyId) {
        let most = self.rng.below(120) as usize;
        self.land(life, id, most);
    }

    fn later(&mut self, life: u64, effect: Effect) {
        match &effect {
            Effect::Place { op, upload_id, offset, bytes, .. } => {
                let range = *offset..offset + bytes;
                self.disk.begin_write(Writer::Copy(life, *op), *upload_id, range);
            }
            Effect::RemoveSegment { store, segment } => {
                self.assert_unnamed(*store, *segment, std::slice::from_ref(&(0..u64::MAX)));
            }
            Effect::PunchSegment { store, holes } => {
                self.assert_unnamed(*store, holes.segment, &holes.ranges);
            }
            Effect::FreeBody { upload_id, number, attempt } => {
                self.assert_unread(life, (*upload_id, *number, *attempt));
            }
            Effect::SweepBodies { upload_id, .. } => self.assert_still(life, *upload_id),
            _ => {}
        }
        let weather = self.weather;
        let fate = match &effect {
            Effect::DropBody { .. }
            | Effect::RemoveSegment { .. }
            | Effect::PunchSegment { .. } => Fate::Happens,
            _ if self.rng.percent(weather.fail) => Fate::Fails,
            _ if self.rng.percent(weather.lose) => Fate::Lost,
            _ => Fate::Happens,
        };
        let pace = self.plan.pace;
        let usual_ms = match &effect {
            Effect::Record { .. } => pace.record_ms,
            Effect::CloseBody { .. } | Effect::DropBody { .. } => pace.body_ms,
            Effect::Place { .. }
            | Effect::Hash { .. }
            | Effect::SendPart { .. }
            | Effect::PutObject { .. } => pace.copy_ms,
            _ => pace.other_ms,
        };
        let longest_ms = if self.rng.percent(weather.slow) { 5_000 } else { usual_ms };
        self.after(0, longest_ms, Action::End { life, effect, fate });
    }

    /// No record that counts names the segment, and nobody reads it.
    /// An effect ends.
    pub(crate) fn end(&mut self, life: u64, effect: Effect, fate: Fate) {
        let op = effect.op();
        let performed = self.perform(life, effect, fate);
        if self.rng.per_myriad(self.weather.crash) {
            return self.crash(life);
        }
        let Some(op) = op else { return };
        let result = match performed {
            result if fate == Fate::Happens => result,
            Err(gone @ Failure::Gone { .. }) => Err(gone),
            _ => Err(self.rng.pick(&[Failure::Full, Failure::Unavailable])),
        };
        self.apply(life, Event::Done { op, result });
    }

    /// Does what the effect asks for, as far as its fate lets it.
    pub(crate) fn perform(
        &mut self,
        life: u64,
        effect: Effect,
        fate: Fate,
    ) -> Result<Outcome, Failure> {
        let happens = fate != Fate::Fails;
        match effect {
            Effect::CloseBody { body, .. } => self.close_body(life, body, fate)?,
            Effect::DropBody { body, .. } => {
                self.land_some(life, body);
                self.node(life).expect("it is alive").line.remove(&body);
                self.end_body(life, body);
            }
            Effect::Place { op, upload_id, from, offset, bytes } => {
                let placed = self.place(life, upload_id, (from, offset, bytes), happens);
                self.disk.end_write(Writer::Copy(life, op));
                placed?;
            }
            _ if !happens => {}
            Effect::Record { upload_id, first_rev, wall_ms, steps, .. } => {
                let around = (&self.disk, &self.redis, &mut self.metadata);
                self.stores.take(around, upload_id, first_rev, wall_ms, &steps);
            }
            Effect::Claim { upload_id, spec, .. } => {
                return Ok(Outcome::Claimed(self.metadata.claim(upload_id, &spec)));
            }
            Effect::Load { upload_id, .. } => {
                let stored = self.stores.uploads.get(&upload_id);
                let found = stored.map(|stored| self.metadata.found(stored));
                return Ok(Outcome::Loaded(found.map(Box::new)));
            }
            Effect::Finish { record, object, .. } => {
                let stored = &self.stores.uploads[&record.upload_id];
                let made = Object { stored: None, ..object.clone() };
                assert_eq!(made, self.stores.object(stored), "the object is its chunks");
                self.assert_object(stored);
                self.metadata.finish(&record, &object);
            }
            Effect::Release { record, .. } => self.metadata.release(record.upload_id),
            Effect::Hash { upload_id, mut state, bytes, slices, .. } => {
                let from = state.bytes_hashed();
                match slices {
                    None => state.update(self.disk.read(upload_id, from..from + bytes)),
                    Some(slices) => {
                        let data = self.read_slices(life, upload_id, &slices)?;
                        assert_eq!(data.len() as u64, bytes);
                        state.update(&data);
                    }
                }
                return Ok(Outcome::Hashed(state));
            }
            effect @ (Effect::BeginMultipart { .. }
            | Effect::SendPart { .. }
            | Effect::PutObject { .. }
            | Effect::CompleteMultipart { .. }
            | Effect::Unstore { .. }) => return self.ask_store(life, &effect),
            Effect::Seal { record, size_bytes, .. } => {
                self.disk.seal(record.upload_id, size_bytes);
            }
            Effect::RemovePartial { upload_id, .. } => self.disk.remove_partial(upload_id),
            Effect::RemoveSegment { store, segment } => {
                drop(self.disk.segments.remove(&(store, segment)));
            }
            Effect::PunchSegment { store, holes } => self.disk.punch(store, &holes),
            Effect::FreeBody { upload_id, number, attempt } => {
                self.redis.free((upload_id, number, attempt));
            }
            Effect::SweepBodies { upload_id, .. } => self.redis.sweep(upload_id),
            other => unreachable!("{other:?} has no end"),
        }
        Ok(Outcome::Done)
    }

    fn assert_object(&self, stored: &StoredUpload) {
        if self.plan.config.objects == Objects::Files {
            let bytes = self.stores.ledger.bytes(stored);
            assert_eq!(self.disk.objects[&stored.record.upload_id], bytes, "its chunks' bytes");
        }
        if self.plan.config.objects == Objects::S3 {
            let bytes = self.stores.ledger.bytes(stored);
            assert!(self.s3.objects[&stored.record.upload_id].data == bytes, "its chunks' bytes");
        }
    }

    fn close_body(&mut self, life: u64, id: BodyId, fate: Fate) -> Result<(), Failure> {
        let body = self.node(life).expect("it is alive").bodies.get_mut(&id).expect("it is open");
        assert_eq!(body.data.len() as u64, body.bytes, "closed when whole");
        let (place, upload, bytes) = (body.place, body.upload, body.bytes);
        let kept = (fate == Fate::Happens).then(|| body.data.clone());
        self.closed_in_line(life, id, kept);
        if fate == Fate::Fails {
            self.land_some(life, id);
        } else {
            self.land(life, id, usize::MAX);
        }
        if place != BodyPlace::Memory || fate != Fate::Happens {
            self.end_body(life, id);
        }
        match place {
            // Redis may have lost the head of it meanwhile.
            BodyPlace::Redis { number, attempt }
                if self.redis.read((upload, number, attempt), bytes).is_none() =>
            {
                Err(Failure::Unavailable)
            }
            _ => Ok(()),
        }
    }

    fn end_body(&mut self, life: u64, id: BodyId) {
        self.disk.end_write(Writer::Body(life, id));
        self.node(life).expect("it is alive").bodies.remove(&id);
    }

    fn place(
        &mut self,
        life: u64,
        upload: UploadId,
        what: (PlaceFrom, u64, u64),
        whole: bool,
    ) -> Result<(), Failure> {
        let (from, offset, bytes) = what;
        let data = match from {
            PlaceFrom::Spool(extent) => self.disk.read_extent(upload.store(), extent).to_vec(),
            PlaceFrom::Redis { number, attempt } => {
                let body = self.redis.read((upload, number, attempt), bytes);
                body.ok_or(Failure::Gone { number, attempt })?.to_vec()
            }
            PlaceFrom::Memory(body) => {
                let node = self.nodes.iter().find(|node| node.life == life);
                node.expect("copied by a shard").bodies[&body].data.clone()
            }
        };
        assert_eq!(data.len() as u64, bytes);
        let most = if whole { data.len() } else { self.rng.below(bytes) as usize };
        if most > 0 {
            self.disk.write(upload, offset, &data[..most]);
        }
        Ok(())
    }

    fn tell(&mut self, stream: StreamKey, reply: StreamReply) {
        // A reader that is gone isn't told.
        let Some(owed) = self.streams.get(&stream) else { return };
        let client = owed.client;
        if let StreamReply::Acked(ack) = &reply {
            let chunk = (owed.upload, owed.number);
            let stored = self.stores.uploads.get(&chunk.0);
            assert!(stored.is_some() || self.stores.ended.contains_key(&chunk.0));
            if !self.stores.records() {
                let ledger = &mut self.stores.ledger;
                ledger.acked_in_passing(owed.life, chunk, owed.sum, ack.duplicate);
            } else {
                self.stores.ledger.acked(stored, chunk, owed.sum, ack.duplicate);
            }
            if let (Some(stored), true) = (stored, owed.is_last) {
                let total = stored.record.total_chunks;
                assert_eq!(total, Some(chunk.1 + 1), "N is durable when its chunk is acked");
            }
            assert_eq!((ack.number, ack.bytes), (chunk.1, owed.sum.1));
            assert_eq!(ack.spooled, self.plan.survives());
            if ack.state == State::Completing {
                let state = self.stores.state(&chunk.0);
                assert!(state >= Some(State::Completing), "what is told isn't taken back");
            }
            if ack.state == State::Completed {
                assert!(self.metadata.object(&chunk.0).is_some(), "told when it is true");
            }
        }
        if matches!(reply, StreamReply::Acked(_) | StreamReply::Refused(_)) {
            self.streams.remove(&stream);
        }
        self.inboxes[client].push_back(Answer::Stream(stream, reply));
    }

    /// Nothing is told that a crash could take back.
    fn check_view(&self, reply: &CallReply) {
        let view = match reply {
            CallReply::Initiated { upload, .. } | CallReply::Status { upload, .. } => upload,
            CallReply::Completed(view) | CallReply::Watched(view) => view,
            CallReply::Known { .. } | CallReply::Aborted => return,
        };
        let (record, total) = (&view.record, view.record.total_chunks);
        assert_eq!(record.object.is_some(), record.state == State::Completed);
        if matches!(record.state, State::Completing | State::Completed) {
            assert!(self.stores.state(&record.upload_id) >= Some(State::Completing));
            assert_eq!(Some(view.received_count), total, "all chunks are in");
        }
    }

    fn answer(&mut self, call: CallId, result: Result<CallReply, sluice_proto::error::Refusal>) {
        let Some(owed) = self.calls.remove(&call) else { return };
        let durable = |upload_id| self.stores.state(upload_id);
        if let Ok(reply) = &result {
            self.check_view(reply);
        }
        match &result {
            Ok(CallReply::Initiated { upload, .. }) => {
                assert!(durable(&upload.record.upload_id).is_some(), "durable when it is told");
            }
            Ok(CallReply::Completed(view)) if view.record.state == State::Completed => {
                // Its store may lag behind, after a restart: the metadata counts.
                let is_node = self.metadata.object(&view.record.upload_id).is_some();
                let state = durable(&view.record.upload_id);
                let lags = is_node && state == Some(State::Completing);
                assert!(lags || state == Some(State::Completed), "{state:?}");
            }
            Ok(CallReply::Aborted) => {
                let state = durable(&owed.upload);
                assert_eq!(state, Some(State::Aborted));
                assert!(!self.metadata.is_claimed(&owed.upload), "all that it held is free");
            }
            _ => {}
        }
        self.inboxes[owed.client].push_back(Answer::Call(call, result));
    }
}
