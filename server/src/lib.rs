//! Glue: what joins the rules of `sluice-shard` with the sockets and files of `sluice-io`.
//!
//! Here belong settings, the placement of stores on shards, the `sluice` command, and the
//! adapters of services. Not here: any rule about an upload (that is `sluice-shard`), and
//! anything that names a reactor (that is `sluice-io`).

pub mod admin;
pub mod boundary;
pub mod command;
pub mod config;
pub mod doctor;
pub mod metadata;
pub mod metrics;
pub mod placement;
pub mod serve;
pub mod store;
