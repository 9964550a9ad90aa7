//! The SHA-256 goes along with bodies on their way to the disk. No ack waits for it, but for that
//! of a body whose predecessor isn't hashed yet: so at most one body an upload is ahead. Bytes hold
//! their window until they are hashed, which bounds what waits.

use std::{cell::RefCell, collections::HashMap, rc::Rc};

use bytes::Bytes;
use sluice_io::reactor::{
    local::{self, OneshotReceiver, OneshotSender, QueueReceiver, QueueSender},
    task,
};
use sluice_proto::{checksum::Sha256State, ids::UploadId};
use sluice_shard::{
    Event,
    effect::HashFrom,
    keys::{BodyId, StreamKey},
};

use super::{bodies::PIECES_MAX, hasher::Hasher, switch::Switch};

/// The bodies of one shard that are hashed. Clones share it.
#[derive(Clone)]
pub(super) struct BodyHashes(Rc<Inner>);

struct Inner {
    switch: Switch,
    hasher: Hasher,
    /// Of bodies whose end the shard wasn't told or hasn't heard of.
    ends: RefCell<HashMap<BodyId, End>>,
}

/// The SHA-256 at a body's end.
enum End {
    Known(Sha256State),
    /// It is told to the body that goes on from there, if there is one yet.
    Coming(Option<OneshotSender<Sha256State>>),
}

/// Where a body's SHA-256 begins.
enum Begin {
    Known(Sha256State),
    Coming(OneshotReceiver<Sha256State>),
}

enum Order {
    Piece(Bytes, Rc<Window>),
    Keep,
}

impl BodyHashes {
    pub(super) fn new(switch: Switch, hasher: Hasher) -> Self {
        Self(Rc::new(Inner { switch, hasher, ends: RefCell::default() }))
    }

    /// Begins with a body.
    pub(super) fn begin(&self, body: BodyId, upload_id: UploadId, from: HashFrom) -> BodyHash {
        let begin = match from {
            HashFrom::State(state) => Begin::Known(*state),
            HashFrom::After(before) => self.after(before),
        };
        self.0.ends.borrow_mut().insert(body, End::Coming(None));
        let (orders, todo) = local::queue(PIECES_MAX);
        let (begins, begun) = local::oneshot();
        let me = self.clone();
        let hashing = async move {
            let end = me.hash(begin, begins, todo).await;
            me.end(body, upload_id, end);
        };
        task::spawn_local(hashing).detach();
        BodyHash { orders, begun }
    }

    /// The shard has heard of this body's end, and won't ask for it.
    pub(super) fn forget(&self, body: BodyId) {
        self.0.ends.borrow_mut().remove(&body);
    }

    fn after(&self, before: BodyId) -> Begin {
        match self.0.ends.borrow_mut().get_mut(&before) {
            Some(End::Known(state)) => Begin::Known(state.clone()),
            Some(End::Coming(next)) => {
                let (tell, told) = local::oneshot();
                *next = Some(tell);
                Begin::Coming(told)
            }
            None => unreachable!("the shard names a closed body whose end it hasn't heard of"),
        }
    }

    /// The SHA-256 at the end of a body that is kept.
    async fn hash(
        &self,
        begin: Begin,
        begins: OneshotSender<()>,
        mut todo: QueueReceiver<Order>,
    ) -> Option<Sha256State> {
        let mut state = match begin {
            Begin::Known(state) => state,
            Begin::Coming(told) => told.await?,
        };
        // The body may have been dropped.
        let _ = begins.send(());
        let mut is_kept = false;
        while let Some(order) = todo.recv().await {
            match order {
                Order::Piece(piece, window) => {
                    state = self.0.hasher.hash(state, piece).await;
                    drop(window);
                }
                Order::Keep => is_kept = true,
            }
        }
        is_kept.then_some(state)
    }

    fn end(&self, body: BodyId, upload_id: UploadId, end: Option<Sha256State>) {
        let mut ends = self.0.ends.borrow_mut();
        let Some(state) = end else {
            ends.remove(&body);
            return;
        };
        if let Some(End::Coming(Some(next))) = ends.insert(body, End::Known(state.clone())) {
            // It may have been dropped.
            drop(next.send(state.clone()));
        }
        drop(ends);
        self.0.switch.post_here(Event::BodyHashed { upload_id, body, state: Box::new(state) });
    }
}

/// One body's SHA-256. Dropped before it is kept, it comes to nothing.
pub(super) struct BodyHash {
    orders: QueueSender<Order>,
    begun: OneshotReceiver<()>,
}

impl BodyHash {
    /// The next bytes; they may be hashed before they are written, or after.
    pub(super) fn piece(&self, piece: Bytes, window: Rc<Window>) {
        let given = self.orders.try_send(Order::Piece(piece, window));
        assert!(given.is_ok(), "its window bounds a body's pieces");
    }

    /// Waits until the body before is hashed.
    pub(super) async fn begun(&mut self) {
        (&mut self.begun).await;
    }

    /// The body is written, and the shard was told: it is told of the hash when that is done.
    pub(super) fn keep(self) {
        let given = self.orders.try_send(Order::Keep);
        assert!(given.is_ok(), "there is room beside the pieces");
    }
}

/// A piece's part of its stream's window. It is given back when the piece is written and hashed.
pub(super) struct Window {
    pub(super) switch: Switch,
    pub(super) stream: StreamKey,
    pub(super) bytes: usize,
}

impl Drop for Window {
    fn drop(&mut self) {
        self.switch.release(self.stream, self.bytes);
    }
}
