//! The HTTP/2 edge: h2 keeps the protocol, DATA payloads go past it.

pub mod connection;
pub mod credit;
pub mod data_lane;
pub mod pool;
pub mod request;

mod driver;
mod flood;
mod lane;
mod lane_io;
mod output;
mod payload;
mod read_ahead;

pub use lane::Cut;
