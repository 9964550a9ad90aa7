//! The real servers that tests run against: each a process of its own, on loopback, on a free port
//! and in a folder of its own, ended and removed with the value that stands for it.
//!
//! `scripts/test-tools` installs them.

#![expect(clippy::disallowed_methods, reason = "waiting for another process needs a clock")]

mod authority;
mod ceph;
mod lender;
pub mod ports;
mod process;
mod redis;
mod redis_cluster;
pub mod s3_faulty;
mod seaweedfs;
mod stock;

pub use authority::{Authority, Issued};
pub use ceph::Ceph;
pub use lender::Lender;
pub use redis::{Options as RedisOptions, Place, Redis, Tls as RedisTls};
pub use redis_cluster::RedisCluster;
pub use s3_faulty::FaultyS3;
pub use seaweedfs::{Options as SeaweedFsOptions, SeaweedFs};
pub use stock::{Head, Stock};
