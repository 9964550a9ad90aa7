//! The gRPC frame, and decoders that never hold a payload.
//!
//! Bytes go in as they come off the socket; what is known comes out as soon as
//! it is known; payload comes out as slices of what went in. No socket, no
//! HTTP/2 and no waiting here. A decoder that refused stays refused.

pub mod chunk_decoder;
pub mod frame;
pub mod initiate_decoder;
mod message_reader;
pub mod rope;

pub use chunk_decoder::{ChunkChecks, ChunkDecoder, ChunkEvent, ChunkHeader, Trailer};
pub use initiate_decoder::{InitiateDecoder, InitiateEvent};
pub use rope::Rope;
