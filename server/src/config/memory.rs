//! How `memory_limit` is dealt: every bound that costs memory is cut from it, so they add up.
//!
//! Invariants: the parts of all shards and the process's own never exceed the limit; a chunk of
//! `max_chunk_bytes` fits into half of a shard's chunk budget, since bytes ahead of the front may
//! use half, and the other half keeps one chunk for fronts.

/// Bytes of HTTP/2's initial window, which every connection may fill unasked.
const CONNECTION_FLOOR_BYTES: u64 = 65_535;

/// What no shard owns: code, the databases' caches, threads.
const PROCESS_BYTES: u64 = 32 << 20;
/// An executor's rings, stacks and spare buffers.
const EXECUTOR_BYTES: u64 = 8 << 20;
/// The blocks that sockets are read into.
const POOL_BYTES: u64 = 16 << 20;
/// Below this a shard can't do its work.
const REST_BYTES_MIN: u64 = 16 << 20;
/// More window than this brings nothing, but for the floors of many connections.
const WINDOW_BYTES_MAX: u64 = 512 << 20;
/// More chunks that wait for their hash than this can rather be read back.
const HASH_BYTES_MAX: u64 = 256 << 20;
/// Chunks are cut to whole steps of this.
const CHUNK_STEP_BYTES: u64 = 64 << 10;

/// What the limit is dealt among.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryDemand {
    /// All that the process may hold, bytes.
    pub limit_bytes: u64,
    /// Shards that share it; at least one.
    pub shards: u16,
    /// The largest chunk that was asked for, bytes.
    pub max_chunk_bytes: u64,
    /// Connections that were asked for, of the process.
    pub connections_max: u32,
}

/// The parts of one shard. All shards get the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemorySplit {
    /// Blocks that sockets are read into, made at start, bytes.
    pub pool_bytes: u64,
    /// The sum of all windows and of the bytes held from them, bytes.
    pub window_bytes: u64,
    /// For streams that wait for admission, beside the windows, bytes.
    pub parked_bytes: u64,
    /// Chunks that were granted and are not yet written, bytes.
    pub chunk_bytes: u64,
    /// Of these, chunks that don't touch the front at most, bytes.
    pub ahead_bytes: u64,
    /// Upload tables, records, timers and queues, bytes.
    pub table_bytes: u64,
    /// Calls that are under way, beside their payload, bytes.
    pub call_bytes: u64,
    /// Chunks that are written and wait for those before them to be hashed, bytes.
    pub hash_bytes: u64,
    /// The largest chunk: what was asked for, lowered to fit.
    pub max_chunk_bytes: u64,
    /// Connections of one shard: what was asked for, lowered to fit.
    pub connections_max: u32,
}

impl MemoryDemand {
    /// The least limit with which `shards` shards start, bytes.
    pub const fn minimum_bytes(shards: u16) -> u64 {
        PROCESS_BYTES + shards as u64 * (EXECUTOR_BYTES + POOL_BYTES + REST_BYTES_MIN)
    }

    /// Deals the limit. `None` when it is below [`MemoryDemand::minimum_bytes`].
    pub fn split(&self) -> Option<MemorySplit> {
        assert!(self.shards > 0, "a process has at least one shard");
        if self.limit_bytes < Self::minimum_bytes(self.shards) {
            return None;
        }
        let shard_bytes = (self.limit_bytes - PROCESS_BYTES) / u64::from(self.shards);
        let rest = shard_bytes - EXECUTOR_BYTES - POOL_BYTES;
        let table_bytes = rest / 8;
        let asked = self.connections_max.div_ceil(u32::from(self.shards));
        // Seven eighths of it are windows, half of these are for floors.
        let floors_bytes = (2 * u64::from(asked) * CONNECTION_FLOOR_BYTES).div_ceil(7) * 8;
        let edge_bytes = (rest / 4).min(WINDOW_BYTES_MAX.max(floors_bytes));
        let parked_bytes = edge_bytes / 8;
        let window_bytes = edge_bytes - parked_bytes;
        let call_bytes = rest / 16;
        let hash_bytes = (rest / 16).min(HASH_BYTES_MAX);
        let chunk_bytes = rest - table_bytes - edge_bytes - call_bytes - hash_bytes;
        let ahead_bytes = chunk_bytes / 2;
        // Floors may take half of the windows; the other half is for those that send.
        let floors = window_bytes / 2 / CONNECTION_FLOOR_BYTES;
        Some(MemorySplit {
            pool_bytes: POOL_BYTES,
            window_bytes,
            parked_bytes,
            chunk_bytes,
            ahead_bytes,
            table_bytes,
            call_bytes,
            hash_bytes,
            max_chunk_bytes: self.max_chunk_bytes.min(whole_steps(ahead_bytes)),
            connections_max: asked.min(u32::try_from(floors).unwrap_or(u32::MAX)),
        })
    }
}

const fn whole_steps(bytes: u64) -> u64 {
    bytes - bytes % CHUNK_STEP_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;

    fn demand(limit_bytes: u64, shards: u16) -> MemoryDemand {
        let max_chunk_bytes = 128 << 20;
        MemoryDemand { limit_bytes, shards, max_chunk_bytes, connections_max: 4_096 }
    }

    #[test]
    fn the_parts_add_up_whatever_the_limit() {
        for shards in [1, 2, 7, 64] {
            let minimum = MemoryDemand::minimum_bytes(shards);
            for limit in [minimum, minimum + 1, 3 * minimum + 12_345, 64 << 30] {
                let split = demand(limit, shards).split().unwrap();
                let parts = EXECUTOR_BYTES
                    + split.pool_bytes
                    + split.window_bytes
                    + split.parked_bytes
                    + split.chunk_bytes
                    + split.call_bytes
                    + split.hash_bytes
                    + split.table_bytes;
                assert!(PROCESS_BYTES + parts * u64::from(shards) <= limit);
                assert!(split.max_chunk_bytes <= split.ahead_bytes);
                assert!(split.ahead_bytes + split.max_chunk_bytes <= split.chunk_bytes);
                let floors = u64::from(split.connections_max) * CONNECTION_FLOOR_BYTES;
                assert!(floors <= split.window_bytes / 2);
            }
        }
    }

    #[test]
    fn a_small_limit_lowers_the_largest_chunk_and_starts_all_the_same() {
        let minimum = MemoryDemand::minimum_bytes(2);
        let split = demand(minimum, 2).split().unwrap();
        assert!(split.max_chunk_bytes >= 1 << 20 && split.max_chunk_bytes < 128 << 20);
        assert!(split.connections_max >= 16);
        assert_eq!(demand(minimum - 1, 2).split(), None);
    }

    #[test]
    fn a_large_limit_leaves_what_was_asked_for() {
        let split = demand(4 << 30, 2).split().unwrap();
        assert_eq!((split.max_chunk_bytes, split.connections_max), (128 << 20, 2_048));
        let many = MemoryDemand { connections_max: 10_400, ..demand(6 << 30, 2) };
        assert_eq!(many.split().unwrap().connections_max, 5_200);
    }
}
