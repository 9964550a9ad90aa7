//! A shard whose effects end well at once; no byte is kept.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use sluice_proto::{
    checksum::{Crc32c, Crc64Nvme},
    grpc::ChunkChecks,
    ids::{DriveId, Filename, NodeId, StoreId, UploadId},
};
use sluice_shard::{
    Effect, Event, Shard, ShardConfig,
    effect::{CallReply, StreamReply},
    event::{ChunkOpen, Claimed, Initiate, Outcome},
    keys::{CallId, Now, StreamKey},
    record::{State, UploadSpec},
};

use super::{CHUNK_BYTES, PIECE_BYTES};
use crate::pattern;

const STORE: StoreId = StoreId(0);

/// Time stands still: nothing waits.
const NOW: Now = Now { mono_ms: 1_000, wall_ms: 1_000_000 };

pub struct Backends {
    shard: Shard,
    spec: UploadSpec,
    data: Bytes,
    checks: ChunkChecks,
    upload_id: UploadId,
    /// The last number that named something.
    named: u64,
    acked: u64,
    effects: Vec<Effect>,
    ends: VecDeque<Event>,
}

impl Backends {
    pub fn new(config: ShardConfig) -> Self {
        let data = Bytes::from(pattern(CHUNK_BYTES));
        let checks = ChunkChecks {
            crc32c: Some(Crc32c::of(&data)),
            crc64nvme: Some(Crc64Nvme::of(&data)),
            sha256: None,
        };
        let mut backends = Self {
            shard: Shard::new(config),
            spec: spec(),
            data,
            checks,
            upload_id: UploadId::new(0, STORE, [0; 15]),
            named: 0,
            acked: 0,
            effects: Vec::new(),
            ends: VecDeque::new(),
        };
        backends.event(Event::StoreLoaded {
            store: STORE,
            uploads: vec![],
            segments: vec![],
            keeps_segments: false,
        });
        backends
    }

    /// Begins another upload.
    pub fn initiate(&mut self) {
        let number = self.fresh();
        let mut random = [0; 15];
        random[..8].copy_from_slice(&number.to_be_bytes());
        self.upload_id = UploadId::new(0, STORE, random);
        self.acked = 0;
        let (upload_id, spec) = (self.upload_id, self.spec.clone());
        let call = CallId(number);
        self.event(Event::Initiate(Box::new(Initiate { call, upload_id, spec })));
    }

    /// A small chunk that came whole with its header, to its ack.
    pub fn whole_chunk(&mut self, number: u32, is_last: bool) {
        let (acked, bytes) = (self.acked, self.data.clone());
        let open = Box::new(self.open(number, is_last));
        self.event(Event::ChunkWhole { open, bytes });
        assert_eq!(self.acked, acked + 1, "a chunk is acked once");
    }

    /// A chunk from its header to its ack.
    pub fn chunk(&mut self, number: u32, is_last: bool) {
        let open = self.open(number, is_last);
        let (stream, checks, acked) = (open.stream, self.checks, self.acked);
        self.event(Event::ChunkOpen(Box::new(open)));
        for from in (0..CHUNK_BYTES).step_by(PIECE_BYTES) {
            let bytes = self.data.slice(from..from + PIECE_BYTES);
            self.event(Event::ChunkPiece { stream, bytes });
        }
        self.event(Event::ChunkEnd { stream, is_last, force: false, checks });
        assert_eq!(self.acked, acked + 1, "a chunk is acked once");
    }

    /// Holds the upload against what was sent: a scenario that fails early would look fast.
    pub fn assert_whole(&self, bytes: u64) {
        let record = self.shard.record(&self.upload_id).expect("it ended just now");
        assert_eq!(record.state, State::Completed);
        assert_eq!(self.acked * CHUNK_BYTES as u64, bytes);
        assert_eq!(self.shard.in_flight(), 0);
    }

    fn event(&mut self, event: Event) {
        let mut next = Some(event);
        while let Some(event) = next {
            self.shard.apply(NOW, event, &mut self.effects);
            let mut effects = std::mem::take(&mut self.effects);
            effects.drain(..).for_each(|effect| self.perform(effect));
            self.effects = effects;
            next = self.ends.pop_front();
        }
    }

    fn perform(&mut self, effect: Effect) {
        match &effect {
            Effect::Stream { reply: StreamReply::Acked(_), .. } => self.acked += 1,
            Effect::Stream { reply: StreamReply::Granted { .. }, .. } => {}
            Effect::Stream { reply, .. } => panic!("{reply:?}"),
            Effect::Reply { result, .. } => {
                assert!(matches!(result, Ok(CallReply::Initiated { .. })), "{result:?}");
            }
            _ => {}
        }
        let Some(op) = effect.op() else { return };
        let outcome = match effect {
            Effect::Claim { .. } => Outcome::Claimed(Claimed::Granted),
            Effect::Load { .. } => Outcome::Loaded(None),
            _ => Outcome::Done,
        };
        self.ends.push_back(Event::Done { op, result: Ok(outcome) });
    }

    fn open(&mut self, number: u32, is_last: bool) -> ChunkOpen {
        ChunkOpen {
            stream: StreamKey(self.fresh()),
            tenant: String::new(),
            upload_id: self.upload_id,
            number,
            is_last,
            force: false,
            checks: self.checks,
            data_bytes: CHUNK_BYTES as u64,
            end_wait_until_ms: None,
        }
    }

    fn fresh(&mut self) -> u64 {
        self.named += 1;
        self.named
    }
}

fn spec() -> UploadSpec {
    UploadSpec {
        tenant: String::new(),
        drive_id: DriveId::parse("default").expect("a drive's name"),
        node_id: NodeId::parse("node").expect("a node's name"),
        filename: Filename::parse("file").expect("a file's name"),
        mime_type: String::new(),
        metadata: BTreeMap::new(),
        expected_size_bytes: None,
        chunk_size_bytes: None,
        max_size_bytes: 1 << 40,
        sha256: None,
        hash: false,
        if_not_exists: false,
        request_id: None,
        fingerprint: [0; 32],
    }
}
