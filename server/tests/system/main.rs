//! Whole servers, each a process of its own on private ports and in a private folder, under real
//! clients. Each module is named for what it holds the server to; `docs/TESTING.md` tells more.

#![expect(clippy::disallowed_methods, reason = "waiting for another process needs a clock")]

mod harness;

mod bad_input;
mod client_library;
mod command_folder;
mod command_lists;
mod command_put;
mod command_terminal;
mod cpus_change;
#[cfg(feature = "failpoints")]
mod crash_matrix;
mod disk_refuses;
mod documented_clients;
mod drain;
mod drives;
mod errors;
mod foreign_clients;
mod hashing;
mod kill_anywhere;
mod layers;
mod limits;
mod lists;
mod memory;
mod names;
mod nodes;
mod proxy;
mod redis;
mod s3;
mod small_chunks;
mod starts;
mod upload_chunks;
mod upload_progress;

#[cfg(not(feature = "failpoints"))]
#[test]
#[ignore = "needs a server that can die at a boundary: --features sluice-server/failpoints"]
fn crash_matrix() {}
