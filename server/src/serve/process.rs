//! What the threads of a server share: how each shard does, and the orders that it is given.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_channel::{mpsc, oneshot};

use crate::{admin::NotReady, metrics::ShardSnapshot};

/// A shard that shows no sign of life for so long is taken for dead.
pub(super) const DEAD_AFTER: Duration = Duration::from_secs(10);

/// Orders that wait for one shard.
const ORDERS_MAX: usize = 64;

/// What a shard is asked from outside.
pub(super) enum Order {
    /// All its figures.
    Snapshot(oneshot::Sender<ShardSnapshot>),
    /// Take nothing new, end what is under way, stop.
    Drain,
}

/// State of the whole process. Everything in it is read and written by any thread.
pub(super) struct Process {
    shards: Vec<ShardState>,
    stores_left: AtomicUsize,
    draining: AtomicBool,
    succeeded: AtomicBool,
}

struct ShardState {
    orders: Mutex<mpsc::Sender<Order>>,
    beat_ms: AtomicU64,
    is_serving: AtomicBool,
    is_quiet: AtomicBool,
}

impl Process {
    /// With the receiving ends of the shards' orders, in the order of the shards.
    pub(super) fn new(shards: u16, stores: u16) -> (Self, Vec<mpsc::Receiver<Order>>) {
        let (states, receivers) = (0..shards)
            .map(|_| {
                let (orders, receiver) = mpsc::channel(ORDERS_MAX);
                let state = ShardState {
                    orders: Mutex::new(orders),
                    beat_ms: AtomicU64::new(u64::MAX),
                    is_serving: AtomicBool::new(false),
                    is_quiet: AtomicBool::new(false),
                };
                (state, receiver)
            })
            .unzip();
        let stores_left = AtomicUsize::new(usize::from(stores));
        let [draining, succeeded] = [false; 2].map(AtomicBool::new);
        (Self { shards: states, stores_left, draining, succeeded }, receivers)
    }

    /// A store was read.
    pub(super) fn store_loaded(&self) {
        self.stores_left.fetch_sub(1, Ordering::Relaxed);
    }

    /// The shard is alive at this time, monotonic ms.
    pub(super) fn beat(&self, shard: u16, now_ms: u64) {
        self.shards[usize::from(shard)].beat_ms.store(now_ms, Ordering::Relaxed);
    }

    /// The shard listens.
    pub(super) fn serves(&self, shard: u16) {
        self.shards[usize::from(shard)].is_serving.store(true, Ordering::Release);
    }

    /// While draining: nothing is under way on this shard any more.
    pub(super) fn is_quiet_now(&self, shard: u16, is_quiet: bool) {
        self.shards[usize::from(shard)].is_quiet.store(is_quiet, Ordering::Release);
    }

    pub(super) fn all_quiet(&self) -> bool {
        self.shards.iter().all(|shard| shard.is_quiet.load(Ordering::Acquire))
    }

    /// Shards whose last sign of life is too old at this time, monotonic ms.
    pub(super) fn dead(&self, now_ms: u64) -> Vec<usize> {
        let limit_ms = DEAD_AFTER.as_millis() as u64;
        let is_dead = |shard: &ShardState| match shard.beat_ms.load(Ordering::Relaxed) {
            // Not begun yet.
            u64::MAX => false,
            beat_ms => now_ms.saturating_sub(beat_ms) > limit_ms,
        };
        (0..self.shards.len()).filter(|&shard| is_dead(&self.shards[shard])).collect()
    }

    /// Why no uploads are taken; empty if they are.
    pub(super) fn not_ready(&self) -> Vec<NotReady> {
        if self.draining.load(Ordering::Acquire) {
            return vec![NotReady::Draining];
        }
        let stores_left = self.stores_left.load(Ordering::Relaxed);
        let all_serve = self.shards.iter().all(|shard| shard.is_serving.load(Ordering::Acquire));
        if stores_left > 0 || !all_serve {
            return vec![NotReady::Loading { stores_left }];
        }
        Vec::new()
    }

    /// Another process runs as this node: this one ends.
    pub(super) fn succeeded(&self) {
        self.succeeded.store(true, Ordering::Release);
        self.drain();
    }

    pub(super) fn was_succeeded(&self) -> bool {
        self.succeeded.load(Ordering::Acquire)
    }

    /// Tells every shard to end. The first call alone does.
    pub(super) fn drain(&self) {
        if !self.draining.swap(true, Ordering::AcqRel) {
            for shard in 0..self.shards.len() {
                self.order(shard, Order::Drain);
            }
        }
    }

    /// The figures of all shards, in their order; `None` if one doesn't answer in time.
    pub(super) async fn snapshots(&self, within: Duration) -> Option<Vec<ShardSnapshot>> {
        let asked: Vec<_> = (0..self.shards.len())
            .map(|shard| {
                let (answer, answered) = oneshot::channel();
                self.order(shard, Order::Snapshot(answer));
                answered
            })
            .collect();
        let all = futures_util::future::try_join_all(asked);
        tokio::time::timeout(within, all).await.ok()?.ok()
    }

    fn order(&self, shard: usize, order: Order) {
        let mut orders = self.shards[shard].orders.lock().unwrap_or_else(PoisonError::into_inner);
        // A full queue is a shard that doesn't answer, which its beat tells.
        drop(orders.try_send(order));
    }
}
