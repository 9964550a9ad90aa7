//! A shard between a client and backends that do at once, or when told, what they are asked.

#![allow(dead_code)]

mod client;
mod redis;
mod s3;

use std::collections::{BTreeMap, VecDeque};

use sluice_proto::{
    checksum::Sha256State,
    error::Refusal,
    ids::{DriveId, Filename, NodeId, StoreId, UploadId},
};

use crate::{
    Effect, Event, Shard, ShardConfig,
    config::{Objects, Spool},
    effect::{BodyPlace, CallReply, HashTurn, PlaceFrom, StreamReply},
    event::{Claimed, Failure, Outcome},
    keys::{BodyId, CallId, Now, OpId, StreamKey},
    parts::Plan,
    record::{FoundUpload, Object, StoredUpload, Transition, UploadSpec},
};

pub(super) use client::{Send, WAIT_MS, send};

pub(super) const STORE: StoreId = StoreId(3);

pub(super) struct Rig {
    pub shard: Shard,
    pub now: Now,
    /// Effects whose end is still to come, in the order asked.
    pub held: VecDeque<Effect>,
    pub stored: BTreeMap<UploadId, StoredUpload>,
    pub partials: BTreeMap<UploadId, Vec<u8>>,
    pub objects: BTreeMap<UploadId, (Vec<u8>, Object)>,
    pub replies: BTreeMap<CallId, Result<CallReply, Refusal>>,
    pub told: BTreeMap<StreamKey, Vec<StreamReply>>,
    pub segments_removed: Vec<u32>,
    /// How often what a body held was freed.
    pub freed: usize,
    bodies: BTreeMap<BodyId, (UploadId, BodyPlace, Vec<u8>)>,
    /// Bodies in line for the SHA-256.
    pub line: BTreeMap<BodyId, InLine>,
    /// Nothing is told of a SHA-256 until it is asked for.
    pub holds_hashes: bool,
    /// Bodies that closed before their turn came, and don't wait for it.
    pub ahead: usize,
    spool: BTreeMap<(u32, u64), Vec<u8>>,
    pub redis: redis::Redis,
    pub s3: s3::S3,
    /// Reading an upload takes its time; else it is done at once.
    pub holds_loads: bool,
    /// What the metadata says of uploads whose store went back in time.
    pub lost_ends: BTreeMap<UploadId, Transition>,
    next: u64,
}

/// What is known of a body in line.
pub(super) struct InLine {
    pub turn: HashTurn,
    upload_id: UploadId,
    /// Where it begins, once its turn came.
    state: Option<Sha256State>,
    /// All of it, once it was closed.
    bytes: Option<Vec<u8>>,
}

pub(super) fn config() -> ShardConfig {
    ShardConfig {
        objects: Objects::Files,
        plan: Plan {
            part_bytes_base: 50,
            part_bytes_max: 100,
            single_put_bytes: 100,
            equal_part_bytes: None,
        },
        spool: Spool::Disk,
        crc: true,
        discards_whole: false,
        max_chunk_bytes: 100,
        max_upload_bytes: 10_000,
        chunk_bytes_usual: 4096,
        budget_bytes: 400,
        hold_bytes: 50,
        uploads_max: 8,
        ended_max: 2,
        upload_bytes_max: 1 << 20,
        streams_max: 16,
        waiting_max: 8,
        chunk_records_max: 100,
        admission_wait_ms: 1_000,
        upload_lifetime_ms: 1_000_000,
        segment_bytes: 16 << 10,
        spool_bytes_max: 64 << 10,
        attempt_base: 0,
        places_in_flight_max: 4,
        hash_step_bytes: 64,
        hash_record_bytes: 128,
    }
}

pub(super) fn spec() -> UploadSpec {
    UploadSpec {
        tenant: "t".to_owned(),
        drive_id: DriveId::parse("default").unwrap(),
        node_id: NodeId::parse("n").unwrap(),
        filename: Filename::parse("f").unwrap(),
        mime_type: String::new(),
        metadata: BTreeMap::new(),
        expected_size_bytes: None,
        chunk_size_bytes: None,
        max_size_bytes: 10_000,
        sha256: None,
        hash: false,
        if_not_exists: false,
        request_id: None,
        fingerprint: [0; 32],
    }
}

impl Rig {
    pub(super) fn new(config: ShardConfig) -> Self {
        let mut rig = Self {
            shard: Shard::new(config),
            now: Now { mono_ms: 1_000, wall_ms: 1_000_000 },
            held: VecDeque::new(),
            stored: BTreeMap::new(),
            partials: BTreeMap::new(),
            objects: BTreeMap::new(),
            replies: BTreeMap::new(),
            told: BTreeMap::new(),
            segments_removed: Vec::new(),
            freed: 0,
            bodies: BTreeMap::new(),
            line: BTreeMap::new(),
            holds_hashes: false,
            ahead: 0,
            spool: BTreeMap::new(),
            redis: redis::Redis::default(),
            s3: s3::S3::default(),
            holds_loads: false,
            lost_ends: BTreeMap::new(),
            next: 0,
        };
        rig.event(loaded(Vec::new(), Vec::new()));
        rig
    }

