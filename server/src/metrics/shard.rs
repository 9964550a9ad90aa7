//! What one shard counts. It stays on its thread; a scrape takes a [`ShardSnapshot`] of it.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use sluice_proto::error::Reason;

use crate::metrics::distribution::Distribution;
use crate::metrics::gauges::{ShardGauges, sum};
use crate::metrics::labels::{ChunkResult, End, Level, Method, RpcCode, Stage, Work, WorkOutcome};
use crate::metrics::rate::Rate;

const REASONS: usize = Reason::ALL.len();

/// Counters and histograms of one shard, shared by its tasks.
#[derive(Debug)]
pub struct ShardMetrics {
    in_flight: [Cell<u64>; Method::COUNT],
    connections: Cell<u64>,
    received_bytes: Cell<u64>,
    chunks: [Cell<u64>; ChunkResult::COUNT],
    chunks_misrouted: Cell<u64>,
    refusals: [Cell<u64>; REASONS],
    integrity_failures: [Cell<u64>; Stage::COUNT],
    retries: [Cell<u64>; Work::COUNT],
    abort_failures: Cell<u64>,
    orphans_found: Cell<u64>,
    busy_us: Cell<u64>,
    recorded: RefCell<Recorded>,
}

/// What takes more than a cell.
#[derive(Debug, Clone)]
pub(crate) struct Recorded {
    /// By method and code; made when first needed, as most never are.
    pub rpc: Vec<Option<Box<Distribution>>>,
    pub rates: [Rate; Method::COUNT],
    /// By work and outcome; made when first needed.
    pub work: Vec<Option<Box<Distribution>>>,
    pub chunk_size: Distribution,
    pub chunk_ack: [Distribution; Level::COUNT],
    pub upload_duration: [Distribution; End::COUNT],
    pub stall: Distribution,
}

/// All figures of one shard at one time. Plain data, to be sent to whoever renders it.
#[derive(Debug, Clone)]
pub struct ShardSnapshot {
    /// What was looked at.
    pub gauges: ShardGauges,
    pub(crate) in_flight: [u64; Method::COUNT],
    pub(crate) connections: u64,
    pub(crate) received_bytes: u64,
    pub(crate) chunks: [u64; ChunkResult::COUNT],
    pub(crate) chunks_misrouted: u64,
    pub(crate) refusals: [u64; REASONS],
    pub(crate) integrity_failures: [u64; Stage::COUNT],
    pub(crate) retries: [u64; Work::COUNT],
    pub(crate) abort_failures: u64,
    pub(crate) orphans_found: u64,
    pub(crate) busy_us: u64,
    pub(crate) calls_per_second: [f64; Method::COUNT],
    pub(crate) recorded: Recorded,
}

impl Default for ShardMetrics {
    fn default() -> Self {
        Self {
            in_flight: Default::default(),
            connections: Cell::new(0),
            received_bytes: Cell::new(0),
            chunks: Default::default(),
            chunks_misrouted: Cell::new(0),
            refusals: std::array::from_fn(|_| Cell::new(0)),
            integrity_failures: Default::default(),
            retries: Default::default(),
            abort_failures: Cell::new(0),
            orphans_found: Cell::new(0),
            busy_us: Cell::new(0),
            recorded: RefCell::new(Recorded::new()),
        }
    }
}

impl ShardMetrics {
    /// A call has begun; each must be ended by [`ShardMetrics::rpc_ended`].
    pub fn rpc_began(&self, method: Method) {
        add(&self.in_flight[method as usize], 1);
    }

    /// A call has ended after `duration`, at `now_ms` of a clock that doesn't go back.
    pub fn rpc_ended(&self, method: Method, code: RpcCode, duration: Duration, now_ms: u64) {
        let in_flight = &self.in_flight[method as usize];
        in_flight.set(in_flight.get().saturating_sub(1));
        let mut recorded = self.recorded.borrow_mut();
        record_in(&mut recorded.rpc[rpc_slot(method, code)], duration);
        recorded.rates[method as usize].count(now_ms);
    }

