//! Redis: one server, or a cluster of them.
//!
//! The crate `redis` speaks the protocol, over this executor's sockets, with TLS between if the URL
//! says so. A [`Client`] has one
//! connection to each server, on which commands are pipelined, and some for bodies, which are sent
//! from where they lie; each command has a deadline. One
//! that got no answer in time takes its connection with it, so that nobody else gets its reply.
//! Nothing is tried again here but what the server says it hasn't done (MOVED, ASK, NOSCRIPT).

mod body;
mod client;
mod connection;
mod error;
mod names;
mod node;
mod raw;
mod script;
mod slots;
mod url;

pub use body::Put;
pub use client::{Client, Settings};
pub use error::RedisError;
pub use redis::{Cmd, FromRedisValue, Value, cmd};
pub use script::Script;
pub use slots::slot_of;
pub use url::{RedisUrl, UrlError};

/// Reads an answer.
///
/// # Errors
/// [`RedisError::Answer`] if it is another.
pub fn read<T: FromRedisValue>(answer: Value) -> Result<T, RedisError> {
    redis::from_redis_value(answer).map_err(|error| RedisError::Answer(error.to_string()))
}
