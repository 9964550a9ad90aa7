//! A running server: what is opened in which order, who talks to whom, and how it ends.
//!
//! A chunk's way in is a straight line: `service` reads it off the edge, `switch` brings it to
//! its owner, `driver` feeds the rules, `perform` does what they say.

mod addresses;
mod admin_port;
mod banner;
mod bodies;
mod body_hash;
mod body_sink;
mod clock;
mod driver;
mod files;
mod hasher;
mod janitor;
mod limits;
mod perform;
mod process;
mod recovery;
mod redis;
mod s3;
mod service;
mod shard;
mod stores;
mod switch;
mod work;

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError, mpsc},
};

use sluice_io::{
    disk::{DataDirectory, Identity, OpenError},
    reactor::{
        executor::{ExecutorError, Executors},
        mesh::mesh,
        timer,
    },
    sqlite::Database,
};
use sluice_proto::{ids::StoreId, limits::CONTROL_MESSAGE_BYTES_MAX, pb};
use sluice_shard::Event;
use tokio::{
    runtime::Runtime,
    signal::unix::{Signal, SignalKind, signal},
};
use tonic_health::{ServingStatus, server::HealthReporter};

pub(crate) use self::service::random;
pub use self::{limits::TooSmall, recovery::StateError, s3::S3Unfit};
use self::{
    process::Process,
    recovery::Found,
    redis::{Owned, RedisAccess},
    s3::S3Access,
    service::{AddServices, Generated},
    shard::{Common, Seed},
    stores::{LocalStores, StoresAccess},
};
use crate::{
    admin::ServerFacts,
    config::{Config, Durability, Layer as _},
    doctor, metadata,
    placement::{Placement, STORES_DEFAULT},
};

/// Messages between two shards that wait.
const MESH_CAPACITY: usize = 1024;

/// Why a server doesn't start, or stopped.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// This machine can't run it.
    #[error("this machine isn't ready:\n{0}")]
    Machine(String),
    /// The data directory can't be used.
    #[error(transparent)]
    Directory(#[from] OpenError),
    /// It was made for fewer shards.
    #[error(
        "data directory {directory} has {stores} stores, for as many CPUs at most; {shards} were \
         given: name fewer with --cpus"
    )]
    TooManyShards {
        /// The data directory.
        directory: PathBuf,
        /// Stores that it has.
        stores: u16,
        /// Shards asked for.
        shards: u16,
    },
    /// An address can't be listened on.
    #[error("can't listen on {address}: {source}")]
    Address {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        source: std::io::Error,
    },
    /// What is recorded in the data directory can't be used.
    #[error("data directory {directory}: {source}")]
    State {
        /// The data directory.
        directory: PathBuf,
        /// What is wrong.
        source: StateError,
    },
    /// The system refused something else.
    #[error("{what}: {source}")]
    System {
        /// What was tried.
        what: &'static str,
        /// What the system says.
        source: std::io::Error,
    },
    /// Another process has taken this node's lease in Redis.
    #[error("another process runs as this node: does it have a copy of the data directory?")]
    Succeeded,
    /// The shards can't run.
    #[error(transparent)]
    Executors(#[from] ExecutorError),
}

