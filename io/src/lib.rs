//! The outside world, one client each: sockets, disks, databases, object stores. Knows nothing of uploads.

pub mod disk;
pub mod edge;
pub mod reactor;
pub mod redis;
pub mod s3;
pub mod sqlite;
pub mod tls;
