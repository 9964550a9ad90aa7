//! A shard whose backends do at once what they are asked.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use sluice_proto::{
    checksum::{Crc32c, Crc64Nvme},
    error::{Reason, Refusal},
    grpc::ChunkChecks,
    ids::{ChunkCount, DriveId, Filename, NodeId, StoreId, UploadId},
};
use sluice_shard::{
    Effect, Event, Shard, ShardConfig,
    config::{Objects, Spool},
    effect::{BodyPlace, CallReply, PlaceFrom, StreamReply},
    event::{ChunkOpen, Claimed, Initiate, Outcome},
    keys::{BodyId, CallId, Now, OpId, StreamKey},
    parts::Plan,
    record::{Extent, State, StoredUpload, Transition, UploadSpec},
};

use crate::{CHUNK_BYTES_MAX, In, Send, model::Promise};

const STORE: StoreId = StoreId(0);
const NOW: Now = Now { mono_ms: 1_000, wall_ms: 1_000_000 };

pub(crate) struct Service {
    shard: Shard,
    upload_id: UploadId,
    stored: Option<StoredUpload>,
    bodies: BTreeMap<BodyId, (BodyPlace, Vec<u8>)>,
    spool_kind: Spool,
    spool: BTreeMap<(u32, u64), Vec<u8>>,
    /// By number and attempt.
    redis: BTreeMap<(u32, u32), Vec<u8>>,
    partial: Vec<u8>,
    object: Option<Vec<u8>>,
    told: Option<StreamReply>,
    replied: Option<Result<CallReply, Refusal>>,
    keys: u64,
    epoch: u32,
}

fn config(spool: Spool, attempt_base: u32) -> ShardConfig {
    ShardConfig {
        objects: Objects::Files,
        plan: Plan {
            part_bytes_base: 1 << 20,
            part_bytes_max: 1 << 20,
            single_put_bytes: 0,
            equal_part_bytes: None,
        },
        spool,
        crc: true,
        discards_whole: false,
        max_chunk_bytes: CHUNK_BYTES_MAX,
        max_upload_bytes: 10_000,
        chunk_bytes_usual: 4096,
        budget_bytes: 4 * CHUNK_BYTES_MAX,
        hold_bytes: CHUNK_BYTES_MAX,
        uploads_max: 4,
        ended_max: 4,
        upload_bytes_max: 1 << 20,
        streams_max: 4,
        waiting_max: 4,
        chunk_records_max: 100_000,
        admission_wait_ms: 1_000,
        upload_lifetime_ms: 1_000_000,
        segment_bytes: 16 << 10,
        spool_bytes_max: 1 << 20,
        attempt_base,
        places_in_flight_max: 2,
        hash_step_bytes: 64,
        hash_record_bytes: 128,
    }
}

fn spec(promise: Promise) -> UploadSpec {
    UploadSpec {
        tenant: String::new(),
        drive_id: DriveId::parse("default").unwrap(),
        node_id: NodeId::parse("n").unwrap(),
        filename: Filename::parse("f").unwrap(),
        mime_type: String::new(),
        metadata: BTreeMap::new(),
        expected_size_bytes: promise.size_bytes,
        chunk_size_bytes: promise.chunk_bytes,
        max_size_bytes: 10_000,
        sha256: None,
        hash: false,
        if_not_exists: false,
        request_id: None,
        fingerprint: [0; 32],
    }
}

impl Service {
    pub(crate) fn new(promise: Promise, spool: Spool) -> Self {
        let upload_id = UploadId::new(1, STORE, [7; 15]);
        let mut service = Self {
            shard: Shard::new(config(spool, 0)),
            upload_id,
            stored: None,
            bodies: BTreeMap::new(),
            spool_kind: spool,
            spool: BTreeMap::new(),
            redis: BTreeMap::new(),
            partial: Vec::new(),
            object: None,
            told: None,
            replied: None,
            keys: 0,
            epoch: 0,
        };
        service.restart();
        let request = Initiate { call: CallId(0), upload_id, spec: spec(promise) };
        service.apply(Event::Initiate(Box::new(request)));
        assert!(matches!(service.replied, Some(Ok(CallReply::Initiated { .. }))));
        service
    }

