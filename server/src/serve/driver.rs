//! Turns a shard's effects into I/O and their ends into events. One waiting point.

use std::{cell::RefCell, future::poll_fn, pin::Pin, rc::Rc, task::Poll};

use sluice_io::{
    edge::connection::EdgeShard,
    reactor::{
        mesh::MeshReceiver,
        task,
        timer::{self, Sleep},
    },
};
use sluice_shard::{Effect, Event, Shard, effect::StreamReply, keys::StreamKey};

use super::{
    clock,
    perform::Performer,
    switch::{Message, Switch},
};

/// The mesh to another shard is full: look again after this long.
const MESH_RETRY_MS: u64 = 1;

/// Runs a shard. Never ends by itself.
pub(crate) struct Driver {
    pub(crate) shard: Rc<RefCell<Shard>>,
    pub(crate) switch: Switch,
    pub(crate) mesh: MeshReceiver<Message>,
    pub(crate) performer: Performer,
    pub(crate) edge: Rc<EdgeShard>,
}

impl Driver {
    pub(crate) async fn run(mut self) {
        let mut effects = Vec::new();
        let mut sleep = Alarm::default();
        let mut turn_left = 0_usize;
        loop {
            let waiting = self.switch.flush();
            let deadline_ms = self.shard.borrow().next_deadline();
            if deadline_ms.is_some_and(|at_ms| at_ms <= timer::now_ms()) {
                // Before any message: there may always be one.
                self.apply(Event::Tick, &mut effects);
                task::yield_if_needed().await;
                continue;
            }
            let wake_ms = waiting.then(|| timer::now_ms() + MESH_RETRY_MS);
            sleep.set(deadline_ms.into_iter().chain(wake_ms).min());
            let message = poll_fn(|cx| {
                if let Poll::Ready(message) = self.switch.poll_next(&mut self.mesh, cx) {
                    return Poll::Ready(message);
                }
                sleep.poll(cx).map(|()| None)
            })
            .await;
            match message {
                Some(Message::Event(event)) => self.apply(event, &mut effects),
                Some(Message::Stream(stream, reply)) => self.switch.tell(stream, reply),
                Some(Message::Released(stream, bytes)) => self.switch.release(stream, bytes),
                Some(Message::Reply(call, result)) => self.switch.answer(call, *result),
                // The loop's beginning knows what for.
                None => {}
            }
            // Readers bring more before the next turn, and other shards may keep it busy without
            // end. A turn that left some of what lay there would let that grow up to all windows
            // while much comes, and what lies long has left the caches.
            turn_left = turn_left.saturating_sub(1);
            if turn_left == 0 {
                self.edge.taken_in();
                task::yield_if_needed().await;
                turn_left = self.switch.waiting_here();
            }
        }
    }

    fn apply(&mut self, event: Event, effects: &mut Vec<Effect>) {
        let piece = match &event {
            Event::ChunkPiece { stream, bytes } => Some((*stream, bytes.len())),
            Event::ChunkWhole { open, bytes } => Some((open.stream, bytes.len())),
            _ => None,
        };
        self.shard.borrow_mut().apply(clock::now(), event, effects);
        if let Some((stream, bytes)) = piece.filter(|&(stream, _)| !is_kept(effects, stream)) {
            // Its chunk ended before, or keeps nothing: nobody else gives this window back.
            self.switch.release(stream, bytes);
        }
        for effect in effects.drain(..) {
            self.performer.perform(effect);
        }
    }
}

/// By a body, or still by the chunk's reader.
fn is_kept(effects: &[Effect], of: StreamKey) -> bool {
    effects.iter().any(|effect| match effect {
        Effect::Append { stream, .. } | Effect::Stream { stream, reply: StreamReply::Again } => {
            *stream == of
        }
        _ => false,
    })
}

/// A timer that is set anew only when its time changes.
#[derive(Default)]
struct Alarm {
    at_ms: Option<u64>,
    sleep: Option<Sleep>,
}

impl Alarm {
    fn set(&mut self, at_ms: Option<u64>) {
        if self.at_ms != at_ms {
            self.at_ms = at_ms;
            self.sleep = at_ms.map(timer::sleep_until);
        }
    }

    fn poll(&mut self, cx: &mut std::task::Context<'_>) -> Poll<()> {
        let Some(sleep) = &mut self.sleep else { return Poll::Pending };
        let rung = Pin::new(sleep).poll(cx);
        if rung.is_ready() {
            *self = Self::default();
        }
        rung
    }
}
