//! The SHA-256 goes over bodies on their way to the disk, one of an upload after the other. Until its
//! turn has come a body waits in line, with its bytes in memory.
//!
//! Where nothing but the hash is before it, its bytes hold their window until they are hashed, which
//! bounds what waits. Where another body is still on its way in, that could be what keeps it out:
//! then they wait in room of their own, and leave the line if there is none.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    rc::Rc,
};

use bytes::Bytes;
use sluice_io::reactor::{
    local::{self, OneshotReceiver, OneshotSender, QueueReceiver, QueueSender},
    task,
};
use sluice_proto::{checksum::Sha256State, ids::UploadId};
use sluice_shard::{
    Event,
    effect::HashTurn,
    keys::{BodyId, StreamKey},
};

use super::{
    bodies::{PIECES_MAX, PINNING_BYTES_MIN, unpinned},
    hasher::Hasher,
    limits::BLOCK_BYTES,
    switch::Switch,
};

/// The bodies of one shard that are hashed. Clones share it.
#[derive(Clone)]
pub(super) struct BodyHashes(Rc<Inner>);

struct Inner {
    switch: Switch,
    hasher: Hasher,
    /// For bytes that wait and hold no window.
    room_bytes: Cell<u64>,
    /// Bodies whose turn hasn't come.
    line: RefCell<HashMap<BodyId, OneshotSender<Sha256State>>>,
}

enum Order {
    Piece(Bytes, Hold),
    Keep,
}

/// What a piece keeps until it is hashed.
enum Hold {
    Window(#[expect(dead_code, reason = "its drop gives it back")] Rc<Window>),
    Room(#[expect(dead_code, reason = "its drop gives it back")] Room),
}

impl BodyHashes {
    /// `room_bytes`: for what waits and holds no window.
    pub(super) fn new(switch: Switch, hasher: Hasher, room_bytes: u64) -> Self {
        let line = RefCell::default();
        Self(Rc::new(Inner { switch, hasher, room_bytes: Cell::new(room_bytes), line }))
    }

    pub(super) fn line_up(
        &self,
        body: BodyId,
        upload_id: UploadId,
        turn: HashTurn,
    ) -> Option<BodyHash> {
        if turn == HashTurn::Never {
            return None;
        }
        let (begin, begun) = local::oneshot();
        self.0.line.borrow_mut().insert(body, begin);
        let (orders, todo) = local::queue(PIECES_MAX);
        let (comes, turn_came) = local::oneshot();
        let me = self.clone();
        let hashing = async move {
            let end = me.hash(begun, comes, todo).await.map(Box::new);
            me.0.switch.post_here(Event::BodyHashed { upload_id, body, state: end });
        };
        task::spawn_local(hashing).detach();
        let is_sure = turn == HashTurn::Sure;
        Some(BodyHash { hashes: self.clone(), body, is_sure, orders: Some(orders), turn_came })
    }

    /// A body's turn has come, unless it left.
    pub(super) fn begin(&self, body: BodyId, state: Sha256State) {
        if let Some(begin) = self.0.line.borrow_mut().remove(&body) {
            // Who was dropped meanwhile needs no turn.
            drop(begin.send(state));
        }
    }

    /// A body whose turn hasn't come won't have one.
    pub(super) fn leave(&self, body: BodyId) {
        self.0.line.borrow_mut().remove(&body);
    }

    /// The SHA-256 at the end of a body that is kept.
    async fn hash(
        &self,
        begun: OneshotReceiver<Sha256State>,
        comes: OneshotSender<()>,
        mut todo: QueueReceiver<Order>,
    ) -> Option<Sha256State> {
        let mut state = begun.await?;
        // The body may have been dropped.
        let _ = comes.send(());
        let mut is_kept = false;
        while let Some(order) = todo.recv().await {
            match order {
                Order::Piece(piece, hold) => {
                    state = self.0.hasher.hash(state, piece).await;
                    drop(hold);
                }
                Order::Keep => is_kept = true,
            }
        }
        is_kept.then_some(state)
    }

    fn is_in_line(&self, body: BodyId) -> bool {
        self.0.line.borrow().contains_key(&body)
    }

    fn take_room(&self, bytes: u64) -> Option<Room> {
        let room = &self.0.room_bytes;
        room.set(room.get().checked_sub(bytes)?);
        Some(Room { hashes: self.clone(), bytes })
    }
}

/// One body's place in line, and its SHA-256. Dropped before it is kept, it comes to nothing.
pub(super) struct BodyHash {
    hashes: BodyHashes,
    body: BodyId,
    is_sure: bool,
    /// Nowhere, once it left.
    orders: Option<QueueSender<Order>>,
    turn_came: OneshotReceiver<()>,
}

impl BodyHash {
    /// The next bytes; they may be hashed before they are written, or after.
    pub(super) fn piece(&mut self, piece: &Bytes, window: &Rc<Window>) {
        let held = if self.is_sure || !self.hashes.is_in_line(self.body) {
            Some((piece.clone(), Hold::Window(Rc::clone(window))))
        } else {
            self.waiting(piece)
        };
        if let Some((piece, hold)) = held {
            self.order(Order::Piece(piece, hold));
        } else {
            self.leave();
        }
    }

    /// A piece and the room that it takes: more than a small one would keep all of its block.
    fn waiting(&self, piece: &Bytes) -> Option<(Bytes, Hold)> {
        let is_copied = piece.len() < PINNING_BYTES_MIN;
        let room =
            self.hashes.take_room(if is_copied { piece.len() as u64 } else { BLOCK_BYTES })?;
        Some((unpinned(piece.clone()), Hold::Room(room)))
    }

    /// Waits until the body's turn has come, or it left.
    pub(super) async fn turn(&mut self) {
        (&mut self.turn_came).await;
    }

    /// The body is written, and the shard was told: it is told of the hash when that is done.
    pub(super) fn keep(mut self) {
        self.order(Order::Keep);
        self.orders = None;
    }

    fn order(&mut self, order: Order) {
        // Pieces far too small may be more than there is room for.
        if self.orders.as_ref().is_some_and(|orders| orders.try_send(order).is_err()) {
            self.leave();
        }
    }

    fn leave(&mut self) {
        self.orders = None;
        self.hashes.leave(self.body);
    }
}

impl Drop for BodyHash {
    fn drop(&mut self) {
        if self.orders.is_some() {
            self.leave();
        }
    }
}

/// Room that a piece takes while it waits.
struct Room {
    hashes: BodyHashes,
    bytes: u64,
}

impl Drop for Room {
    fn drop(&mut self) {
        let room = &self.hashes.0.room_bytes;
        room.set(room.get() + self.bytes);
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
