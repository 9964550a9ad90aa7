//! One shard of a running server: its start, its steady work, its end.

use std::{
    cell::{Cell, OnceCell, RefCell},
    io,
    net::SocketAddr,
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use futures_channel::mpsc;
use futures_util::StreamExt as _;
use sluice_io::{
    edge::connection::{EdgeShard, serve_connection},
    reactor::{
        file,
        mesh::MeshEnd,
        net::{Listener, Stream},
        pacer::PacerHandle,
        task, timer,
    },
    redis::Client,
    sqlite::Database,
};
use sluice_shard::{Event, Shard, record::State};

use super::{
    bodies::{Bodies, BodiesParts},
    body_hash::BodyHashes,
    driver::Driver,
    files::Files,
    hasher::Hasher,
    janitor,
    limits::{self, SpoolRoom},
    perform::{Inner, Performer},
    process::{Order, Process},
    redis::{self, Guard, RedisAccess, RedisHealth, RedisSpool, SmallBodies},
    s3::{self, ObjectStore, ObjectStoreParts, S3Access, Slices},
    service::{self, AddServices, ObjectPlaces, Service, Watches},
    stores::{Stores, StoresAccess},
    switch::{Message, Switch},
    work::WorkLog,
};
use crate::{
    config::{Config, Durability, Spool},
    metrics::{Active, ShardGauges, ShardMetrics, SpoolKind},
    placement::Placement,
    store::damage,
};

/// How often a shard looks after itself.
const TICK: Duration = Duration::from_millis(250);
/// While draining.
const DRAIN_TICK: Duration = Duration::from_millis(5);
/// What is under way may take so long once a drain began.
const DRAIN_CALLS_MS: u64 = 15_000;
/// What no client waits for may take so long after that: it goes on after the next start.
const DRAIN_REST_MS: u64 = 2_000;

/// Tells that a shard listens, or why it can't.
pub(super) type Listening = std::sync::mpsc::Sender<io::Result<()>>;

/// What all shards of a server share.
#[derive(Clone)]
pub(super) struct Common {
    pub(super) config: Arc<Config>,
    pub(super) process: Arc<Process>,
    pub(super) placement: Placement,
    pub(super) stores: StoresAccess,
    pub(super) redis: Option<RedisAccess>,
    pub(super) s3: Option<S3Access>,
    pub(super) metadata: Database,
    pub(super) shared_address: SocketAddr,
    pub(super) own_addresses: Arc<[SocketAddr]>,
    pub(super) runtime: tokio::runtime::Handle,
    pub(super) add_services: AddServices,
}

/// What one shard alone gets.
pub(super) struct Seed {
    pub(super) mesh: MeshEnd<Message>,
    pub(super) orders: mpsc::Receiver<Order>,
    /// Its stores as they were found.
    pub(super) loaded: Vec<Event>,
}

/// Runs a shard until it was told to drain.
pub(super) async fn run(
    index: u16,
    pacer: PacerHandle,
    common: Common,
    seed: Seed,
    listening: Listening,
) {
    // Some generated services spawn tasks of their own.
    let _runtime = common.runtime.enter();
    let parts = Parts::new(index, pacer, &common, seed.mesh);
    // Before anything else can be heard of its uploads.
    seed.loaded.into_iter().for_each(|event| parts.switch.post_here(event));
    service::add_generated(&parts.service, &common.add_services);
    let addresses = [common.own_addresses[usize::from(index)], common.shared_address];
    let listeners = match listen(addresses) {
        Ok(listeners) => listeners,
        // Then nobody waits for this shard any more: the whole start has failed.
        Err(error) => return drop(listening.send(Err(error))),
    };
    let max = common.config.memory.connections_max;
    let accepts = listeners
        .map(|listener| task::spawn_local(accept(listener, parts.clone(), max)).cancel_on_drop());
    task::spawn_local(parts.clone().look_after(Arc::clone(&common.process))).detach();
    let own = common.placement.stores_of(index).collect();
    let metadata = (index == 0).then(|| common.metadata.clone());
    task::spawn_background(janitor::run(parts.stores.clone(), own, metadata)).detach();
    parts.guard(&common);
    parts.clean_store(&common);
    common.process.serves(index);
    drop(listening.send(Ok(())));
    parts.obey(seed.orders).await;
    drop(accepts);
    parts.drain(&common.process).await;
}

fn spool_room(common: &Common) -> SpoolRoom {
    let redis = common.redis.as_ref();
    SpoolRoom {
        stores: common.placement.stores(),
        redis_bytes: redis.and_then(RedisAccess::room_bytes),
        attempt_base: redis.map_or(0, RedisAccess::attempt_base),
        takes_unequal_parts: common.s3.as_ref().is_none_or(S3Access::takes_unequal_parts),
    }
}

fn listen<const N: usize>(addresses: [SocketAddr; N]) -> io::Result<[Listener; N]> {
    let listeners: Vec<_> = addresses.into_iter().map(Listener::bind).collect::<Result<_, _>>()?;
    Ok(listeners.try_into().unwrap_or_else(|_| unreachable!("one for each")))
}

/// The parts of one shard that its tasks share.
#[derive(Clone)]
struct Parts {
    index: u16,
    shard: Rc<RefCell<Shard>>,
    switch: Switch,
    edge: Rc<EdgeShard>,
    service: Rc<Service>,
    metrics: Rc<ShardMetrics>,
    stores: Stores,
    redis: Option<Client>,
    spool: Option<RedisSpool>,
    object_store: Option<ObjectStore>,
    chunk_records_max: usize,
    health: RedisHealth,
    spool_kind: SpoolKind,
    spool_bytes_max: u64,
}

impl Parts {
    fn new(index: u16, pacer: PacerHandle, common: &Common, mesh: MeshEnd<Message>) -> Self {
        let config = &common.config;
        let placement = common.placement;
        let room = spool_room(common);
        let rules = limits::shard_config(config, &room);
        let (sender, receiver) = mesh.split();
        let switch = Switch::new(index, placement.shards(), sender);
        let files = Files::new(config.data_dir.clone(), rules.segment_bytes);
        let sync = config.layers.durability == Durability::Power;
        let spool_kind = match config.layers.spool {
            Spool::Memory => SpoolKind::Memory,
            Spool::Disk => SpoolKind::Disk,
            Spool::Redis => SpoolKind::Redis,
        };
        let spool_bytes_max = match config.layers.spool {
            Spool::Redis => rules.spool_bytes_max,
            Spool::Memory | Spool::Disk => {
                rules.spool_bytes_max * placement.stores_of(index).count() as u64
            }
        };
        let chunk_records_max = rules.chunk_records_max;
        let shard = Rc::new(RefCell::new(Shard::new(rules)));
        let metrics = Rc::new(ShardMetrics::default());
        let work = WorkLog::new(index, Rc::clone(&metrics));
        let hasher = Hasher::default();
        let hash_bytes = config.memory.hash_bytes;
        let hashes = BodyHashes::new(switch.clone(), hasher.clone(), hash_bytes);
        let redis = common.redis.as_ref().map(|redis| redis.client(index));
        let spool = redis
            .clone()
            .filter(|_| config.layers.spool == Spool::Redis)
            .map(|client| RedisSpool::new(client, config.limits.upload_lifetime));
        let small =
            spool.clone().map(|spool| SmallBodies::new(spool, switch.clone(), work.clone()));
        let stores = common.stores.open(redis.as_ref());
        let bodies = Bodies::new(BodiesParts {
            switch: switch.clone(),
            files: files.clone(),
            redis: spool.clone(),
            small: small.clone(),
            work: work.clone(),
            hashes: hashes.clone(),
            sync,
        });
        let slices = Slices { files: files.clone(), bodies: bodies.clone(), redis: spool.clone() };
        let object_store = common.s3.as_ref().map(|s3| {
            let (work, metrics) = (work.clone(), Rc::clone(&metrics));
            s3.open(ObjectStoreParts { slices, work, metrics })
        });
        let performer = Performer::new(Inner {
            switch: switch.clone(),
            object_store: object_store.clone(),
            bodies,
            hashes,
            hasher,
            redis: spool.clone(),
            small,
            files,
            stores: stores.clone(),
            metadata: common.metadata.clone(),
            sync,
            chunk_records_max,
            shard: Rc::clone(&shard),
            metrics: Rc::clone(&metrics),
            work: work.clone(),
        });
        let edge = EdgeShard::new(limits::edge_config(config), pacer);
        let driver = Driver {
            shard: Rc::clone(&shard),
            switch: switch.clone(),
            mesh: receiver,
            performer,
            edge: Rc::clone(&edge),
        };
        task::spawn_local(driver.run()).detach();
        let service = Rc::new(Service {
            shard: index,
            switch: switch.clone(),
            placement,
            own_addresses: Arc::clone(&common.own_addresses),
            offer: limits::offer(config, &room),
            objects: match &common.s3 {
                Some(s3) => ObjectPlaces::S3(s3.drives.clone()),
                None => ObjectPlaces::of(config.layers.objects),
            },
            min_chunk_rate_bytes: config.limits.min_chunk_rate_bytes,
            stores: stores.clone(),
            metadata: common.metadata.clone(),
            metrics: Rc::clone(&metrics),
            work,
            generated: OnceCell::new(),
            watches: Watches::default(),
        });
        let health = RedisHealth::default();
        Self {
            index,
            shard,
            switch,
            edge,
            service,
            metrics,
            stores,
            redis,
            spool,
            object_store,
            chunk_records_max,
            health,
            spool_kind,
            spool_bytes_max,
        }
    }

    /// Has somebody look after what lies in Redis, if anything does.
    fn guard(&self, common: &Common) {
        let Some(client) = self.redis.clone() else { return };
        let stores = match &self.stores {
            Stores::Redis(stores) => Some(stores.clone()),
            Stores::Local(_) => None,
        };
        if let (StoresAccess::Redis(lease), 0) = (&common.stores, self.index) {
            let (client, process) = (client.clone(), Arc::clone(&common.process));
            task::spawn_local(redis::hold_lease(lease.clone(), client, process)).detach();
        }
        let (shard, switch) = (Rc::clone(&self.shard), self.switch.clone());
        let (health, spool) = (self.health.clone(), self.spool.clone());
        let guard = Guard { client, shard, switch, health, stores, spool };
        task::spawn_local(guard.run()).detach();
    }

    /// Has shard 0 look for what nobody goes on with in the object store, if there is one.
    fn clean_store(&self, common: &Common) {
        let Some(store) = self.object_store.clone().filter(|_| self.index == 0) else { return };
        let janitor = s3::Janitor {
            store,
            stores: self.stores.clone(),
            node: common.placement.node(),
            chunk_records_max: self.chunk_records_max,
            upload_lifetime: common.config.limits.upload_lifetime,
            aborts: common.config.s3.as_ref().is_some_and(|s3| s3.aborts_orphans),
        };
        task::spawn_background(janitor.run()).detach();
    }

    /// Gives signs of life, unused memory back, and counts how busy and how late the shard is.
    async fn look_after(self, process: Arc<Process>) {
        let busy_before = Cell::new(task::cpu_time());
        loop {
            let before_us = timer::now_us();
            process.beat(self.index, before_us / 1000);
            timer::sleep(TICK).await;
            let slept = Duration::from_micros(timer::now_us() - before_us);
            self.metrics.stalled(slept.saturating_sub(TICK));
            let busy = task::cpu_time();
            self.metrics.busy(busy.saturating_sub(busy_before.replace(busy)));
            self.edge.trim();
        }
    }

    /// Obeys orders up to the one to drain.
    async fn obey(&self, mut orders: mpsc::Receiver<Order>) {
        while let Some(order) = orders.next().await {
            match order {
                Order::Snapshot(answer) => {
                    let snapshot = self.metrics.snapshot(self.gauges(), timer::now_ms());
                    // Whoever asked may have given up.
                    drop(answer.send(snapshot));
                }
                Order::Drain => return,
            }
        }
    }

    fn gauges(&self) -> ShardGauges {
        let stats = self.shard.borrow().stats();
        let mut uploads_active = [0; Active::ALL.len()];
        for (active, state) in [
            (Active::Pending, State::Pending),
            (Active::Uploading, State::Uploading),
            (Active::Completing, State::Completing),
        ] {
            uploads_active[active as usize] = stats.uploads[state as usize] as u64;
        }
        ShardGauges {
            uploads_active,
            parked_streams: stats.parked_streams as u64,
            window_committed_bytes: self.edge.window_bytes(),
            memory_used_bytes: stats.budget_used_bytes,
            memory_limit_bytes: stats.budget_total_bytes,
            spool_used_bytes: stats.spool_used_bytes,
            spool_free_bytes: self.spool_bytes_max.saturating_sub(stats.spool_used_bytes),
            spool_kind: self.spool_kind,
            queue_chunks: stats.queue_chunks as u64,
            queue_oldest_ms: stats.queue_oldest_ms,
            redis: self.redis.as_ref().map(|_| self.health.seen().into()),
            s3: self.object_store.as_ref().map(|store| store.gauges(&self.shard.borrow())),
            direct_io_fallbacks: file::buffered_fallbacks(),
            damaged_records: if self.index == 0 { damage::times_met() } else { 0 },
        }
    }

    /// Ends what is under way. A shard stays until all are quiet: others may need its answers.
    async fn drain(&self, process: &Process) {
        self.switch.post_here(Event::Drain);
        self.edge.drain();
        let calls_until_ms = timer::now_ms() + DRAIN_CALLS_MS;
        while timer::now_ms() < calls_until_ms && !process.all_quiet() {
            let is_quiet = self.switch.in_flight() == 0 && self.edge.connections() == 0;
            process.is_quiet_now(self.index, is_quiet);
            process.beat(self.index, timer::now_ms());
            timer::sleep(DRAIN_TICK).await;
        }
        let rest_until_ms = timer::now_ms() + DRAIN_REST_MS;
        while timer::now_ms() < rest_until_ms && self.shard.borrow().in_flight() > 0 {
            timer::sleep(DRAIN_TICK).await;
        }
    }
}

/// Takes connections in, up to the limit, until it is dropped.
async fn accept(mut listener: Listener, parts: Parts, connections_max: u32) {
    loop {
        let socket = match listener.accept().await {
            Ok(socket) => socket,
            Err(error) => {
                tracing::error!(shard = parts.index, %error, "this shard accepts no more");
                return;
            }
        };
        if parts.edge.connections() < u64::from(connections_max) {
            task::spawn_local(serve_one(socket, parts.clone())).detach();
        }
    }
}

async fn serve_one(socket: Stream, parts: Parts) {
    let Ok(local) = socket.local_addr() else { return };
    let service = Rc::clone(&parts.service);
    let handler = move |request| service::serve(Rc::clone(&service), local.ip(), request);
    parts.metrics.connection_opened();
    let served = serve_connection(socket, Rc::clone(&parts.edge), handler).await;
    parts.metrics.connection_closed();
    if let Err(error) = served {
        tracing::debug!(shard = parts.index, %error, "a connection ended");
    }
}