    /// The process dies with what it holds, and another takes its place.
    pub(super) fn restart(&mut self, config: ShardConfig) {
        self.shard = Shard::new(config);
        self.held.clear();
        self.bodies.clear();
        self.line.clear();
        let open = self
            .stored
            .values()
            .filter(|stored| !stored.record.state.ended() || stored.record.cleanup_pending);
        let uploads = open.map(|stored| self.found(stored)).collect();
        self.event(loaded(uploads, Vec::new()));
    }

    /// With what the metadata knows.
    fn found(&self, stored: &StoredUpload) -> FoundUpload {
        let lost_end = self.lost_ends.get(&stored.record.upload_id).cloned();
        FoundUpload { stored: stored.clone(), lost_end }
    }

    pub(super) fn event(&mut self, event: Event) {
        let mut effects = Vec::new();
        self.shard.apply(self.now, event, &mut effects);
        for effect in effects {
            self.take(effect);
        }
    }

    fn take(&mut self, effect: Effect) {
        match effect {
            Effect::Load { .. } if !self.holds_loads => self.finish(effect),
            Effect::Stream { stream, reply } => self.told.entry(stream).or_default().push(reply),
            Effect::Reply { call, result } => {
                assert!(self.replies.insert(call, result).is_none(), "answered once");
            }
            Effect::OpenBody { body, upload_id, place, hash, .. } => {
                if hash != HashTurn::Never {
                    let lent = InLine { turn: hash, upload_id, state: None, bytes: None };
                    self.line.insert(body, lent);
                }
                if let BodyPlace::Redis { number, attempt } = place {
                    self.redis.begin((upload_id, number, attempt));
                }
                self.bodies.insert(body, (upload_id, place, Vec::new()));
            }
            Effect::HashBody { body, state } => {
                let lent = self.line.get_mut(&body).expect("it is in line");
                assert!(lent.state.replace(*state).is_none(), "its turn comes once");
                if !self.holds_hashes {
                    self.tell_hashes();
                }
            }
            Effect::LeaveHash { body } => drop(self.line.remove(&body)),
            Effect::Append { body, bytes, .. } => {
                self.bodies.get_mut(&body).unwrap().2.extend_from_slice(&bytes);
            }
            Effect::FreeBody { upload_id, number, attempt } => {
                self.redis.free(&self.stored, (upload_id, number, attempt));
            }
            Effect::FreeMemory { body } => {
                self.freed += 1;
                drop(self.bodies.remove(&body).expect("held once"));
            }
            Effect::PunchSegment { holes, .. } => {
                let is_hole = |at| holes.ranges.iter().any(|range| range.contains(&at));
                self.spool.retain(|&(of, at), _| of != holes.segment || !is_hole(at));
            }
            Effect::RemoveSegment { segment, .. } => self.segments_removed.push(segment),
            held => self.held.push_back(held),
        }
    }

    /// Takes the first held effect that is asked for.
    pub(super) fn pick(&mut self, wanted: impl Fn(&Effect) -> bool) -> Effect {
        let at = self.held.iter().position(wanted).expect("the effect is held");
        self.held.remove(at).unwrap()
    }

    /// Does one effect, and tells its end.
    pub(super) fn finish(&mut self, effect: Effect) {
        if self.redis.lacks(&effect) {
            let Effect::Place { from: PlaceFrom::Redis { number, attempt }, .. } = effect else {
                unreachable!("it copies from Redis")
            };
            return self.fail(&effect, Failure::Gone { number, attempt });
        }
        let (op, outcome) = self.perform(effect);
        self.event(Event::Done { op, result: Ok(outcome) });
        if !self.holds_hashes {
            self.tell_hashes();
        }
    }

    /// Tells the SHA-256 of closed bodies whose turn came.
    pub(super) fn tell_hashes(&mut self) {
        let over = |(_, lent): &(&BodyId, &InLine)| lent.state.is_some() && lent.bytes.is_some();
        while let Some(body) = self.line.iter().find(over).map(|(&body, _)| body) {
            let InLine { upload_id, state, bytes, .. } = self.line.remove(&body).unwrap();
            let mut state = Box::new(state.unwrap());
            state.update(&bytes.unwrap());
            self.event(Event::BodyHashed { upload_id, body, state: Some(state) });
        }
    }

    /// A body in line finds no room to wait in.
    pub(super) fn leaves(&mut self, body: BodyId) {
        let upload_id = self.line.remove(&body).expect("it is in line").upload_id;
        self.event(Event::BodyHashed { upload_id, body, state: None });
    }

    pub(super) fn fail(&mut self, effect: &Effect, failure: Failure) {
        self.event(Event::Done { op: effect.op().expect("it has an end"), result: Err(failure) });
    }

    /// Bodies that are held in memory.
    pub(super) fn held_in_memory(&self) -> usize {
        self.bodies.values().filter(|(_, place, _)| *place == BodyPlace::Memory).count()
    }

    /// Does whatever is asked for until nothing is.
    pub(super) fn settle(&mut self) {
        while let Some(effect) = self.held.pop_front() {
            self.finish(effect);
        }
    }