    /// A connection was let in.
    pub fn connection_opened(&self) {
        add(&self.connections, 1);
    }

    /// A connection that was let in is gone.
    pub fn connection_closed(&self) {
        self.connections.set(self.connections.get().saturating_sub(1));
    }

    /// Bytes of chunks have come, whatever becomes of them.
    pub fn received(&self, bytes: u64) {
        add(&self.received_bytes, bytes);
    }

    /// A chunk of `bytes` has ended.
    pub fn chunk_ended(&self, result: ChunkResult, bytes: u64) {
        add(&self.chunks[result as usize], 1);
        if result == ChunkResult::Accepted {
            self.recorded.borrow_mut().chunk_size.record(bytes);
        }
    }

    /// A chunk was acknowledged at `level`, `duration` after its header came.
    pub fn chunk_acked(&self, level: Level, duration: Duration) {
        self.recorded.borrow_mut().chunk_ack[level as usize].record_duration(duration);
    }

    /// A chunk came to another shard than its owner.
    pub fn chunk_misrouted(&self) {
        add(&self.chunks_misrouted, 1);
    }

    /// A call or chunk was refused.
    pub fn refused(&self, reason: Reason) {
        add(&self.refusals[reason as usize], 1);
    }

    /// Bytes differ from what was declared.
    pub fn integrity_failed(&self, stage: Stage) {
        add(&self.integrity_failures[stage as usize], 1);
    }

    /// A backend has ended a piece of work after `duration`.
    pub fn worked(&self, work: Work, outcome: WorkOutcome, duration: Duration) {
        record_in(&mut self.recorded.borrow_mut().work[work_slot(work, outcome)], duration);
    }

    /// What a backend refused is asked of it again.
    pub fn retried(&self, work: Work) {
        add(&self.retries[work as usize], 1);
    }

    /// A multipart upload that has to go is still there.
    pub fn abort_failed(&self) {
        add(&self.abort_failures, 1);
    }

    /// A multipart upload was found that nobody goes on with.
    pub fn orphan_found(&self) {
        add(&self.orphans_found, 1);
    }

    /// An upload has ended, `duration` after it was initiated.
    pub fn upload_ended(&self, end: End, duration: Duration) {
        self.recorded.borrow_mut().upload_duration[end as usize].record_duration(duration);
    }

    /// The driver was busy for so long.
    pub fn busy(&self, duration: Duration) {
        add(&self.busy_us, u64::try_from(duration.as_micros()).unwrap_or(u64::MAX));
    }

    /// Something ran that much later than it should have.
    pub fn stalled(&self, duration: Duration) {
        self.recorded.borrow_mut().stall.record_duration(duration);
    }

    /// All figures now. Copies the histograms: some hundred KB.
    pub fn snapshot(&self, gauges: ShardGauges, now_ms: u64) -> ShardSnapshot {
        let recorded = self.recorded.borrow().clone();
        ShardSnapshot {
            gauges,
            in_flight: read(&self.in_flight),
            connections: self.connections.get(),
            received_bytes: self.received_bytes.get(),
            chunks: read(&self.chunks),
            chunks_misrouted: self.chunks_misrouted.get(),
            refusals: read(&self.refusals),
            integrity_failures: read(&self.integrity_failures),
            retries: read(&self.retries),
            abort_failures: self.abort_failures.get(),
            orphans_found: self.orphans_found.get(),
            busy_us: self.busy_us.get(),
            calls_per_second: std::array::from_fn(|method| {
                recorded.rates[method].per_second(now_ms)
            }),
            recorded,
        }
    }
}

impl Recorded {
    fn new() -> Self {
        let durations = |_| Distribution::of_durations();
        Self {
            rpc: vec![None; Method::COUNT * RpcCode::COUNT],
            rates: Default::default(),
            work: vec![None; Work::COUNT * WorkOutcome::COUNT],
            chunk_size: Distribution::of_sizes(),
            chunk_ack: std::array::from_fn(durations),
            upload_duration: std::array::from_fn(durations),
            stall: Distribution::of_durations(),
        }
    }

