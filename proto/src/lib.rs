//! What Sluice speaks: bytes in, values out.
//!
//! Owns the generated messages, the id types, every wire limit, the table of
//! errors, the checksums, the gRPC frame and its incremental decoders, and the
//! client library. Owns no clock, no policy and no socket; only the `client`
//! feature waits for anything.

pub mod checksum;
#[cfg(feature = "client")]
pub mod client;
pub mod error;
pub mod grpc;
pub mod ids;
pub mod limits;
pub mod pb;
pub mod units;