    /// Another process takes over what is durable.
    pub(crate) fn restart(&mut self) {
        // Attempts before this process are below.
        self.epoch += 1;
        self.shard = Shard::new(config(self.spool_kind, self.epoch * 100));
        let is_open =
            |stored: &&StoredUpload| !stored.record.state.ended() || stored.record.cleanup_pending;
        let uploads = self.stored.iter().filter(is_open).cloned().map(Into::into).collect();
        let segments = self.spool.keys().map(|&(segment, _)| segment).collect();
        self.apply(Event::StoreLoaded { store: STORE, uploads, segments, keeps_segments: false });
    }

    pub(crate) fn send(&mut self, send: &Send) -> Result<In, Reason> {
        self.keys += 1;
        let stream = StreamKey(self.keys);
        let Send { number, ref data, is_last, force, summed } = *send;
        let checks = ChunkChecks {
            crc32c: summed.then(|| Crc32c::of(data)),
            crc64nvme: summed.then(|| Crc64Nvme::of(data)),
            sha256: None,
        };
        self.told = None;
        self.apply(Event::ChunkOpen(Box::new(ChunkOpen {
            stream,
            tenant: String::new(),
            upload_id: self.upload_id,
            number,
            is_last,
            force,
            checks,
            data_bytes: data.len() as u64,
            end_wait_until_ms: None,
        })));
        if matches!(self.told, Some(StreamReply::Granted { .. })) {
            for piece in data.chunks(7) {
                let bytes = Bytes::copy_from_slice(piece);
                self.apply(Event::ChunkPiece { stream, bytes });
            }
            self.apply(Event::ChunkEnd { stream, is_last, force, checks });
        }
        match self.told.take() {
            Some(StreamReply::Acked(ack)) => Ok(In {
                duplicate: ack.duplicate,
                received_bytes: ack.received_bytes,
                received_count: ack.received_count,
            }),
            Some(StreamReply::Refused(refusal)) => Err(refusal.reason),
            other => panic!("a chunk is answered, not {other:?}"),
        }
    }

    pub(crate) fn complete(&mut self, total: Option<u32>) -> Result<State, Reason> {
        let call = CallId(0);
        self.apply(Event::Complete {
            call,
            tenant: String::new(),
            upload_id: self.upload_id,
            total_chunks: total.map(|total| ChunkCount::new(total as i32).unwrap()),
            sha256: None,
            wait_until_ms: NOW.mono_ms + 10_000,
        });
        match self.replied.take().expect("a call is answered") {
            Ok(CallReply::Completed(view)) => Ok(view.record.state),
            Ok(other) => panic!("{other:?}"),
            Err(refusal) => Err(refusal.reason),
        }
    }

    pub(crate) fn state(&self) -> State {
        self.stored.as_ref().expect("it was made").record.state
    }

    pub(crate) fn object(&self) -> Option<&[u8]> {
        self.object.as_deref()
    }

    fn apply(&mut self, event: Event) {
        let mut events = VecDeque::from([event]);
        let mut effects = Vec::new();
        while let Some(event) = events.pop_front() {
            self.shard.apply(NOW, event, &mut effects);
            for effect in effects.drain(..) {
                let done = self.perform(effect);
                events.extend(done.map(|(op, outcome)| Event::Done { op, result: Ok(outcome) }));
            }
        }
    }

