//! The settings, read once: what was written becomes [`RawConfig`], and that a [`Config`] in the
//! types and units that the server runs on. Owns no component: settings are data.

mod convert;
mod cpus;
mod error;
mod keys;
mod layers;
mod machine;
mod memory;
mod print;
mod raw;
mod redis;
mod s3;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

pub use cpus::{format_cpus, parse_cpus};
pub use error::ConfigError;
pub use keys::{KEYS, Key};
pub use layers::{Coordination, Durability, Events, Layer, Layers, Metadata, Objects, Spool};
pub use machine::{Machine, cgroup_memory_bytes};
pub use memory::{MemoryDemand, MemorySplit};
pub use raw::{FILE_DEFAULT, Origin, RawConfig, Setting, variable_of};
pub use redis::Redis;
pub use s3::S3;

/// All settings of a server, defaults filled in and checked against each other.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where gRPC is served.
    pub listen: SocketAddr,
    /// Where status and metrics are served.
    pub admin_listen: SocketAddr,
    /// All that must survive lies below it; made at start.
    pub data_dir: PathBuf,
    /// One shard is pinned to each; ascending, 1 to 64 of them.
    pub cpus: Vec<usize>,
    /// All memory that the process may hold, bytes.
    pub memory_limit_bytes: u64,
    /// How that is dealt: the parts of one shard.
    pub memory: MemorySplit,
    /// The own port of shard 0; 0: free ports.
    pub shard_port_base: u16,
    /// What stands behind the intake.
    pub layers: Layers,
    /// How Redis is reached; `None` where no layer uses it.
    pub redis: Option<Redis>,
    /// How the object store is reached, and how objects are stored; `None` without one.
    pub s3: Option<S3>,
    /// What a client can run into.
    pub limits: Limits,
    /// Whether the SHA-256 of every whole is computed; a declared one always is.
    pub sha256: bool,
    /// Whether chunks are summed and their sums verified; off only with `objects = discard`.
    pub crc: bool,
    /// With `objects = discard`: whether a chunk is held whole before it is dropped, as one is
    /// that waits in memory for a store.
    pub discards_whole: bool,
    raw: RawConfig,
}

/// What a client can run into. Counts are of the whole process unless said otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one chunk as asked for; what is offered is [`MemorySplit::max_chunk_bytes`].
    pub max_chunk_bytes: u64,
    /// Bytes of one upload.
    pub max_upload_bytes: u64,
    /// Uploads that haven't ended.
    pub uploads_max: u32,
    /// Connections as asked for; what is let in is [`MemorySplit::connections_max`] a shard.
    pub connections_max: u32,
    /// Streams of one connection.
    pub streams_max: u32,
    /// How long a chunk waits for budget before it is refused.
    pub admission_wait: Duration,
    /// A chunk that holds budget and comes slower is cut, bytes a second.
    pub min_chunk_rate_bytes: u64,
    /// An upload that isn't all in by then expires.
    pub upload_lifetime: Duration,
    /// Bytes that the disk spool may take.
    pub spool_limit_bytes: u64,
}

impl Config {
    /// Shards of the process: one a CPU.
    pub fn shards(&self) -> u16 {
        // `TryFrom` lets at most 64 through.
        self.cpus.len() as u16
    }

    /// Where a setting's value comes from.
    pub fn origin(&self, key: &str) -> Origin {
        self.raw.origin(key)
    }
}
