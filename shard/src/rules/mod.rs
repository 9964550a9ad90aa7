//! The contract's rules, each as a test of a whole shard.

mod begins;
mod chunks;
mod cold;
mod discard;
mod ends;
mod hashes;
mod losses;
mod memory;
mod numbers;
mod places;
mod redis;
mod restart;
mod rig;
mod s3;
mod watches;
mod whole;
