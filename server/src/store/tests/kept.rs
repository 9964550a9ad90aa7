//! A store of each kind, empty, as tests use it.

use std::{
    cell::RefCell,
    collections::HashMap,
    rc::Rc,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    time::Duration,
};

use futures_channel::mpsc as jobs;
use futures_util::{FutureExt as _, StreamExt as _, future::LocalBoxFuture};
use rusqlite::Connection;
use sluice_io::{
    reactor::executor::Executors,
    redis::{Client, RedisUrl, Settings},
};
use sluice_proto::ids::UploadId;
use sluice_shard::record::{StoredUpload, Transition};
use sluice_test_servers::{Redis, RedisOptions};

use super::{NODE, STORE};
use crate::store::{
    Filter, LiveUploads, Loaded, Room, Stretch,
    local::{self, Fence},
    redis::{Lease, RedisStores, Renewed},
};

/// When all uploads of these tests expire, Unix ms: nothing may go before its time.
const EXPIRE_MS: u64 = 1 << 42;
const WITHIN: Duration = Duration::from_secs(60);

/// A store, as a process that began with it has it.
pub(super) enum Kept {
    Local(Rc<Connection>, Fence),
    Redis(RedisKept),
}

impl Kept {
    /// One of each kind.
    pub(super) fn empty() -> [Self; 2] {
        let (conn, fence) = local();
        [Self::Local(Rc::new(conn), fence), Self::Redis(RedisKept::empty())]
    }

    /// The same store, as the next process has it.
    pub(super) fn succeed(&self) -> Self {
        match self {
            Self::Local(conn, _) => {
                Self::Local(Rc::clone(conn), local::take_fence(conn, NODE).unwrap())
            }
            Self::Redis(kept) => Self::Redis(kept.succeed()),
        }
    }

    pub(super) fn take_steps(
        &self,
        upload_id: UploadId,
        first_rev: u64,
        wall_ms: u64,
        steps: &[Transition],
    ) -> Result<(), String> {
        match self {
            Self::Local(conn, fence) => {
                local::take_steps(conn, *fence, &upload_id, first_rev, wall_ms, steps)
                    .map_err(|error| error.to_string())
            }
            Self::Redis(kept) => {
                let steps = steps.to_vec();
                kept.ask(async move |stores| {
                    let taken = stores.take_steps(upload_id, first_rev, wall_ms, EXPIRE_MS, &steps);
                    taken.await.map_err(|error| error.to_string())
                })
            }
        }
    }

    pub(super) fn load_open(&self) -> Vec<StoredUpload> {
        let LiveUploads { uploads, damaged } = self.load_all();
        assert_eq!(damaged, []);
        uploads
    }

    pub(super) fn load_all(&self) -> LiveUploads {
        match self {
            Self::Local(conn, _) => local::load_open(conn).unwrap(),
            Self::Redis(kept) => {
                kept.ask(async |stores| stores.load_open(STORE, EXPIRE_MS).await.unwrap())
            }
        }
    }

    pub(super) fn load_one(&self, upload_id: UploadId, chunks_max: usize) -> Loaded {
        match self {
            Self::Local(conn, _) => local::load_one(conn, &upload_id, chunks_max).unwrap(),
            Self::Redis(kept) => {
                kept.ask(async move |stores| stores.load_one(upload_id, chunks_max).await.unwrap())
            }
        }
    }

    pub(super) fn list(&self, filter: &Filter, after: i64, room: Room) -> Stretch {
        match self {
            Self::Local(conn, _) => local::list(conn, filter, after, room).unwrap(),
            Self::Redis(kept) => {
                let filter = filter.clone();
                kept.ask(async move |stores| {
                    stores.list(STORE, &filter, after, room).await.unwrap()
                })
            }
        }
    }

    pub(super) fn forget_ended(&self, before_ms: u64, rows_max: u32) -> bool {
        match self {
            Self::Local(conn, fence) => {
                local::forget_ended(conn, *fence, before_ms, rows_max).unwrap()
            }
            Self::Redis(kept) => kept.ask(async move |stores| {
                stores.forget_ended(STORE, before_ms, rows_max).await.unwrap()
            }),
        }
    }

    /// Writes over where an upload's node stands.
    pub(super) fn set_node(&self, upload_id: UploadId, text: &str) {
        match self {
            Self::Local(conn, _) => {
                let set = "UPDATE uploads SET node_id = ?2 WHERE upload_id = ?1";
                assert_eq!(conn.execute(set, [upload_id.to_string().as_str(), text]).unwrap(), 1);
            }
            Self::Redis(kept) => {
                let key = format!("upload:{{{upload_id}}}:metadata");
                assert_eq!(kept.redis.ask(&["hset", &key, "node_id", text]), "0");
            }
        }
    }

