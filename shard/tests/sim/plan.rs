//! What a seed's world is like: its shards, limits, clients and weather.

use sluice_shard::{
    ShardConfig,
    config::{Objects, Spool},
};

use crate::rng::Rng;

pub(crate) struct Plan {
    pub config: ShardConfig,
    pub shards: usize,
    pub stores: u16,
    /// How long the stores keep ended uploads.
    pub kept_ms: u64,
    pub clients: usize,
    pub weather: Weather,
    /// How long each kind of effect takes at most where nothing is slow, ms.
    pub pace: Pace,
}

/// Backends that keep pace with each other hide what happens when one is ahead.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    pub record_ms: u64,
    pub body_ms: u64,
    pub copy_ms: u64,
    pub other_ms: u64,
}

/// How often things go wrong.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Weather {
    /// Percent of effects that fail and do nothing.
    pub fail: u64,
    /// Percent of effects that happen and are told to have failed.
    pub lose: u64,
    /// Percent of effects that take seconds.
    pub slow: u64,
    /// Of 10,000 moments between two effects, those at which a shard dies.
    pub crash: u64,
    /// Percent of steps of the clock that jump.
    pub jump: u64,
    /// Of 10,000 steps, those at which Redis loses bodies.
    pub empty: u64,
    /// Of 10,000 steps, those at which Redis has, or hasn't, memory for more.
    pub full: u64,
}

impl Weather {
    pub(crate) const CALM: Self =
        Self { fail: 0, lose: 0, slow: 0, crash: 0, jump: 0, empty: 0, full: 0 };
}

impl Plan {
    pub(crate) fn of(rng: &mut Rng) -> Self {
        let objects = match rng.below(100) {
            0..12 => Objects::Discard,
            12..50 => Objects::S3,
            _ => Objects::Files,
        };
        let spool = match rng.below(100) {
            0..25 => Spool::Memory,
            25..60 => Spool::Redis,
            _ => Spool::Disk,
        };
        let discards_whole = objects == Objects::Discard && rng.percent(50);
        let max_chunk_bytes = rng.between(20, 100);
        let hold_bytes = rng.between(5, 60);
        let charge_bytes_max = match spool {
            Spool::Redis => hold_bytes.min(max_chunk_bytes),
            Spool::Disk if !discards_whole => hold_bytes.min(max_chunk_bytes),
            Spool::Disk | Spool::Memory => max_chunk_bytes,
        };
        let segment_bytes = 4096 * rng.between(1, 4);
        let mut config = ShardConfig {
            objects,
            spool,
            plan: sluice_shard::parts::Plan {
                part_bytes_base: rng.between(1, 120),
                part_bytes_max: 120,
                single_put_bytes: rng.pick(&[0, 50, 200, 500]),
                equal_part_bytes: rng.percent(30).then(|| rng.between(1, 120)),
            },
            // What is recorded is known by its sums.
            crc: objects != Objects::Discard || spool == Spool::Redis || rng.percent(50),
            discards_whole,
            max_chunk_bytes,
            max_upload_bytes: 10_000,
            chunk_bytes_usual: 20,
            budget_bytes: charge_bytes_max * rng.pick(&[2, 2, 3, 5, 20]),
            hold_bytes,
            uploads_max: 64,
            ended_max: rng.pick(&[0, 1, 3, 64]),
            upload_bytes_max: 1 << 20,
            streams_max: rng.between(3, 32) as usize,
            waiting_max: rng.between(1, 12) as usize,
            chunk_records_max: 400,
            admission_wait_ms: rng.pick(&[1, 100, 1_000]),
            upload_lifetime_ms: rng.pick(&[20_000, 100_000, 1_000_000]),
            segment_bytes,
            spool_bytes_max: match spool {
                Spool::Redis => max_chunk_bytes * rng.pick(&[2, 2, 3, 5, 20]),
                Spool::Disk | Spool::Memory => segment_bytes * rng.between(2, 12),
            },
            attempt_base: 0,
            places_in_flight_max: rng.between(1, 4) as usize,
            hash_step_bytes: rng.between(1, 200),
            hash_record_bytes: rng.between(1, 400),
        };
        // What is kept free for one upload has to fit.
        let hold_bytes = config.plan.part_bytes_max.max(config.plan.single_put_bytes);
        config.chunk_bytes_usual = hold_bytes.div_ceil(CHUNKS_MOST);
        let kept_bytes = config.kept_bytes();
        let rooms = rng.pick(&[1, 1, 2, 5]);
        match config.spool {
            _ if kept_bytes == 0 => {}
            Spool::Memory => config.budget_bytes = 2 * kept_bytes * rooms,
            Spool::Redis => config.spool_bytes_max = 2 * kept_bytes * rooms,
            Spool::Disk => config.spool_bytes_max = kept_bytes + segment_bytes * rooms,
        }
        let stormy = Weather {
            fail: rng.pick(&[0, 2, 10, 30]),
            lose: rng.pick(&[0, 2, 10, 30]),
            slow: rng.pick(&[0, 2, 20]),
            crash: rng.pick(&[0, 0, 10, 50, 200]),
            jump: rng.pick(&[0, 0, 1, 3]),
            empty: rng.pick(&[0, 0, 20, 100]),
            full: rng.pick(&[0, 0, 50, 200]),
        };
        let shards = rng.between(1, 3) as usize;
        let stores = rng.between(shards as u64, 4) as u16;
        let clients = rng.between(1, 5) as usize;
        let weather = if rng.percent(10) { Weather::CALM } else { stormy };
        let pace = Pace {
            record_ms: rng.pick(&PACES_MS),
            body_ms: rng.pick(&PACES_MS),
            copy_ms: rng.pick(&PACES_MS),
            other_ms: rng.pick(&PACES_MS),
        };
        let kept_ms = rng.pick(&[100, 20_000, 1_000_000]);
        Self { config, kept_ms, shards, stores, clients, weather, pace }
    }

    /// Whether acked chunks survive a crash.
    pub(crate) fn survives(&self) -> bool {
        self.config.spool != Spool::Memory && self.config.objects != Objects::Discard
    }
}

/// No upload has more chunks, about.
const CHUNKS_MOST: u64 = 25;

const PACES_MS: [u64; 4] = [2, 30, 30, 300];
