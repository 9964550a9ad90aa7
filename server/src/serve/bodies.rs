//! Chunk bodies on their way to where the shard wants them: one task each, which takes the
//! pieces in order and gives each one's window back when it has left memory.

use std::{cell::RefCell, collections::HashMap, rc::Rc};

use bytes::{Bytes, BytesMut};
use sluice_io::reactor::{
    local::{self, QueueReceiver, QueueSender},
    task,
};
use sluice_proto::ids::UploadId;
use sluice_shard::{
    Event,
    effect::{BodyPlace, HashTurn},
    event::Outcome,
    keys::{BodyId, OpId, StreamKey},
};

use super::{
    body_hash::{BodyHash, BodyHashes, Window},
    body_sink::BodySink,
    files::Files,
    limits,
    redis::{BodyName, RedisSpool, SMALL_BYTES_MAX, SmallBodies, SmallBody},
    switch::Switch,
    work::WorkLog,
};
use crate::metrics::Work;

/// Pieces of one body that wait for its task: a window's worth of the shortest, and its end.
pub(super) const PIECES_MAX: usize =
    (limits::STREAM_CEILING_BYTES as usize) / TAIL_BYTES_MAX * 2 + 64;

/// Pieces shorter than this are joined, so less than this of a body may be held until more comes.
const TAIL_BYTES_MAX: usize = 4 << 10;

/// A slice shorter than this is copied before it is held in memory: blocks are a megabyte.
pub(super) const PINNING_BYTES_MIN: usize = 256 << 10;

enum Order {
    Append(StreamKey, Bytes),
    /// `awaits_turn`: ends only after the body's turn at the SHA-256 has come.
    Close {
        op: OpId,
        awaits_turn: bool,
    },
    Drop(OpId),
}

enum Body {
    Task {
        orders: QueueSender<Order>,
        tail: Tail,
    },
    Memory(Vec<Bytes>),
    /// Gathered, as it is charged whole.
    Small(BodyName, Vec<u8>),
    Discard,
}

/// The bodies of one shard.
#[derive(Clone)]
pub(crate) struct Bodies {
    parts: Rc<BodiesParts>,
    open: Rc<RefCell<HashMap<BodyId, Body>>>,
}

/// What bodies need.
pub(crate) struct BodiesParts {
    pub(crate) switch: Switch,
    pub(crate) files: Files,
    /// Where bodies lie in Redis.
    pub(crate) redis: Option<RedisSpool>,
    /// And the small ones.
    pub(crate) small: Option<SmallBodies>,
    pub(crate) work: WorkLog,
    pub(crate) hashes: BodyHashes,
    /// A body on disk is written when it survives a power cut.
    pub(crate) sync: bool,
}

impl Bodies {
    pub(crate) fn new(parts: BodiesParts) -> Self {
        Self { parts: Rc::new(parts), open: Rc::default() }
    }

    pub(crate) fn open(
        &self,
        body: BodyId,
        upload_id: UploadId,
        place: BodyPlace,
        bytes: u64,
        hash: HashTurn,
    ) {
        let begun = match place {
            BodyPlace::Discard => Body::Discard,
            BodyPlace::Memory => Body::Memory(Vec::new()),
            BodyPlace::Redis { number, attempt } if bytes <= SMALL_BYTES_MAX => {
                let name = BodyName { upload_id, number, attempt };
                Body::Small(name, Vec::with_capacity(bytes as usize))
            }
            BodyPlace::Object { .. } | BodyPlace::Spool(_) | BodyPlace::Redis { .. } => {
                let (orders, todo) = local::queue(PIECES_MAX);
                let hash = self.parts.hashes.line_up(body, upload_id, hash);
                let writer = Writing { upload_id, place, bytes, hash };
                let writing = write(Rc::clone(&self.parts), writer, todo);
                task::spawn_local(writing).detach();
                Body::Task { orders, tail: Tail::default() }
            }
        };
        self.open.borrow_mut().insert(body, begun);
    }

    pub(crate) fn append(&self, body: BodyId, stream: StreamKey, bytes: Bytes) {
        let length = bytes.len();
        match self.open.borrow_mut().get_mut(&body).expect("a body is open until it ends") {
            Body::Task { orders, tail } => return tail.append(orders, stream, bytes),
            // Charged whole, so the window is free for more.
            Body::Memory(pieces) => pieces.push(unpinned(bytes)),
            Body::Small(_, gathered) => gathered.extend_from_slice(&bytes),
            Body::Discard => drop(bytes),
        }
        self.parts.switch.release(stream, length);
    }

    pub(crate) fn close(&self, op: OpId, body: BodyId, awaits_turn: bool) {
        self.end(op, body, Order::Close { op, awaits_turn }, true);
    }

