//! Shards in a world of their own: backends that are slow, fail, or lose their answers, clients
//! that do what clients do, clocks that jump, and processes that die between any two effects.
//! All of it follows from one number, and the same number gives the same run.
//!
//! `SEEDS=100000` runs more, `FROM=5000` begins there, `SEED=17` runs one and prints its trace.

mod chunk;
mod client;
mod crash;
mod disk;
mod file;
mod hashes;
mod ledger;
mod metadata;
mod moves;
mod parts;
mod perform;
mod plan;
mod redis;
mod rest;
mod rng;
mod s3;
mod spool;
mod store;
mod talk;
mod trace;
mod world;

use std::sync::atomic::{AtomicU64, Ordering};

use world::World;

const SEEDS: u64 = 2_000;

#[test]
fn uploads_survive_any_storm_and_every_run_can_be_repeated() {
    if let Some(seed) = number("SEED") {
        println!("seed {seed}: trace {:016x}", World::run(seed, true));
        return;
    }
    let (from, count) = (number("FROM").unwrap_or(0), number("SEEDS").unwrap_or(SEEDS));
    let next = AtomicU64::new(from);
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= from + count {
                return;
            }
            let guard = TellSeed { seed, next: &next };
            let first = World::run(seed, false);
            assert_eq!(first, World::run(seed, false), "the same seed takes another course");
            drop(guard);
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(work);
        }
    });
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("a number"))
}

/// Says how to run a failed seed again, and ends the others.
struct TellSeed<'a> {
    seed: u64,
    next: &'a AtomicU64,
}

impl Drop for TellSeed<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.next.store(u64::MAX / 2, Ordering::Relaxed);
            let Self { seed, .. } = self;
            eprintln!("seed {seed} failed. Its trace:");
            eprintln!("  SEED={seed} cargo test -p sluice-shard --test sim -- --nocapture");
        }
    }
}
