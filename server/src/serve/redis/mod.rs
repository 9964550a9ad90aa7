//! A server whose uploads lie in Redis: how it begins, and what it looks after.

mod boot;
mod fitness;
mod guard;

pub(super) use boot::{Beginning, Found, begin};
pub use fitness::RedisUnfit;
pub(super) use guard::{RedisHealth, guard, hold_lease};
