//! The storm, and what has to be true when the world has come to rest.

use sluice_shard::{ShardStats, record::State};

use crate::{client::Phase, plan::Weather, world::World};

/// Steps in which a calm world has to come to rest; the longest of 20,000 seeds took a quarter.
const REST_STEPS: u64 = 40_000;

impl World {
    /// Things go wrong.
    pub(crate) fn storm(&mut self) {
        let steps = self.rng.between(50, 1_500);
        for _ in 0..steps {
            if !self.step() {
                return;
            }
            if self.weather.crash > 0 && self.rng.per_myriad(5) {
                self.drain();
            }
            self.redis_weather();
            if self.rng.percent(1) {
                self.stores.forget(&mut self.metadata, self.now.wall_ms);
            }
        }
    }

    /// Nothing goes wrong any more: every upload ends, and nothing is left.
    pub(crate) fn calm(&mut self) {
        self.weather = Weather::CALM;
        self.trace.note(format_args!("{} calm", self.now.mono_ms));
        self.redis_has_room();
        let mut steps = 0;
        while self.step() {
            steps += 1;
            assert!(steps < REST_STEPS, "no rest: {}", self.unrest());
        }
        // The shards keep what the stores forget until they need the room.
        self.stores.forget(&mut self.metadata, u64::MAX);
        self.check_clients();
        self.check_shards();
        self.check_remains();
    }

    fn unrest(&self) -> String {
        let phases: Vec<_> = self
            .clients
            .iter()
            .flatten()
            .map(|client| (&client.phase, client.streams.len(), &client.calls))
            .collect();
        format!("{phases:?}, {:?}", self.nodes.iter().map(|n| n.shard.stats()).collect::<Vec<_>>())
    }

    fn check_clients(&self) {
        for client in self.clients.iter().flatten() {
            assert_eq!(client.phase, Phase::Done(0), "client {} came to its end", client.id);
        }
        assert!(self.streams.is_empty(), "every chunk is answered");
        assert!(self.calls.is_empty(), "every call is answered");
    }

    fn check_shards(&self) {
        for node in &self.nodes {
            assert!(node.bodies.is_empty(), "no body is open");
            assert!(node.line.is_empty(), "no body waits for its hash");
            assert_eq!(node.shard.in_flight(), 0);
            let stats = node.shard.stats();
            let ShardStats { budget_total_bytes, uploads, .. } = stats;
            assert_eq!(uploads[..State::Completed as usize], [0; State::Completed as usize]);
            assert!(uploads.iter().sum::<usize>() <= self.plan.config.ended_max);
            let rest = ShardStats { budget_total_bytes, uploads, ..ShardStats::default() };
            assert_eq!(stats, rest);
        }
    }

    fn check_remains(&self) {
        assert!(self.disk.partials.is_empty(), "partial objects are left");
        assert!(self.disk.segments.is_empty(), "segments are left");
        self.redis.assert_empty();
        self.s3.assert_empty();
        assert!(self.stores.uploads.is_empty(), "all are forgotten in time");
        for upload_id in self.metadata.initiated.keys() {
            let completed = self.metadata.completed.get(upload_id).copied().unwrap_or_default();
            let failed = self.metadata.failed.get(upload_id).copied().unwrap_or_default();
            assert_eq!(completed + failed, 1, "{upload_id} has one end");
            assert_eq!(self.metadata.initiated[upload_id], 1);
        }
        for upload_id in self.disk.objects.keys().chain(self.s3.uploads()) {
            assert!(self.metadata.completed.contains_key(upload_id), "an object without a node");
        }
        for store in 0..self.plan.stores {
            let open = self.metadata.open_claims(sluice_proto::ids::StoreId(store));
            assert_eq!(open, [], "claims are left");
        }
    }
}