    pub(crate) fn drop(&self, op: OpId, body: BodyId) {
        self.end(op, body, Order::Drop(op), false);
    }

    fn end(&self, op: OpId, body: BodyId, order: Order, keep: bool) {
        let mut open = self.open.borrow_mut();
        match open.remove(&body).expect("a body is open until it ends") {
            Body::Task { orders, mut tail } => {
                tail.flush(&orders);
                give(&orders, order);
            }
            Body::Small(name, bytes) if keep => {
                let small = self.parts.small.as_ref().expect("bodies in Redis have a spool there");
                small.put(SmallBody { op, name, bytes });
            }
            held => {
                if let (Body::Memory(_), true) = (&held, keep) {
                    open.insert(body, held);
                }
                self.parts.switch.post_here(Event::Done { op, result: Ok(Outcome::Done) });
            }
        }
    }

    /// The pieces of a body that is held in memory.
    pub(crate) fn in_memory(&self, body: BodyId) -> Vec<Bytes> {
        match self.open.borrow().get(&body) {
            Some(Body::Memory(pieces)) => pieces.clone(),
            _ => unreachable!("only a held body is read"),
        }
    }

    pub(crate) fn free_memory(&self, body: BodyId) {
        self.open.borrow_mut().remove(&body);
    }
}

/// The end of a body that came in pieces too small for an order each.
///
/// A client that sends bytes singly would else fill the orders' room while the disk is slow. It
/// holds so little that the window always has room for more.
#[derive(Default)]
struct Tail(Option<(StreamKey, BytesMut)>);

impl Tail {
    fn append(&mut self, orders: &QueueSender<Order>, stream: StreamKey, bytes: Bytes) {
        if bytes.len() >= TAIL_BYTES_MAX {
            self.flush(orders);
            return give(orders, Order::Append(stream, bytes));
        }
        let (_, held) = self.0.get_or_insert_with(|| (stream, BytesMut::new()));
        held.extend_from_slice(&bytes);
        if held.len() >= TAIL_BYTES_MAX {
            self.flush(orders);
        }
    }

    fn flush(&mut self, orders: &QueueSender<Order>) {
        if let Some((stream, held)) = self.0.take() {
            give(orders, Order::Append(stream, held.freeze()));
        }
    }
}

fn give(orders: &QueueSender<Order>, order: Order) {
    assert!(orders.try_send(order).is_ok(), "its window bounds a body's orders");
}

/// What is held for long must not hold a whole block for a small part of it.
pub(super) fn unpinned(bytes: Bytes) -> Bytes {
    if bytes.len() < PINNING_BYTES_MIN { Bytes::copy_from_slice(&bytes) } else { bytes }
}

/// One body that is written.
struct Writing {
    upload_id: UploadId,
    place: BodyPlace,
    bytes: u64,
    hash: Option<BodyHash>,
}

async fn write(parts: Rc<BodiesParts>, writing: Writing, mut todo: QueueReceiver<Order>) {
    let Writing { upload_id, place, bytes, mut hash } = writing;
    let mut writer = BodySink::open(&parts, upload_id, place, bytes).await;
    let mut failed = None;
    while let Some(order) = todo.recv().await {
        let (op, keep, awaits_turn) = match order {
            Order::Append(stream, piece) => {
                let (switch, length) = (parts.switch.clone(), piece.len());
                let window = Rc::new(Window { switch, stream, bytes: length });
                if let (Ok(writer), None) = (&mut writer, &failed) {
                    if let Some(hash) = &mut hash {
                        hash.piece(&piece, &window);
                    }
                    failed = writer.append(piece).await.err();
                }
                continue;
            }
            Order::Close { op, awaits_turn } => (op, true, awaits_turn),
            Order::Drop(op) => (op, false, false),
        };
        let ending = async {
            match (writer, failed) {
                (Ok(writer), None) if keep => writer.finish(parts.sync).await,
                (Ok(writer), failed) => {
                    writer.abandon().await;
                    failed.map_or(Ok(()), Err)
                }
                (Err(error), _) => Err(error),
            }
        };
        let work = if matches!(place, BodyPlace::Redis { .. }) { Work::Put } else { Work::Write };
        let ended = parts.work.watch(work, upload_id, ending).await;
        if matches!(place, BodyPlace::Object { .. }) {
            parts.files.used_partial(&upload_id);
        }
        let mut hash = hash.take().filter(|_| keep && ended.is_ok());
        if let Some(hash) = hash.as_mut().filter(|_| awaits_turn) {
            hash.turn().await;
        }
        parts.switch.post_here(Event::Done { op, result: ended.map(|()| Outcome::Done) });
        if let Some(hash) = hash {
            hash.keep();
        }
        return;
    }
}
