//! An edge on one executor whose inside can be seen, and a client that says anything.
#![allow(dead_code, reason = "each test uses its part")]

pub mod raw;

use std::{
    net::SocketAddr,
    rc::Rc,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
        mpsc,
    },
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Response};
use sluice_io::{
    edge::{
        Cut,
        connection::{EdgeConfig, EdgeShard, serve_connection},
        credit::CreditLimits,
        pool::PoolLimits,
        request::EdgeRequest,
    },
    reactor::{executor::Executors, net::Listener, task, timer},
};
use sluice_proto::checksum::Crc32c;

pub const FLOOR_BYTES: u64 = 65_535;

pub fn config() -> EdgeConfig {
    EdgeConfig {
        pool: PoolLimits { block_bytes: 1 << 20, blocks_kept: 4, blocks_max: 80 },
        credit: CreditLimits {
            window_budget_bytes: 64 << 20,
            parked_reserve_bytes: 1 << 20,
            connection_ceiling_bytes: 32 << 20,
            stream_ceiling_bytes: 16 << 20,
        },
        max_frame_bytes: 1 << 20,
        streams_max: 256,
        calls_max: 4_096,
        header_list_bytes_max: 16 << 10,
        drain_bytes_max: 1 << 20,
        drain_ms_max: 5_000,
        keepalive_ms: 30_000,
        reply_ms_max: 30_000,
    }
}

/// What an edge is seen to do.
#[derive(Default)]
pub struct Seen {
    pub window_bytes: AtomicU64,
    pub window_bytes_max: AtomicU64,
    pub parked_bytes: AtomicU64,
    pub pool_bytes: AtomicU64,
    pub connections: AtomicU64,
    /// Handlers that run.
    pub serving: AtomicU64,
    pub cut_by_reset: AtomicU64,
    pub cut_by_disconnect: AtomicU64,
    /// Bytes that "/hold" and "/park" read, and 1 for each parked one.
    pub held_bytes: AtomicU64,
    /// "/hold" gives back and "/park" goes on.
    pub go: AtomicBool,
    /// Why connections ended, if not well.
    pub errors: Mutex<Vec<String>>,
}

pub struct Edge {
    pub address: SocketAddr,
    pub seen: Arc<Seen>,
}

impl Edge {
    /// Serves until the process ends. Blocks beyond the kept ones go after 100 ms.
    pub fn start(config: EdgeConfig) -> Edge {
        let (told, address) = mpsc::channel();
        let seen = Arc::new(Seen::default());
        let shared = Arc::clone(&seen);
        std::thread::spawn(move || {
            let executors = Executors::spawn(&[0], move |_, pacer| {
                let (told, seen, config) = (told.clone(), Arc::clone(&shared), config.clone());
                async move {
                    let shard = EdgeShard::new(config, pacer);
                    shard.keep_spare_ms(100);
                    task::spawn_local(watch(Rc::clone(&shard), Arc::clone(&seen))).detach();
                    let mut listener = Listener::bind(([127, 0, 0, 1], 0).into()).unwrap();
                    told.send(listener.local_addr().unwrap()).unwrap();
                    loop {
                        let socket = listener.accept().await.unwrap();
                        let (handler, ends) = (Arc::clone(&seen), Arc::clone(&seen));
                        let served = serve_connection(socket, Rc::clone(&shard), move |request| {
                            serve(request, Arc::clone(&handler))
                        });
                        task::spawn_local(async move {
                            if let Err(error) = served.await {
                                // Shown when the test fails.
                                eprintln!("a connection ended: {error:?}");
                                ends.errors.lock().unwrap().push(error.to_string());
                            }
                        })
                        .detach();
                    }
                }
            });
            executors.unwrap().join().unwrap();
        });
        Edge { address: address.recv().unwrap(), seen }
    }

    /// No connection, stream, window or spare memory is left.
    pub fn is_empty(&self, kept_bytes: u64) -> bool {
        let zero = |count: &AtomicU64| count.load(SeqCst) == 0;
        let seen = &self.seen;
        zero(&seen.connections)
            && zero(&seen.window_bytes)
            && zero(&seen.parked_bytes)
            && zero(&seen.serving)
            && seen.pool_bytes.load(SeqCst) <= kept_bytes
    }

    /// Waits until nothing is left.
    pub fn until_empty(&self) {
        self.until_empty_but(4 << 20);
    }

    /// Waits until nothing is left but what the pool keeps.
    pub fn until_empty_but(&self, kept_bytes: u64) {
        eventually("the edge is empty", || self.is_empty(kept_bytes));
    }
}

async fn watch(shard: Rc<EdgeShard>, seen: Arc<Seen>) {
    loop {
        shard.trim();
        seen.window_bytes.store(shard.window_bytes(), SeqCst);
        seen.window_bytes_max.fetch_max(shard.window_bytes(), SeqCst);
        seen.parked_bytes.store(shard.parked_bytes(), SeqCst);
        seen.pool_bytes.store(shard.pool_bytes() as u64, SeqCst);
        seen.connections.store(shard.connections(), SeqCst);
        timer::sleep(Duration::from_millis(2)).await;
    }
}

