//! Everything one core owns and decides: uploads, their chunks, memory, waiting and timers, as
//! plain state machines.
//!
//! The driver feeds [`Event`]s to [`Shard::apply`] and carries out the [`Effect`]s that come
//! back. In here is no `.await`, no socket, no clock, no randomness and no lock: time and chance
//! arrive with the events, so a run can be repeated to the letter, which is how it is tested.

pub mod budget;
pub mod config;
pub mod effect;
pub mod event;
pub mod extents;
pub mod keys;
pub mod parts;
pub mod ranges;
pub mod record;

mod admission;
mod bodies;
mod chunk;
mod cold;
mod commit;
mod context;
mod control;
mod cut;
mod ending;
mod filling;
mod hash;
mod initiate;
mod judge;
mod losing;
mod making;
mod placing;
mod queue;
mod recover;
mod refuse;
mod repeat;
mod shard;
mod steps;
mod storing;
mod stream;
mod timers;
mod told;
mod turn;
mod upload;
mod watch;
mod writes;

#[cfg(test)]
mod rules;

pub use config::ShardConfig;
pub use effect::Effect;
pub use event::Event;
pub use shard::{Shard, ShardStats};
