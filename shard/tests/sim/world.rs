//! The world around the shards: its clock, what is still to happen, and who is told.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use sluice_proto::{
    error::Refusal,
    ids::{StoreId, UploadId},
};
use sluice_shard::{
    Effect, Event, Shard, ShardConfig,
    config::{Objects, Spool},
    effect::{CallReply, StreamReply},
    keys::{BodyId, CallId, Now, StreamKey},
};

use crate::{
    client::Client,
    disk::Disk,
    hashes::InLine,
    ledger::Ledger,
    metadata::Metadata,
    perform::{Body, Fate},
    plan::{Plan, Weather},
    redis::{Key, Redis},
    rng::Rng,
    s3::{Request, S3},
    store::Stores,
    trace::Trace,
};

/// A shard and the life that it lives: after a crash another begins.
pub(crate) struct Node {
    pub life: u64,
    pub shard: Shard,
    pub bodies: BTreeMap<BodyId, Body>,
    /// Those that wait for their turn at the SHA-256, or have it.
    pub line: BTreeMap<BodyId, InLine>,
    /// Its effects are done until it dies in the midst of them.
    pub alive: bool,
    /// Redis has memory for more, as it was told.
    pub admits: bool,
}

pub(crate) enum Action {
    /// An effect's time has come.
    End { life: u64, effect: Effect, fate: Fate },
    /// A closed body is hashed.
    Hashed { life: u64, body: BodyId },
    /// A body leaves the line for the SHA-256.
    Leave { life: u64, body: BodyId },
    /// What a process that is gone had sent to Redis comes there.
    LateWrite { key: Key, data: Vec<u8> },
    /// What a process that is gone had asked of the object store comes there.
    LateRequest { request: Request },
    /// A client does something.
    Wake { client: usize },
    /// A store was read.
    Load { life: u64, store: StoreId },
    /// A process that was asked to drain is killed.
    Kill { life: u64 },
    /// Those that died come back.
    Restart,
}

/// What a client hears.
#[derive(Debug)]
pub(crate) enum Answer {
    Stream(StreamKey, StreamReply),
    Call(CallId, Result<CallReply, Refusal>),
    /// The server is gone; whether it did what was asked isn't known.
    StreamLost(StreamKey),
    CallLost(CallId),
}

/// Whom an answer is for, and which life owes it.
pub(crate) struct Owed {
    pub client: usize,
    pub life: u64,
    pub upload: UploadId,
    pub number: u32,
    pub sum: (u64, u64),
    /// Whether it was said by now that the chunk is the last.
    pub is_last: bool,
}

/// Cores that a world has at most, rounded to what 1, 2 and 3 divide.
const SHARDS_MOST: usize = 6;

pub(crate) struct World {
    pub rng: Rng,
    pub trace: Trace,
    pub plan: Plan,
    pub weather: Weather,
    pub now: Now,
    pub nodes: Vec<Node>,
    pub stores: Stores,
    pub metadata: Metadata,
    pub disk: Disk,
    pub redis: Redis,
    pub s3: S3,
    pub clients: Vec<Option<Client>>,
    pub inboxes: Vec<VecDeque<Answer>>,
    pub streams: BTreeMap<StreamKey, Owed>,
    pub calls: BTreeMap<CallId, Owed>,
    pub queue: BTreeMap<(u64, u64), Action>,
    pub numbers: u64,
    lives: u64,
}

impl World {
    /// A whole run; what happened, as one number.
    pub(crate) fn run(seed: u64, print: bool) -> u64 {
        let mut rng = Rng::new(seed);
        let plan = Plan::of(&mut rng);
        let mut world = Self {
            weather: plan.weather,
            now: Now { mono_ms: 1_000, wall_ms: 1_700_000_000_000 },
            nodes: Vec::new(),
            stores: Stores {
                uploads: BTreeMap::new(),
                ledger: Ledger::default(),
                ended: BTreeMap::new(),
                aborts_asked: BTreeSet::new(),
                latest_ms: 0,
                kept_ms: plan.kept_ms,
                spool: plan.config.spool,
                discards: plan.config.objects == Objects::Discard,
                plan: plan.config.plan,
                summed: plan.config.crc,
            },
            metadata: Metadata::default(),
            disk: Disk::default(),
            redis: Redis::default(),
            s3: S3::default(),
            clients: Vec::new(),
            inboxes: Vec::new(),
            streams: BTreeMap::new(),
            calls: BTreeMap::new(),
            queue: BTreeMap::new(),
            numbers: 0,
            lives: 0,
            trace: Trace::new(print),
            plan,
            rng,
        };
        world.trace.note(format_args!("{:?} {:?}", world.plan.config, world.weather));
        world.start_nodes();
        for id in 0..world.plan.clients {
            let client = Client::new(id, &mut world);
            world.clients.push(Some(client));
            world.inboxes.push(VecDeque::new());
            world.after(0, 500, Action::Wake { client: id });
        }
        world.storm();
        world.calm();
        world.trace.hash()
    }

    pub(crate) fn start_nodes(&mut self) {
        self.nodes.clear();
        for index in 0..self.plan.shards {
            self.start_node(index);
        }
    }

