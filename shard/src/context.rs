//! What all uploads of a shard share: effects on their way out, operations under way, memory.

use std::collections::{BTreeMap, VecDeque};

use sluice_proto::{
    error::Refusal,
    ids::{StoreId, UploadId},
};

use crate::{
    budget::{Budget, Charge},
    config::{Objects, ShardConfig, Spool},
    effect::{BodyPlace, CallReply, Effect, StreamReply},
    event::{Event, Initiate},
    extents::Extents,
    keys::{BodyId, CallId, Now, OpId, StreamKey},
    record::{Extent, UploadRecord},
    stream::Stream,
    timers::{Timer, Timers},
    turn::Turns,
};

/// First wait before a failed effect is tried again, doubled up to the longest.
const RETRY_FIRST_MS: u64 = 50;
const RETRY_LONGEST_MS: u64 = 10_000;

/// An effect whose end is awaited.
#[derive(Debug)]
pub(crate) struct Op {
    pub upload_id: UploadId,
    pub kind: OpKind,
    pub tries: u32,
}

#[derive(Debug)]
pub(crate) enum OpKind {
    Claim(Box<Initiate>),
    /// Gives back what a failed claim may have taken.
    Unclaim(Box<UploadRecord>),
    Record,
    CloseBody(StreamKey),
    DropBody {
        number: u32,
        place: BodyPlace,
        charge: Option<Charge>,
    },
    Place {
        number: u32,
    },
    Hash {
        bytes: u64,
    },
    /// What an ended upload was.
    Load,
    Seal,
    Finish,
    BeginMultipart,
    SendPart {
        part: u32,
    },
    CompleteMultipart,
    Unstore,
    RemovePartial,
    SweepBodies,
    Release,
}

#[derive(Debug)]
pub(crate) struct Context {
    pub config: ShardConfig,
    pub now: Now,
    pub effects: Vec<Effect>,
    pub ops: BTreeMap<OpId, Op>,
    pub timers: Timers,
    pub streams: BTreeMap<StreamKey, Stream>,
    pub waiting: VecDeque<StreamKey>,
    pub budget: Budget,
    /// Memory came free: whoever waits is to be looked at.
    pub freed: bool,
    pub spools: BTreeMap<StoreId, Extents>,
    /// What bodies in Redis take.
    pub spool_room: Budget,
    /// Whose turn it is to take what is kept free.
    pub turns: Turns,
    /// Whether Redis has memory for more.
    pub spool_admits: bool,
    pub chunk_records: usize,
    /// What uploads take beside their chunks.
    pub upload_bytes: usize,
    /// Ended and swept uploads in memory, the first to end first.
    pub ended: VecDeque<UploadId>,
    /// What waits for uploads that are being read.
    pub asking: BTreeMap<UploadId, Vec<Event>>,
    pub draining: bool,
    /// Whoever waits for an upload's next change.
    pub watching: BTreeMap<CallId, UploadId>,
    next_op: u64,
    next_body: u64,
}

impl Context {
    pub(crate) fn new(config: ShardConfig) -> Self {
        Self {
            budget: Budget::new(config.budget_bytes, budget_reserve_bytes(&config)),
            spool_room: spool_room(&config),
            turns: Turns::default(),
            spool_admits: true,
            config,
            now: Now { mono_ms: 0, wall_ms: 0 },
            effects: Vec::new(),
            ops: BTreeMap::new(),
            timers: Timers::default(),
            streams: BTreeMap::new(),
            waiting: VecDeque::new(),
            freed: false,
            spools: BTreeMap::new(),
            chunk_records: 0,
            upload_bytes: 0,
            ended: VecDeque::new(),
            asking: BTreeMap::new(),
            draining: false,
            watching: BTreeMap::new(),
            next_op: 0,
            next_body: 0,
        }
    }

    pub(crate) fn emit(&mut self, effect: Effect) {
        self.effects.push(effect);
    }

    pub(crate) fn begin(&mut self, upload_id: UploadId, kind: OpKind) -> OpId {
        self.next_op += 1;
        let op = OpId(self.next_op);
        self.ops.insert(op, Op { upload_id, kind, tries: 0 });
        op
    }

    pub(crate) fn new_body(&mut self) -> BodyId {
        self.next_body += 1;
        BodyId(self.next_body)
    }

    /// Puts a failed operation back, to be tried again after a while.
    pub(crate) fn retry_later(&mut self, op: OpId, mut failed: Op) {
        failed.tries += 1;
        let longest_ms = (RETRY_FIRST_MS << failed.tries.min(16)).min(RETRY_LONGEST_MS);
        // Full jitter, from the operation's own number: the shard has no chance of its own.
        let wait_ms = 1 + spread(op.0 ^ u64::from(failed.tries) << 48) % longest_ms;
        self.ops.insert(op, failed);
        self.timers.set(self.now.mono_ms + wait_ms, Timer::Retry(op));
    }

    pub(crate) fn reply(&mut self, call: CallId, result: Result<CallReply, Refusal>) {
        self.emit(Effect::Reply { call, result });
    }

    pub(crate) fn tell(&mut self, stream: StreamKey, reply: StreamReply) {
        self.emit(Effect::Stream { stream, reply });
    }

    pub(crate) fn refund(&mut self, charge: Option<Charge>) {
        if let Some(charge) = charge {
            self.budget.refund(charge);
            self.freed = true;
        }
    }

    /// Room in a store's spool on disk, beside `kept_bytes` that stay free.
    pub(crate) fn take_extent(
        &mut self,
        store: StoreId,
        bytes: u64,
        kept_bytes: u64,
    ) -> Option<Extent> {
        let spool = self.spools.get_mut(&store).expect("the store was loaded");
        let taken = spool.take(bytes, kept_bytes);
        for holes in spool.punched() {
            self.emit(Effect::PunchSegment { store, holes });
        }
        taken
    }

    /// Gives an extent back that no durable record names any more.
    pub(crate) fn free_extent(&mut self, upload_id: &UploadId, extent: Extent) {
        let store = upload_id.store();
        let spool = self.spools.get_mut(&store).expect("an extent's store was loaded");
        if let Some(segment) = spool.free(extent) {
            self.emit(Effect::RemoveSegment { store, segment });
        }
    }

    /// Whether acks tell of bytes that survive this process.
    pub(crate) fn spooled(&self) -> bool {
        self.config.spool != Spool::Memory && self.config.objects != Objects::Discard
    }
}

/// In memory bytes stay until their part is stored.
fn budget_reserve_bytes(config: &ShardConfig) -> u64 {
    let stays = config.spool == Spool::Memory;
    config.charge_bytes_max().max(if stays { config.kept_bytes() } else { 0 })
}

fn spool_room(config: &ShardConfig) -> Budget {
    match config.spool {
        Spool::Redis => {
            let kept_bytes = config.kept_bytes().max(config.max_chunk_bytes);
            Budget::new(config.spool_bytes_max, kept_bytes)
        }
        Spool::Memory | Spool::Disk => Budget::new(0, 0),
    }
}

/// SplitMix64's mixing step: spreads neighbouring numbers evenly.
fn spread(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