async fn serve(mut request: EdgeRequest, seen: Arc<Seen>) {
    seen.serving.fetch_add(1, SeqCst);
    let length = request.head.headers.get("x-bytes");
    let length = length.map_or(0, |value| value.to_str().unwrap().parse().unwrap());
    let path = request.head.uri.path().to_owned();
    let answer = match path.as_str() {
        "/refuse" => None,
        // Short, and asks for no window.
        "/status" => sum_after(&mut request, Held::default()).await,
        "/give-up" => give_up(&mut request, &seen, length).await,
        "/hold" => hold(&mut request, &seen, length).await,
        "/park" => park(&mut request, &seen, length).await,
        _ => sum(&mut request, length).await,
    };
    match answer {
        Some(Ok(sum)) => answer_with(&mut request, &sum.to_be_bytes()).await,
        Some(Err(Cut::Reset)) => drop(seen.cut_by_reset.fetch_add(1, SeqCst)),
        Some(Err(Cut::Disconnected)) => drop(seen.cut_by_disconnect.fetch_add(1, SeqCst)),
        None => {
            let head = Response::builder().status(429).body(()).unwrap();
            drop(request.reply.head(head, true));
        }
    }
    drop(request);
    seen.serving.fetch_sub(1, SeqCst);
}

async fn answer_with(request: &mut EdgeRequest, bytes: &[u8]) {
    // The client may be gone, which is its business.
    if request.reply.head(Response::new(()), false).is_ok()
        && request.reply.send(Bytes::copy_from_slice(bytes)).await.is_ok()
    {
        drop(request.reply.finish(HeaderMap::new()));
    }
}

/// The sum of what comes, given back as it comes; `None` if it is refused.
async fn sum(request: &mut EdgeRequest, length: u64) -> Option<Result<u32, Cut>> {
    request.body.grant(length).ok()?;
    sum_after(request, Held::default()).await
}

async fn sum_after(request: &mut EdgeRequest, held: Held) -> Option<Result<u32, Cut>> {
    let mut sum = Crc32c::new();
    for piece in &held.0 {
        sum.update(piece);
        request.body.release(piece.len());
    }
    drop(held);
    while let Some(piece) = request.body.next().await {
        match piece {
            Ok(piece) => {
                sum.update(&piece);
                request.body.release(piece.len());
            }
            Err(cut) => return Some(Err(cut)),
        }
    }
    Some(Ok(sum.value()))
}

/// Asks for window, and refuses when it is told to.
async fn give_up(request: &mut EdgeRequest, seen: &Seen, length: u64) -> Option<Result<u32, Cut>> {
    request.body.grant(length).ok()?;
    while !seen.go.load(SeqCst) {
        timer::sleep(Duration::from_millis(1)).await;
    }
    None
}

/// Reads all that comes and gives nothing back before it is told to.
async fn hold(request: &mut EdgeRequest, seen: &Seen, length: u64) -> Option<Result<u32, Cut>> {
    request.body.grant(length).ok()?;
    let mut held = Held::default();
    if let Err(cut) = held.read(request, seen).await {
        return Some(Err(cut));
    }
    sum_after(request, held).await
}

/// Waits for admission until it is told to go on.
async fn park(request: &mut EdgeRequest, seen: &Seen, length: u64) -> Option<Result<u32, Cut>> {
    request.body.park().ok()?;
    seen.held_bytes.fetch_add(1, SeqCst);
    let mut held = Held::default();
    if let Err(cut) = held.read(request, seen).await {
        return Some(Err(cut));
    }
    request.body.grant(length - held.bytes()).ok()?;
    sum_after(request, held).await
}

/// Pieces that are kept in memory.
#[derive(Default)]
struct Held(Vec<Bytes>);

impl Held {
    fn bytes(&self) -> u64 {
        self.0.iter().map(|piece| piece.len() as u64).sum()
    }

    /// Reads until it is told to go on.
    async fn read(&mut self, request: &mut EdgeRequest, seen: &Seen) -> Result<(), Cut> {
        while !seen.go.load(SeqCst) {
            match timer::deadline(request.body.next(), Duration::from_millis(1)).await {
                Ok(Some(Ok(piece))) => {
                    seen.held_bytes.fetch_add(piece.len() as u64, SeqCst);
                    self.0.push(piece);
                }
                Ok(Some(Err(cut))) => {
                    request.body.release(self.bytes() as usize);
                    return Err(cut);
                }
                Ok(None) => timer::sleep(Duration::from_millis(1)).await,
                Err(_elapsed) => {}
            }
        }
        Ok(())
    }
}

/// Waits until `holds`; fails after 60 s, which is far longer than anything here takes.
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let until_ms = timer::now_ms() + 60_000;
    while !holds() {
        assert!(timer::now_ms() < until_ms, "never seen: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Bytes that differ from place to place and from seed to seed.
pub fn pattern(seed: usize, bytes: usize) -> Vec<u8> {
    (0..bytes).map(|n| (n * 31 + n / 251 + seed * 7) as u8).collect()
}