    fn perform(&mut self, effect: Effect) -> Option<(OpId, Outcome)> {
        let op = match effect {
            Effect::Stream { reply, .. } => return self.tell(reply),
            Effect::Reply { result, .. } => {
                self.replied = Some(result);
                return None;
            }
            Effect::OpenBody { body, place, .. } => {
                self.bodies.insert(body, (place, Vec::new()));
                return None;
            }
            Effect::Append { body, bytes, .. } => {
                self.bodies.get_mut(&body).expect("it is open").1.extend_from_slice(&bytes);
                return None;
            }
            Effect::PunchSegment { holes, .. } => {
                let is_hole = |at: u64| holes.ranges.iter().any(|range| range.contains(&at));
                self.spool.retain(|&(of, at), _| of != holes.segment || !is_hole(at));
                return None;
            }
            Effect::RemoveSegment { segment, .. } => {
                self.spool.retain(|&(of, _), _| of != segment);
                return None;
            }
            Effect::FreeMemory { .. }
            | Effect::Hash { .. }
            | Effect::HashBody { .. }
            | Effect::LeaveHash { .. } => panic!("not with these layers"),
            Effect::FreeBody { number, attempt, .. } => {
                drop(self.redis.remove(&(number, attempt)).expect("freed once"));
                return None;
            }
            Effect::Load { op, .. } => {
                return Some((
                    op,
                    Outcome::Loaded(self.stored.clone().map(|stored| Box::new(stored.into()))),
                ));
            }
            Effect::Claim { op, .. } => return Some((op, Outcome::Claimed(Claimed::Granted))),
            Effect::Record { op, wall_ms, steps, .. } => {
                self.record(wall_ms, steps);
                op
            }
            Effect::CloseBody { op, body, .. } => {
                match self.bodies.remove(&body).expect("it is open") {
                    (BodyPlace::Object { offset }, data) => self.write(offset, &data),
                    (BodyPlace::Spool(at), data) => drop(self.spool.insert(key(at), data)),
                    (BodyPlace::Redis { number, attempt }, data) => {
                        let held = self.redis.insert((number, attempt), data);
                        assert!(held.is_none(), "written once");
                    }
                    (place, _) => panic!("a chunk is written to {place:?}"),
                }
                op
            }
            Effect::DropBody { op, body } => {
                self.bodies.remove(&body);
                op
            }
            Effect::Place { op, from, offset, bytes, .. } => {
                let data = match from {
                    PlaceFrom::Spool(at) => self.spool[&key(at)].clone(),
                    PlaceFrom::Redis { number, attempt } => self.redis[&(number, attempt)].clone(),
                    PlaceFrom::Memory(_) => panic!("{from:?}"),
                };
                assert_eq!(data.len() as u64, bytes);
                self.write(offset, &data);
                op
            }
            Effect::Seal { op, size_bytes, .. } => {
                assert!(self.object.is_none(), "sealed once");
                let mut bytes = std::mem::take(&mut self.partial);
                bytes.truncate(size_bytes as usize);
                self.object = Some(bytes);
                op
            }
            Effect::RemovePartial { op, .. } => {
                self.partial.clear();
                op
            }
            Effect::SweepBodies { op, .. } => {
                assert!(self.redis.is_empty(), "all were freed before");
                op
            }
            Effect::Finish { op, .. } | Effect::Release { op, .. } => op,
            other => unreachable!("{other:?} asks an object store"),
        };
        Some((op, Outcome::Done))
    }

    fn tell(&mut self, reply: StreamReply) -> Option<(OpId, Outcome)> {
        self.told = Some(reply);
        None
    }

    fn record(&mut self, wall_ms: u64, steps: Vec<Transition>) {
        for step in steps {
            match step {
                Transition::Create(record) => {
                    self.stored = Some(StoredUpload::new(*record, 1));
                }
                step => self.stored.as_mut().expect("it was made").apply(&step, wall_ms),
            }
        }
    }

    fn write(&mut self, offset: u64, data: &[u8]) {
        let end = offset as usize + data.len();
        self.partial.resize(self.partial.len().max(end), 0);
        self.partial[offset as usize..end].copy_from_slice(data);
    }
}

fn key(at: Extent) -> (u32, u64) {
    (at.segment, at.offset)
}