    /// A new life for the shard of this number.
    pub(crate) fn start_node(&mut self, index: usize) {
        self.lives += 1;
        let life = self.lives;
        let attempt_base = life as u32 * 1_000;
        // The room in Redis is shared out: on fewer cores each has more.
        let spool_bytes_max = match self.plan.config.spool {
            Spool::Redis => self.room_bytes(),
            Spool::Memory | Spool::Disk => self.plan.config.spool_bytes_max,
        };
        let config = self.plan.config.clone();
        let shard = Shard::new(ShardConfig { attempt_base, spool_bytes_max, ..config });
        let node = Node {
            life,
            shard,
            bodies: BTreeMap::new(),
            line: BTreeMap::new(),
            alive: true,
            admits: true,
        };
        if index == self.nodes.len() {
            self.nodes.push(node);
        } else {
            self.nodes[index] = node;
        }
        for store in 0..self.plan.stores {
            if self.index_of(store) == index {
                self.after(0, 300, Action::Load { life, store: StoreId(store) });
            }
        }
    }

    /// What a shard may have in Redis, bytes.
    pub(crate) fn room_bytes(&self) -> u64 {
        self.plan.config.spool_bytes_max * (SHARDS_MOST / self.plan.shards) as u64
    }

    fn index_of(&self, store: u16) -> usize {
        usize::from(store) % self.plan.shards
    }

    /// The shard that owns an upload, unless it is down.
    pub(crate) fn owner_of(&self, upload: &UploadId) -> Option<u64> {
        let index = self.index_of(upload.store().0);
        self.nodes.get(index).filter(|node| node.alive).map(|node| node.life)
    }

    pub(crate) fn node(&mut self, life: u64) -> Option<&mut Node> {
        self.nodes.iter_mut().find(|node| node.life == life && node.alive)
    }

    /// Has something happen after some time.
    pub(crate) fn after(&mut self, low_ms: u64, high_ms: u64, action: Action) {
        let at_ms = self.now.mono_ms + self.rng.between(low_ms, high_ms);
        self.numbers += 1;
        self.queue.insert((at_ms, self.numbers), action);
    }

    pub(crate) fn fresh(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    /// Lets the next thing happen. `false`: nothing is left.
    pub(crate) fn step(&mut self) -> bool {
        let deadline = self
            .nodes
            .iter()
            .filter(|node| node.alive)
            .filter_map(|node| node.shard.next_deadline().map(|at_ms| (at_ms, node.life)));
        let deadline = deadline.min();
        let next = self.queue.first_key_value().map(|(&key, _)| key);
        match (deadline, next) {
            (Some((at_ms, life)), next) if next.is_none_or(|(next_ms, _)| at_ms <= next_ms) => {
                self.pass_to(at_ms);
                self.apply(life, Event::Tick);
            }
            (_, Some(key)) => {
                let action = self.queue.remove(&key).expect("it was there");
                self.pass_to(key.0);
                self.act(action);
            }
            _ => return false,
        }
        true
    }

    fn pass_to(&mut self, at_ms: u64) {
        let passed_ms = at_ms.saturating_sub(self.now.mono_ms);
        self.now.mono_ms += passed_ms;
        self.now.wall_ms += passed_ms;
        if passed_ms > 0 && self.rng.percent(self.weather.jump) {
            let jump_ms = self.rng.pick(&[1, 1_000, 30_000, 2_000_000]);
            let ahead = self.rng.percent(50);
            self.now.wall_ms -= if ahead { 0 } else { jump_ms };
            self.now.wall_ms += if ahead { jump_ms } else { 0 };
        }
        self.stores.latest_ms = self.stores.latest_ms.max(self.now.wall_ms);
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::End { life, effect, fate } => self.end(life, effect, fate),
            Action::Hashed { life, body } => self.hashed(life, body),
            Action::Leave { life, body } => self.leave(life, body),
            Action::LateWrite { key, data } => self.write_late(key, &data),
            Action::LateRequest { request } => self.take_late(request),
            Action::Wake { client } => self.wake(client),
            Action::Load { life, store } => self.load(life, store),
            Action::Kill { life } => self.kill(life),
            Action::Restart => self.restart(),
        }
    }

    fn wake(&mut self, id: usize) {
        let mut client = self.clients[id].take().expect("a client does one thing at a time");
        client.wake(self);
        self.clients[id] = Some(client);
    }

    /// Tells a shard what happened, and sees to what it wants.
    pub(crate) fn apply(&mut self, life: u64, event: Event) {
        let now = self.now;
        self.trace.note(format_args!("{} {life} {event:?}", now.mono_ms));
        let Some(node) = self.node(life) else { return };
        let mut effects = Vec::new();
        node.shard.apply(now, event, &mut effects);
        for effect in effects {
            if self.rng.per_myriad(self.weather.crash) {
                return self.crash(life);
            }
            self.trace.note(format_args!("    {effect:?}"));
            self.take(life, effect);
        }
        self.check_memory(life);
    }

    /// What is held in memory is charged, and what is charged is there.
    fn check_memory(&mut self, life: u64) {
        let hold_bytes = self.plan.config.hold_bytes;
        let node = self.node(life).expect("it is alive");
        let stats = node.shard.stats();
        assert!(stats.budget_used_bytes <= stats.budget_total_bytes, "more charged than there is");
        let held: u64 = node.bodies.values().map(|body| body.held_bytes(hold_bytes)).sum();
        assert!(held <= stats.budget_used_bytes, "{held} bytes are held, not charged");
        self.check_room(life);
    }
}
