//! A model Redis: bodies by their keys, each written once, by processes that may be gone when what
//! they sent arrives; and a Redis that comes up empty.

use std::collections::{BTreeMap, BTreeSet};

use sluice_proto::ids::UploadId;
use sluice_shard::{
    Effect, Event,
    config::Spool,
    effect::{BodyPlace, PlaceFrom},
    keys::BodyId,
    record::ChunkPlace,
};

use crate::world::{Action, World};

/// Upload, chunk number, attempt.
pub(crate) type Key = (UploadId, u32, u32);

/// What a process had sent before it died comes at most so much later.
const LATE_MS: u64 = 3_000;

#[derive(Default)]
pub(crate) struct Redis {
    bodies: BTreeMap<Key, Vec<u8>>,
    begun: BTreeSet<Key>,
    /// What comes there after the sweep goes when its time to live is over.
    swept: BTreeSet<UploadId>,
}

impl Redis {
    fn begin(&mut self, key: Key) {
        assert!(self.begun.insert(key), "{key:?} was another body's");
        assert!(!self.swept.contains(&key.0), "{key:?} would be left behind");
    }

    pub(crate) fn append(&mut self, key: Key, data: &[u8]) {
        self.bodies.entry(key).or_default().extend_from_slice(data);
    }

    /// What is there of a body.
    pub(crate) fn any(&self, key: Key) -> Option<&[u8]> {
        self.bodies.get(&key).map(Vec::as_slice)
    }

    /// A body, if all of it is there.
    pub(crate) fn read(&self, key: Key, bytes: u64) -> Option<&[u8]> {
        let body = self.bodies.get(&key).map(Vec::as_slice);
        body.filter(|body| body.len() as u64 == bytes)
    }

    pub(crate) fn free(&mut self, key: Key) {
        self.bodies.remove(&key);
    }

    pub(crate) fn sweep(&mut self, upload: UploadId) {
        self.bodies.retain(|(of, _, _), _| *of != upload);
        self.swept.insert(upload);
    }

    pub(crate) fn assert_empty(&self) {
        assert!(self.bodies.is_empty(), "bodies are left: {:?}", self.bodies.keys());
    }
}

impl World {
    pub(crate) fn begin_in_redis(&mut self, life: u64, key: Key) {
        self.redis.begin(key);
        let most_bytes = self.room_bytes();
        let node = self.node(life).expect("it is alive");
        assert!(node.admits, "{key:?} begins while Redis is full");
        assert!(node.shard.stats().spool_used_bytes <= most_bytes, "more than may be there");
    }

    /// No durable record names the body, and no copy reads it.
    pub(crate) fn assert_unread(&self, life: u64, key: Key) {
        assert!(!self.is_recorded(key), "{key:?} is recorded, and freed");
        let (upload, number, attempt) = key;
        let from = PlaceFrom::Redis { number, attempt };
        let reads = |action: &Action| {
            matches!(action, Action::End { life: of, effect: Effect::Place { upload_id, from: other, .. }, .. }
                if *of == life && *upload_id == upload && *other == from)
        };
        assert!(!self.queue.values().any(reads), "a copy still reads {key:?}");
        // A lost body is freed while others may find out that it is lost.
        if self.redis.any(key).is_some() {
            self.assert_no_slice(life, from, Some(upload));
        }
    }

    fn is_recorded(&self, (upload, number, attempt): Key) -> bool {
        let Some(stored) = self.stores.uploads.get(&upload) else { return false };
        let chunk = stored.chunks.get(&number).filter(|chunk| chunk.attempt == attempt);
        !stored.record.state.ended() && chunk.is_some_and(|chunk| chunk.place == ChunkPlace::Redis)
    }

    /// The upload has ended, and none of its bodies is being written.
    pub(crate) fn assert_still(&self, life: u64, upload: UploadId) {
        assert!(self.stores.state(&upload).is_some_and(|state| state.ended()), "swept too early");
        let node = self.nodes.iter().find(|node| node.life == life).expect("it is alive");
        let is_written = node
            .bodies
            .values()
            .any(|body| body.upload == upload && matches!(body.place, BodyPlace::Redis { .. }));
        assert!(!is_written, "a body of {upload} is still written");
    }

    /// What is in Redis, and known to be there, is counted.
    pub(crate) fn check_room(&mut self, life: u64) {
        if self.plan.config.spool != Spool::Redis {
            return;
        }
        let node = self.nodes.iter().find(|node| node.life == life).expect("it is alive");
        let bodies = node.bodies.values();
        let written = bodies.filter(|body| matches!(body.place, BodyPlace::Redis { .. }));
        let mut held_bytes: u64 = written.map(|body| body.bytes).sum();
        for (upload, stored) in &self.stores.uploads {
            if node.shard.record(upload).is_none() || stored.record.state.ended() {
                continue;
            }
            let chunks = stored.chunks.values();
            let there = chunks.filter(|chunk| chunk.place == ChunkPlace::Redis);
            held_bytes += there.map(|chunk| chunk.bytes).sum::<u64>();
        }
        let used_bytes = node.shard.stats().spool_used_bytes;
        assert!(held_bytes <= used_bytes, "{held_bytes} bytes are in Redis, not counted");
    }

    /// A process is gone, and what it had sent of a body may be on its way.
    pub(crate) fn send_late(&mut self, life: u64, id: BodyId) {
        let node = self.nodes.iter().find(|node| node.life == life).expect("it was there");
        let body = &node.bodies[&id];
        let BodyPlace::Redis { number, attempt } = body.place else { return };
        let (key, data) = ((body.upload, number, attempt), body.data[body.landed..].to_vec());
        if !data.is_empty() && self.rng.percent(50) {
            self.after(0, LATE_MS, Action::LateWrite { key, data });
        }
    }

    pub(crate) fn write_late(&mut self, key: Key, data: &[u8]) {
        assert!(!self.is_recorded(key), "{key:?} is recorded, and written");
        if !self.redis.swept.contains(&key.0) {
            self.redis.append(key, data);
        }
    }

    /// Redis comes up empty, or without its last second, or has memory for more, or none.
    pub(crate) fn redis_weather(&mut self) {
        if self.plan.config.spool != Spool::Redis {
            return;
        }
        if self.rng.per_myriad(self.weather.empty) {
            let lost = self.rng.pick(&[20, 50, 100]);
            self.trace.note(format_args!("{} Redis loses {lost} %", self.now.mono_ms));
            let keys: Vec<Key> = self.redis.bodies.keys().copied().collect();
            for key in keys {
                if self.rng.percent(lost) {
                    self.redis.bodies.remove(&key);
                }
            }
        }
        if self.rng.per_myriad(self.weather.full) {
            let at = self.rng.below(self.nodes.len() as u64) as usize;
            let admits = !self.nodes[at].admits;
            self.tell_room(at, admits);
        }
    }

    pub(crate) fn redis_has_room(&mut self) {
        for at in 0..self.nodes.len() {
            self.tell_room(at, true);
        }
    }

    fn tell_room(&mut self, at: usize, admits: bool) {
        self.nodes[at].admits = admits;
        let life = self.nodes[at].life;
        self.apply(life, Event::SpoolRoom { admits });
    }
}
