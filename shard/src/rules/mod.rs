//! The contract's rules, each as a test of a whole shard.

mod begins;
mod ends;
mod memory;
mod places;
mod restart;
mod rig;
