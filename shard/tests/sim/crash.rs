//! How a process dies, and how the next one finds what it left.

use sluice_proto::ids::StoreId;
use sluice_shard::{Effect, Event};

use crate::{
    perform::Fate,
    store::is_open,
    world::{Action, Answer, World},
};

impl World {
    /// A process dies in the midst of what it does: one shard, or all.
    pub(crate) fn crash(&mut self, life: u64) {
        let all = self.rng.percent(40);
        self.trace.note(format_args!(
            "{} {life} dies{}",
            self.now.mono_ms,
            if all { ", and all" } else { "" }
        ));
        let mut lives: Vec<u64> = self.nodes.iter().map(|node| node.life).collect();
        lives.retain(|&other| all || other == life);
        for life in lives {
            self.die(life);
        }
        if self.nodes.iter().all(|node| !node.alive) {
            self.after(0, 400, Action::Restart);
        } else {
            self.restart_one(life);
        }
    }

    /// The operator's restart: what is open may end first.
    pub(crate) fn drain(&mut self) {
        let at = self.rng.below(self.nodes.len() as u64) as usize;
        let life = self.nodes[at].life;
        self.apply(life, Event::Drain);
        self.after(0, 500, Action::Kill { life });
    }

    pub(crate) fn kill(&mut self, life: u64) {
        if self.node(life).is_some() {
            self.crash(life);
        }
    }

    /// Whatever was under way has happened by now or never will.
    fn die(&mut self, life: u64) {
        let Some(node) = self.node(life) else { return };
        let bodies: Vec<_> = node.bodies.keys().copied().collect();
        let of_life = |action: &Action| match action {
            Action::End { life: of, .. }
            | Action::Load { life: of, .. }
            | Action::Hashed { life: of, .. }
            | Action::Leave { life: of, .. } => *of == life,
            _ => false,
        };
        let keys: Vec<_> =
            self.queue.iter().filter(|(_, a)| of_life(a)).map(|(&key, _)| key).collect();
        for key in keys {
            let action = self.queue.remove(&key).expect("it was there");
            let Action::End { effect, fate, .. } = action else { continue };
            self.ask_late(life, &effect);
            let is_body = matches!(effect, Effect::CloseBody { .. } | Effect::DropBody { .. });
            let happened = self.rng.percent(40);
            let partly = matches!(effect, Effect::Place { .. });
            if !is_body && (happened || partly) {
                let fate = if happened { fate } else { Fate::Fails };
                drop(self.perform(life, effect, fate));
            }
        }
        for body in bodies {
            self.land_some(life, body);
            self.send_late(life, body);
        }
        self.disk.end_life(life);
        self.node(life).expect("it is there").alive = false;
        self.lose_answers(life);
    }

    /// Clients see their connections break.
    fn lose_answers(&mut self, life: u64) {
        for (&stream, owed) in self.streams.iter().filter(|(_, owed)| owed.life == life) {
            self.inboxes[owed.client].push_back(Answer::StreamLost(stream));
        }
        for (&call, owed) in self.calls.iter().filter(|(_, owed)| owed.life == life) {
            self.inboxes[owed.client].push_back(Answer::CallLost(call));
        }
        self.streams.retain(|_, owed| owed.life != life);
        self.calls.retain(|_, owed| owed.life != life);
    }

    fn restart_one(&mut self, life: u64) {
        let index = self.nodes.iter().position(|node| node.life == life).expect("it is there");
        self.start_node(index);
    }

    /// All come back, maybe on more or fewer cores.
    pub(crate) fn restart(&mut self) {
        self.plan.shards = self.rng.between(1, u64::from(self.plan.stores).min(3)) as usize;
        self.start_nodes();
    }

    pub(crate) fn load(&mut self, life: u64, store: StoreId) {
        // The server's part: claims of uploads that were never recorded are given back.
        for upload_id in self.metadata.open_claims(store) {
            if !self.stores.uploads.contains_key(&upload_id) {
                self.metadata.release(upload_id);
            }
        }
        let of_store =
            self.stores.uploads.values().filter(|stored| {
                stored.record.upload_id.store() == store && is_open(&stored.record)
            });
        let uploads = of_store.map(|stored| self.metadata.found(stored)).collect();
        let segments = self.disk.segments_of(store);
        self.apply(life, Event::StoreLoaded { store, uploads, segments, keeps_segments: false });
    }
}