    fn merge(&mut self, other: &Self) {
        let rpc = self.rpc.iter_mut().zip(&other.rpc);
        for (slot, other) in rpc.chain(self.work.iter_mut().zip(&other.work)) {
            match (slot, other) {
                (Some(mine), Some(other)) => mine.merge(other),
                (slot @ None, Some(other)) => *slot = Some(other.clone()),
                (_, None) => {}
            }
        }
        let pairs = self.chunk_ack.iter_mut().zip(&other.chunk_ack);
        let pairs = pairs.chain(self.upload_duration.iter_mut().zip(&other.upload_duration));
        pairs.for_each(|(mine, other)| mine.merge(other));
        self.chunk_size.merge(&other.chunk_size);
        self.stall.merge(&other.stall);
    }
}

impl ShardSnapshot {
    /// The sum of all shards' figures. The rates' own rings are not summed, their results are.
    ///
    /// # Panics
    /// When there is no shard.
    pub(crate) fn total(shards: &[Self]) -> Self {
        let (first, rest) = shards.split_first().expect("a process has at least one shard");
        let mut total = first.clone();
        for shard in rest {
            total.add(shard);
        }
        total
    }

    /// All ended calls of a method together, and how many were OK; `None` if there were none.
    pub(crate) fn calls(&self, method: Method) -> Option<(Distribution, u64)> {
        let by_code = RpcCode::ALL.iter().filter_map(|&code| self.rpc(method, code));
        let all = by_code.fold(None, |all: Option<Distribution>, next| match all {
            None => Some(next.clone()),
            Some(mut all) => {
                all.merge(next);
                Some(all)
            }
        })?;
        Some((all, self.rpc(method, RpcCode::Ok).map_or(0, Distribution::count)))
    }

    pub(super) fn rpc(&self, method: Method, code: RpcCode) -> Option<&Distribution> {
        self.recorded.rpc[rpc_slot(method, code)].as_deref()
    }

    pub(super) fn work(&self, work: Work, outcome: WorkOutcome) -> Option<&Distribution> {
        self.recorded.work[work_slot(work, outcome)].as_deref()
    }

    fn add(&mut self, other: &Self) {
        sum(&mut self.in_flight, &other.in_flight);
        sum(&mut self.chunks, &other.chunks);
        sum(&mut self.refusals, &other.refusals);
        sum(&mut self.integrity_failures, &other.integrity_failures);
        sum(&mut self.retries, &other.retries);
        self.abort_failures += other.abort_failures;
        self.orphans_found += other.orphans_found;
        self.connections += other.connections;
        self.received_bytes += other.received_bytes;
        self.chunks_misrouted += other.chunks_misrouted;
        self.busy_us += other.busy_us;
        for (mine, other) in self.calls_per_second.iter_mut().zip(&other.calls_per_second) {
            *mine += other;
        }
        self.gauges.add(&other.gauges);
        self.recorded.merge(&other.recorded);
    }
}

fn rpc_slot(method: Method, code: RpcCode) -> usize {
    method as usize * RpcCode::COUNT + code as usize
}

fn work_slot(work: Work, outcome: WorkOutcome) -> usize {
    work as usize * WorkOutcome::COUNT + outcome as usize
}

fn record_in(slot: &mut Option<Box<Distribution>>, duration: Duration) {
    let distribution = slot.get_or_insert_with(|| Box::new(Distribution::of_durations()));
    distribution.record_duration(duration);
}

fn add(cell: &Cell<u64>, more: u64) {
    cell.set(cell.get().saturating_add(more));
}

fn read<const N: usize>(cells: &[Cell<u64>; N]) -> [u64; N] {
    std::array::from_fn(|index| cells[index].get())
}