/// Runs a server until a signal ends it.
///
/// # Errors
/// See [`ServeError`].
pub fn serve(config: Config) -> Result<(), ServeError> {
    let failures = doctor::blocking_failures(&config);
    if !failures.is_empty() {
        return Err(ServeError::Machine(doctor::table(&failures)));
    }
    let config = Arc::new(config);
    let directory = DataDirectory::open(&config.data_dir, fresh_identity())?;
    let Identity { node, stores } = directory.identity();
    let shards = config.shards();
    if shards > stores {
        let directory = config.data_dir.clone();
        return Err(ServeError::TooManyShards { directory, stores, shards });
    }
    let reserved = addresses::reserve(config.listen, shards, config.shard_port_base)
        .map_err(|(address, source)| ServeError::Address { address, source })?;
    directory.keep_state_in(config.layers.coordination.as_str())?;
    let runtime = runtime().map_err(system("starting the admin thread"))?;
    let (process, orders) = Process::new(shards, stores);
    let process = Arc::new(process);
    let facts = ServerFacts {
        node: format!("{node:016x}"),
        listen: reserved.shared.to_string(),
        endpoints: reserved.own.iter().map(ToString::to_string).collect(),
        uptime_ms: 0,
    };
    let admin_address = start_admin(&runtime, &config, Arc::clone(&process), facts)?;

    let opened = open_state(&directory, &config, &process)
        .map_err(|source| ServeError::State { directory: config.data_dir.clone(), source })?;
    let placement = Placement::new(node, shards, stores);
    let (reporter, add_services) = foreign_services(&runtime);
    let common = Common {
        config: Arc::clone(&config),
        process: Arc::clone(&process),
        placement,
        stores: opened.stores,
        redis: opened.redis,
        s3: opened.s3,
        metadata: opened.metadata,
        shared_address: reserved.shared,
        own_addresses: reserved.own.clone().into(),
        runtime: runtime.handle().clone(),
        add_services,
    };
    let seeds = seeds(&placement, orders, opened.loaded);
    // Caught from before anybody is told that it is ready.
    let signals = {
        let _in_runtime = runtime.enter();
        Signals::catch()
    };
    let signalled = runtime.spawn(end_by_signal(signals, Arc::clone(&process), reporter));
    let (listening, listens) = mpsc::channel();
    let executors = spawn(&config, common, seeds, listening)?;
    let shared_address = reserved.shared;
    for shard_listens in listens.iter().take(usize::from(shards)) {
        shard_listens.map_err(|source| ServeError::Address { address: shared_address, source })?;
    }
    drop(reserved);
    banner::print(&config, shared_address, admin_address);
    executors.join()?;
    signalled.abort();
    if process.was_succeeded() { Err(ServeError::Succeeded) } else { Ok(()) }
}

fn fresh_identity() -> Identity {
    let cpus = std::thread::available_parallelism().map_or(1, |cpus| cpus.get());
    let stores = u16::try_from(cpus).unwrap_or(u16::MAX).max(STORES_DEFAULT);
    Identity { node: u64::from_be_bytes(service::random()), stores }
}

/// For what isn't a shard's: admin pages, signals, and tasks of generated services.
fn runtime() -> std::io::Result<Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("admin")
        .enable_all()
        .build()
}

fn system(what: &'static str) -> impl FnOnce(std::io::Error) -> ServeError {
    move |source| ServeError::System { what, source }
}

fn start_admin(
    runtime: &Runtime,
    config: &Config,
    process: Arc<Process>,
    facts: ServerFacts,
) -> Result<SocketAddr, ServeError> {
    let address = config.admin_listen;
    let failed = |source| ServeError::Address { address, source };
    let listener = runtime.block_on(tokio::net::TcpListener::bind(address)).map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    let pages = admin_port::Pages { process, facts, start_ms: timer::now_ms() };
    runtime.spawn(admin_port::serve(listener, Arc::new(pages)));
    Ok(bound)
}

/// What was found in the data directory, in Redis, and of the object store.
struct Opened {
    stores: StoresAccess,
    metadata: Database,
    redis: Option<RedisAccess>,
    s3: Option<S3Access>,
    /// An event for each store.
    loaded: Vec<Event>,
}

/// Opens all databases, which starts their threads, and reads all uploads.
fn open_state(
    directory: &DataDirectory,
    config: &Config,
    process: &Arc<Process>,
) -> Result<Opened, StateError> {
    let durability = match config.layers.durability {
        Durability::Process => sluice_io::sqlite::Durability::Process,
        Durability::Power => sluice_io::sqlite::Durability::Power,
    };
    let metadata =
        Database::open(&directory.shared_database(), metadata::migrations(), durability)?;
    let Identity { node, stores: stores_max } = directory.identity();
    limits::check(config, stores_max, None)?;
    let root = directory.root();
    let (spool, objects) = (config.layers.spool, config.layers.objects);
    // Before a lease is taken, which nobody renews until all is open.
    let s3 = match &config.s3 {
        Some(settings) => Some(s3::begin(config, settings, &metadata, node)?),
        None => None,
    };
    let (redis, owned) = match &config.redis {
        Some(settings) => {
            let (redis, owned) = redis::begin(directory, config, settings, process)?;
            (Some(redis), owned)
        }
        None => (None, None),
    };
    limits::check(config, stores_max, redis.as_ref().and_then(RedisAccess::room_bytes))?;
    let found = Found { root, metadata: &metadata, stores: stores_max, spool, objects };
    if let Some(Owned { lease, mut uploads }) = owned {
        let loaded = recovery::take_up(found, |store| {
            Ok(std::mem::take(&mut uploads[usize::from(store.0)]))
        })?;
        return Ok(Opened { stores: StoresAccess::Redis(lease), metadata, redis, s3, loaded });
    }
    let stores = LocalStores::open(directory, durability)?;
    let loaded = recovery::take_up(found, |store| {
        let uploads = stores.load_open(store)?;
        process.store_loaded();
        Ok(uploads)
    })?;
    Ok(Opened { stores: StoresAccess::Local(stores), metadata, redis, s3, loaded })
}

