//! Counting and rendering: each shard counts on its own thread, a scrape sums what they say.
//!
//! Owns no socket and no clock. Labels are fixed sets: never an id, a name or a tenant.

mod distribution;
mod gauges;
mod labels;
mod prometheus;
mod rate;
mod shard;

pub use distribution::Distribution;
pub use gauges::{RedisGauges, S3Gauges, ShardGauges};
pub use labels::{
    Active, ChunkResult, End, Level, Method, RpcCode, SpoolKind, Stage, Work, WorkOutcome,
};
pub use prometheus::{CONTENT_TYPE, render};
pub use rate::{RATE_SECONDS, Rate};
pub use shard::{ShardMetrics, ShardSnapshot};
