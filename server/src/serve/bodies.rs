//! Chunk bodies on their way to where the shard wants them: one task each, which takes the
//! pieces in order and gives each one's window back when it has left memory.

use std::{cell::RefCell, collections::HashMap, io, rc::Rc};

use bytes::Bytes;
use sluice_io::{
    disk::BodyWriter,
    reactor::{
        local::{self, QueueReceiver, QueueSender},
        task,
    },
};
use sluice_proto::ids::UploadId;
use sluice_shard::{
    Event,
    effect::BodyPlace,
    event::{Failure, Outcome},
    keys::{BodyId, OpId, StreamKey},
};

use super::{files::Files, switch::Switch};

/// Pieces of one body that wait for its task; its window bounds their bytes, this their number.
const PIECES_MAX: usize = 1 << 16;

/// A slice shorter than this is copied before it is held in memory: blocks are a megabyte.
const PINNING_BYTES_MIN: usize = 256 << 10;

enum Order {
    Append(StreamKey, Bytes),
    Close(OpId),
    Drop(OpId),
}

enum Body {
    Task(QueueSender<Order>),
    Memory(Vec<Bytes>),
    Discard,
}

/// The bodies of one shard.
#[derive(Clone)]
pub(crate) struct Bodies {
    switch: Switch,
    files: Files,
    sync: bool,
    open: Rc<RefCell<HashMap<BodyId, Body>>>,
}

impl Bodies {
    /// `sync`: a body is written when it survives a power cut.
    pub(crate) fn new(switch: Switch, files: Files, sync: bool) -> Self {
        Self { switch, files, sync, open: Rc::default() }
    }

    pub(crate) fn open(&self, body: BodyId, upload_id: UploadId, place: BodyPlace, bytes: u64) {
        let begun = match place {
            BodyPlace::Discard => Body::Discard,
            BodyPlace::Memory => Body::Memory(Vec::new()),
            BodyPlace::Object { .. } | BodyPlace::Spool(_) => {
                let (orders, todo) = local::queue(PIECES_MAX);
                let writing = write(self.clone(), upload_id, place, bytes, todo);
                task::spawn_local(writing).detach();
                Body::Task(orders)
            }
        };
        self.open.borrow_mut().insert(body, begun);
    }

    pub(crate) fn append(&self, body: BodyId, stream: StreamKey, bytes: Bytes) {
        let length = bytes.len();
        match self.open.borrow_mut().get_mut(&body).expect("a body is open until it ends") {
            Body::Task(orders) => {
                assert!(orders.try_send(Order::Append(stream, bytes)).is_ok(), "bounded by credit");
                return;
            }
            // Charged whole, so the window is free for more.
            Body::Memory(pieces) => pieces.push(unpinned(bytes)),
            Body::Discard => drop(bytes),
        }
        self.switch.release(stream, length);
    }

    pub(crate) fn close(&self, op: OpId, body: BodyId) {
        self.end(op, body, Order::Close(op), true);
    }

    pub(crate) fn drop(&self, op: OpId, body: BodyId) {
        self.end(op, body, Order::Drop(op), false);
    }

    fn end(&self, op: OpId, body: BodyId, order: Order, keep: bool) {
        let mut open = self.open.borrow_mut();
        match open.remove(&body).expect("a body is open until it ends") {
            Body::Task(orders) => {
                assert!(orders.try_send(order).is_ok(), "the task takes orders until the last");
            }
            held => {
                if let (Body::Memory(_), true) = (&held, keep) {
                    open.insert(body, held);
                }
                self.switch.post_here(Event::Done { op, result: Ok(Outcome::Done) });
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

/// What is held for long must not hold a whole block for a small part of it.
fn unpinned(bytes: Bytes) -> Bytes {
    if bytes.len() < PINNING_BYTES_MIN { Bytes::copy_from_slice(&bytes) } else { bytes }
}

async fn write(
    bodies: Bodies,
    upload_id: UploadId,
    place: BodyPlace,
    bytes: u64,
    mut todo: QueueReceiver<Order>,
) {
    let mut writer = open_writer(&bodies.files, &upload_id, place, bytes).await;
    let mut failed = None;
    while let Some(order) = todo.recv().await {
        let (op, keep) = match order {
            Order::Append(stream, piece) => {
                let length = piece.len();
                if let (Ok(writer), None) = (&mut writer, &failed) {
                    failed = writer.append(piece).await.err();
                }
                bodies.switch.release(stream, length);
                continue;
            }
            Order::Close(op) => (op, true),
            Order::Drop(op) => (op, false),
        };
        let result = match (writer, failed) {
            (Ok(writer), None) if keep => writer.finish(bodies.sync).await,
            (Ok(writer), failed) => {
                writer.abandon().await;
                failed.map_or(Ok(()), Err)
            }
            (Err(error), _) => Err(error),
        };
        if matches!(place, BodyPlace::Object { .. }) {
            bodies.files.used_partial(&upload_id);
        }
        let result = result.map(|()| Outcome::Done).map_err(|error| failure(&error));
        bodies.switch.post_here(Event::Done { op, result });
        return;
    }
}

async fn open_writer(
    files: &Files,
    upload_id: &UploadId,
    place: BodyPlace,
    bytes: u64,
) -> io::Result<BodyWriter> {
    let (file, offset) = match place {
        BodyPlace::Object { offset } => (files.partial(upload_id).await?, offset),
        BodyPlace::Spool(extent) => {
            (files.segment(upload_id.store(), extent).await?, extent.offset)
        }
        BodyPlace::Memory | BodyPlace::Discard => unreachable!("written nowhere"),
    };
    Ok(BodyWriter::new(file, files.buffers(), offset, bytes))
}

/// What an I/O error means to the shard.
pub(crate) fn failure(error: &io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Failure::Full,
        _ => Failure::Unavailable,
    }
}