/// What health is told of: the server as a whole, and each service of the contract.
const HEALTH_SERVICES: [&str; 4] = [
    "",
    "sluice.upload.v1.UploadService",
    "sluice.upload.v1.NodeService",
    "sluice.upload.v1.DriveService",
];

/// Health and reflection, and who tells health how the server is.
fn foreign_services(runtime: &Runtime) -> (HealthReporter, AddServices) {
    let (reporter, health) = tonic_health::server::health_reporter();
    runtime.block_on(async {
        for service in HEALTH_SERVICES {
            reporter.set_service_status(service, ServingStatus::Serving).await;
        }
    });
    let max = CONTROL_MESSAGE_BYTES_MAX;
    let health = health.max_decoding_message_size(max);
    let valid = "the descriptors are made by the build";
    let v1 = reflection().build_v1().expect(valid).max_decoding_message_size(max);
    let v1alpha = reflection().build_v1alpha().expect(valid).max_decoding_message_size(max);
    let add = move |generated: &mut Generated| {
        generated.add(health.clone());
        generated.add(v1.clone());
        generated.add(v1alpha.clone());
    };
    (reporter, Arc::new(add))
}

/// Tells of all that is served, itself included.
fn reflection() -> tonic_reflection::server::Builder<'static> {
    tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(pb::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET)
        .with_service_name("sluice.upload.v1.UploadService")
        .with_service_name("sluice.upload.v1.NodeService")
        .with_service_name("sluice.upload.v1.DriveService")
        .with_service_name("grpc.health.v1.Health")
        .with_service_name("grpc.reflection.v1.ServerReflection")
        .with_service_name("grpc.reflection.v1alpha.ServerReflection")
}

/// One for each shard, in their order.
fn seeds(
    placement: &Placement,
    orders: Vec<futures_channel::mpsc::Receiver<process::Order>>,
    loaded: Vec<Event>,
) -> Vec<Option<Seed>> {
    let mut by_shard: Vec<Vec<Event>> = orders.iter().map(|_| Vec::new()).collect();
    for (store, event) in (0..).map(StoreId).zip(loaded) {
        by_shard[usize::from(placement.shard_of(store))].push(event);
    }
    let meshes = mesh(orders.len(), MESH_CAPACITY);
    let parts = meshes.into_iter().zip(orders).zip(by_shard);
    parts.map(|((mesh, orders), loaded)| Some(Seed { mesh, orders, loaded })).collect()
}

/// Starts the executors. Each tells by `listening` that it does, or why it can't.
fn spawn(
    config: &Config,
    common: Common,
    seeds: Vec<Option<Seed>>,
    listening: mpsc::Sender<std::io::Result<()>>,
) -> Result<Executors, ServeError> {
    let seeds = Arc::new(Mutex::new(seeds));
    let executors = Executors::spawn(&config.cpus, move |index, pacer| {
        let seed = seeds.lock().unwrap_or_else(PoisonError::into_inner)[index].take();
        let seed = seed.expect("each shard is started once");
        shard::run(index as u16, pacer, common.clone(), seed, listening.clone())
    })?;
    Ok(executors)
}

/// What asks the process to end.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Catches them; `None` where they can't be. Inside a runtime.
    fn catch() -> Option<Self> {
        let caught = signal(SignalKind::terminate()).and_then(|terminate| {
            signal(SignalKind::interrupt()).map(|interrupt| Self { terminate, interrupt })
        });
        if let Err(error) = &caught {
            tracing::error!(%error, "signals can't be caught: a SIGTERM ends this process at once");
        }
        caught.ok()
    }
}

/// The first signal drains; a second one doesn't wait.
async fn end_by_signal(
    signals: Option<Signals>,
    process: Arc<Process>,
    mut reporter: HealthReporter,
) {
    let Some(Signals { mut terminate, mut interrupt }) = signals else { return };
    let mut is_first = true;
    loop {
        futures_lite::future::or(terminate.recv(), interrupt.recv()).await;
        if !is_first {
            std::process::exit(1);
        }
        is_first = false;
        for service in HEALTH_SERVICES {
            reporter.set_service_status(service, ServingStatus::NotServing).await;
            // Ends the calls that watch it, which would hold up the drain.
            reporter.clear_service_status(service).await;
        }
        process.drain();
    }
}
