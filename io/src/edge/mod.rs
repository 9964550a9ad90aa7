//! The HTTP/2 edge: h2 keeps the protocol, DATA payloads go past it.

pub mod credit;
pub mod data_lane;
pub mod pool;
