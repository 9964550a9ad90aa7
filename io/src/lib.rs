//! The outside world, one client each: sockets, disks, databases. Knows nothing of uploads.

pub mod disk;
pub mod edge;
pub mod reactor;
pub mod redis;
pub mod sqlite;
