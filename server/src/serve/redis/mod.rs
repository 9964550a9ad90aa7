//! A server whose uploads lie in Redis: how it begins, and what it looks after.

mod body_put;
mod boot;
mod guard;
mod small_bodies;
mod spool;

use sluice_io::redis::{Client, Settings};

pub(super) use body_put::{BodyPut, SMALL_BYTES_MAX};
pub(super) use boot::{Owned, begin};
pub(super) use guard::{Guard, RedisHealth, hold_lease};
pub(super) use small_bodies::{SmallBodies, SmallBody};
pub(super) use spool::{BodyName, RedisSpool};

/// Of the memory of Redis, what bodies may take by their lengths. A value takes up to a quarter more,
/// as allocators round up, and intake ends at 80 %: what waits for others must stay below that, or
/// those would never get in.
const ROOM_PERCENT: u64 = 60;
/// Attempts of one process at the chunks of one upload that it found.
const ATTEMPTS: u32 = 1 << 20;

/// What every thread may know of Redis.
#[derive(Clone)]
pub(super) struct RedisAccess {
    pub(super) settings: Settings,
    /// How often a process has begun on this data directory.
    pub(super) epoch: u64,
    /// Memory of all its servers; `None` where there is no limit.
    pub(super) memory_bytes: Option<u64>,
}

impl RedisAccess {
    /// For the executor of a shard.
    pub(super) fn client(&self, shard: u16) -> Client {
        let client_name = format!("{}-{shard}", self.settings.client_name);
        Client::new(Settings { client_name, ..self.settings.clone() })
    }

    /// Bytes of bodies that may be there.
    pub(super) fn room_bytes(&self) -> Option<u64> {
        self.memory_bytes.map(|bytes| bytes / 100 * ROOM_PERCENT)
    }

    /// The first attempt that no process before this one has used. After 4,096 beginnings it starts
    /// over: none of the first is on its way any more by then.
    pub(super) fn attempt_base(&self) -> u32 {
        (self.epoch as u32).wrapping_mul(ATTEMPTS)
    }
}
