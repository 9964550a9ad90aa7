//! What isn't counted but looked at when asked, of each shard.

use crate::metrics::labels::{Active, SpoolKind};

/// What is not counted but looked at when asked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ShardGauges {
    /// Uploads that have not ended, by [`Active`].
    pub uploads_active: [u64; Active::COUNT],
    /// Streams that wait for admission.
    pub parked_streams: u64,
    /// Bytes inside open windows, and held from them.
    pub window_committed_bytes: u64,
    /// Memory granted to chunks.
    pub memory_used_bytes: u64,
    /// Memory that chunks may have.
    pub memory_limit_bytes: u64,
    /// Where the spool is.
    pub spool_kind: SpoolKind,
    /// Bytes in the spool.
    pub spool_used_bytes: u64,
    /// Bytes that still fit into it.
    pub spool_free_bytes: u64,
    /// Chunks that are recorded and not yet in their object.
    pub queue_chunks: u64,
    /// How long the oldest of them has waited.
    pub queue_oldest_ms: u64,
    /// How Redis is, where a layer uses it.
    pub redis: Option<RedisGauges>,
    /// How the object store is, where there is one.
    pub s3: Option<S3Gauges>,
    /// Reads and writes that the kernel refused to do past its page cache.
    pub direct_io_fallbacks: u64,
    /// How often a record of an upload was met that can't be read: the process's, told by its first
    /// shard.
    pub damaged_records: u64,
}

/// How one shard stands with the object store.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct S3Gauges {
    /// Whether it answers.
    pub is_up: bool,
    /// Parts that are being sent.
    pub parts_in_flight: u64,
    /// Uploads that haven't ended and have a multipart upload there.
    pub multiparts_open: u64,
}

impl S3Gauges {
    fn with(self, other: Self) -> Self {
        Self {
            is_up: self.is_up && other.is_up,
            parts_in_flight: self.parts_in_flight + other.parts_in_flight,
            multiparts_open: self.multiparts_open + other.multiparts_open,
        }
    }
}

/// How Redis was when a shard last looked, all its servers together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RedisGauges {
    /// Whether every server answered.
    pub is_up: bool,
    /// Memory that they use.
    pub used_bytes: u64,
    /// Memory that they may use; 0: no limit.
    pub limit_bytes: u64,
}

impl RedisGauges {
    /// As two shards saw the same servers.
    fn with(self, other: Self) -> Self {
        Self {
            is_up: self.is_up && other.is_up,
            used_bytes: self.used_bytes.max(other.used_bytes),
            limit_bytes: self.limit_bytes.max(other.limit_bytes),
        }
    }
}

impl ShardGauges {
    pub(super) fn add(&mut self, other: &Self) {
        sum(&mut self.uploads_active, &other.uploads_active);
        self.parked_streams += other.parked_streams;
        self.window_committed_bytes += other.window_committed_bytes;
        self.memory_used_bytes += other.memory_used_bytes;
        self.memory_limit_bytes += other.memory_limit_bytes;
        self.spool_used_bytes += other.spool_used_bytes;
        self.spool_free_bytes += other.spool_free_bytes;
        self.queue_chunks += other.queue_chunks;
        self.queue_oldest_ms = self.queue_oldest_ms.max(other.queue_oldest_ms);
        self.redis = match (self.redis, other.redis) {
            (Some(mine), Some(other)) => Some(mine.with(other)),
            (mine, other) => mine.or(other),
        };
        self.s3 = match (self.s3, other.s3) {
            (Some(mine), Some(other)) => Some(mine.with(other)),
            (mine, other) => mine.or(other),
        };
        self.direct_io_fallbacks += other.direct_io_fallbacks;
        self.damaged_records += other.damaged_records;
    }
}

pub(super) fn sum<const N: usize>(mine: &mut [u64; N], other: &[u64; N]) {
    mine.iter_mut().zip(other).for_each(|(mine, other)| *mine += other);
}