    /// The same, but for what is left held.
    pub(super) fn settle_but(&mut self, held: impl Fn(&Effect) -> bool) {
        while let Some(at) = self.held.iter().position(|effect| !held(effect)) {
            let effect = self.held.remove(at).expect("it was found there");
            self.finish(effect);
        }
    }

    fn perform(&mut self, effect: Effect) -> (OpId, Outcome) {
        let op = effect.op().expect("it has an end");
        if let Some(outcome) = self.ask_store(&effect) {
            return (op, outcome);
        }
        match effect {
            Effect::Record { upload_id, first_rev, wall_ms, steps, .. } => {
                self.store(upload_id, first_rev, wall_ms, &steps);
            }
            Effect::Claim { .. } => return (op, Outcome::Claimed(Claimed::Granted)),
            Effect::Load { upload_id, .. } => {
                let found = self.stored.get(&upload_id).map(|stored| self.found(stored));
                return (op, Outcome::Loaded(found.map(Box::new)));
            }
            Effect::CloseBody { body, awaits_turn, .. } => {
                if let Some(lent) = self.line.get_mut(&body) {
                    lent.bytes = Some(self.bodies[&body].2.clone());
                    self.ahead += usize::from(lent.state.is_none() && !awaits_turn);
                }
                self.close(body);
            }
            Effect::DropBody { body, .. } => {
                self.line.remove(&body);
                drop(self.bodies.remove(&body).expect("it was open"));
            }
            Effect::Place { upload_id, from, offset, bytes, .. } => {
                let data = match from {
                    PlaceFrom::Spool(extent) => {
                        self.spool[&(extent.segment, extent.offset)].clone()
                    }
                    PlaceFrom::Redis { number, attempt } => {
                        self.redis.bodies[&(upload_id, number, attempt)].clone()
                    }
                    PlaceFrom::Memory(body) => self.bodies[&body].2.clone(),
                };
                assert_eq!(data.len() as u64, bytes);
                self.write(upload_id, offset, &data);
            }
            Effect::Hash { upload_id, state, slices: Some(slices), .. } => {
                return (op, self.hash_slices(upload_id, state, &slices));
            }
            Effect::Hash { upload_id, mut state, bytes, .. } => {
                let from = state.bytes_hashed() as usize;
                state.update(&self.partials[&upload_id][from..from + bytes as usize]);
                return (op, Outcome::Hashed(state));
            }
            Effect::Seal { record, size_bytes, .. } => {
                let mut partial = self.partials.remove(&record.upload_id).unwrap_or_default();
                partial.resize(size_bytes as usize, 0);
                let object = Object { size_bytes, crc64nvme: None, sha256: None, stored: None };
                self.objects.entry(record.upload_id).or_insert((partial, object));
            }
            Effect::Finish { record, object, .. } => {
                let (data, discarded) = (Vec::new(), object.clone());
                self.objects.entry(record.upload_id).or_insert((data, discarded)).1 = object;
            }
            Effect::RemovePartial { upload_id, .. } => drop(self.partials.remove(&upload_id)),
            Effect::SweepBodies { upload_id, .. } => self.redis.sweep(upload_id),
            Effect::Release { .. } => {}
            other => unreachable!("{other:?} has no end"),
        }
        (op, Outcome::Done)
    }

    fn store(&mut self, upload_id: UploadId, first_rev: u64, wall_ms: u64, steps: &[Transition]) {
        for (rev, step) in (first_rev..).zip(steps) {
            match step {
                Transition::Create(record) => {
                    self.stored.insert(upload_id, StoredUpload::new((**record).clone(), rev));
                }
                step => {
                    let stored = self.stored.get_mut(&upload_id).unwrap();
                    assert_eq!(stored.rev + 1, rev, "no step is left out");
                    stored.apply(step, wall_ms);
                }
            }
        }
    }

    fn close(&mut self, body: BodyId) {
        let (upload_id, place, data) = self.bodies[&body].clone();
        match place {
            BodyPlace::Object { offset } => self.write(upload_id, offset, &data),
            BodyPlace::Spool(at) => drop(self.spool.insert((at.segment, at.offset), data)),
            BodyPlace::Redis { number, attempt } => {
                self.redis.write((upload_id, number, attempt), data);
            }
            BodyPlace::Memory => return,
            BodyPlace::Discard => {}
        }
        self.bodies.remove(&body);
    }

    fn write(&mut self, upload_id: UploadId, offset: u64, data: &[u8]) {
        let partial = self.partials.entry(upload_id).or_default();
        let end = offset as usize + data.len();
        partial.resize(partial.len().max(end), 0);
        partial[offset as usize..end].copy_from_slice(data);
    }

    pub(super) fn pass_ms(&mut self, ms: u64) {
        self.now.mono_ms += ms;
        self.now.wall_ms += ms;
        self.event(Event::Tick);
    }

    fn fresh(&mut self) -> u64 {
        self.next += 1;
        self.next
    }
}

pub(super) fn loaded(uploads: Vec<FoundUpload>, segments: Vec<u32>) -> Event {
    Event::StoreLoaded { store: STORE, uploads, segments, keeps_segments: false }
}
