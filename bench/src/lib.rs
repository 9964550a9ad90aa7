//! Load, peers, runs and reports: what proves how fast Sluice is.
//!
//! `sluice-bench` is the command; micro-benchmarks lie in `benches`. Nothing imports this crate.

pub mod command;
pub mod job;
pub mod outcome;
pub mod peer;
pub mod result;
pub mod run;
pub mod suite;

mod clock;
mod load;
mod process;
mod report;
mod variant;