    /// Chunk records of all uploads.
    pub(super) fn chunk_records(&self) -> usize {
        match self {
            Self::Local(conn, _) => {
                let count = "SELECT count(*) FROM chunks";
                conn.query_row(count, (), |row| row.get::<_, i64>(0)).unwrap() as usize
            }
            Self::Redis(kept) => {
                let keys = kept.redis.ask(&["keys", "upload:*:chunks"]);
                keys.lines().filter(|key| !key.is_empty()).count()
            }
        }
    }
}

pub(super) fn local() -> (Connection, Fence) {
    let conn = Connection::open_in_memory().unwrap();
    local::migrations().iter().for_each(|migration| conn.execute_batch(migration).unwrap());
    let fence = local::take_fence(&conn, NODE).unwrap();
    (conn, fence)
}

type Job = Box<dyn FnOnce(Client) -> LocalBoxFuture<'static, ()> + Send>;

/// Stores in a Redis of the test's own thread.
pub(super) struct RedisKept {
    pub(super) redis: Rc<Redis>,
    jobs: jobs::UnboundedSender<Job>,
    lease: Lease,
}

thread_local! {
    // A test has its thread, and empties what it finds.
    static REDIS: RefCell<Option<(Rc<Redis>, jobs::UnboundedSender<Job>)>> = const { RefCell::new(None) };
}

impl RedisKept {
    pub(super) fn empty() -> Self {
        let (redis, jobs) =
            REDIS.with_borrow_mut(|started| started.get_or_insert_with(start).clone());
        redis.ask(&["flushall"]);
        Self::begin(redis, jobs)
    }

    /// The same, as the next process has them.
    pub(super) fn succeed(&self) -> Self {
        Self::begin(Rc::clone(&self.redis), self.jobs.clone())
    }

    /// Tries to hold on to the node.
    pub(super) fn renew(&self) -> Renewed {
        let lease = self.lease.clone();
        ask(&self.jobs, async move |client| lease.renew(&client).await.unwrap())
    }

    /// As if its lease hadn't been renewed in time.
    pub(super) fn lapse(&self) {
        self.lease.lapse();
    }

    fn begin(redis: Rc<Redis>, jobs: jobs::UnboundedSender<Job>) -> Self {
        let token = token();
        let lease =
            ask(&jobs, async move |client| Lease::take(&client, NODE, token, 1).await.unwrap());
        Self { redis, jobs, lease }
    }

    /// Runs on the executor that has the connection.
    pub(super) fn ask<T: Send + 'static>(
        &self,
        job: impl AsyncFnOnce(RedisStores) -> T + Send + 'static,
    ) -> T {
        let lease = self.lease.clone();
        ask(&self.jobs, async move |client| job(stores(client, lease)).await)
    }
}

/// Those of a process, which stay for as long as it runs.
fn stores(client: Client, lease: Lease) -> RedisStores {
    thread_local! {
        static STORES: RefCell<HashMap<u64, RedisStores>> = RefCell::default();
    }
    STORES.with_borrow_mut(|all| {
        let token = lease.fence().token;
        all.entry(token).or_insert_with(|| RedisStores::new(client, lease)).clone()
    })
}

fn token() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(0);
    LAST.fetch_add(1, Ordering::Relaxed)
}

fn ask<T: Send + 'static>(
    jobs: &jobs::UnboundedSender<Job>,
    job: impl AsyncFnOnce(Client) -> T + Send + 'static,
) -> T {
    let (tell, told) = mpsc::channel();
    let job = move |client| async move { tell.send(job(client).await).unwrap() }.boxed_local();
    jobs.unbounded_send(Box::new(job)).unwrap();
    told.recv().expect("the job ended")
}

/// A Redis, and an executor that runs jobs with a client of it until nobody has any more.
fn start() -> (Rc<Redis>, jobs::UnboundedSender<Job>) {
    let redis = Rc::new(Redis::start(RedisOptions::default()));
    let (sender, receiver) = jobs::unbounded::<Job>();
    let receiver = Arc::new(Mutex::new(Some(receiver)));
    let url = RedisUrl::parse(&redis.url()).unwrap();
    let settings = Settings { url, tls: None, client_name: "test".to_owned(), within: WITHIN };
    let executors = Executors::spawn(&[0], move |_, pacer| {
        let receiver = receiver.lock().unwrap().take();
        let settings = settings.clone();
        async move {
            let _busy = pacer.begin();
            let client = Client::new(settings);
            client.connect().await.unwrap();
            let mut receiver = receiver.expect("there is one executor");
            while let Some(job) = receiver.next().await {
                job(client.clone()).await;
            }
        }
    });
    // It ends with the last sender; nobody waits for that.
    std::mem::forget(executors.unwrap());
    (redis, sender)
}
