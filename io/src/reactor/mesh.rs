//! Bounded queues from every shard to every shard.
//!
//! Each pair has a queue of its own, so one shard that is slow fills only the queues to itself.
//! A shard must go on receiving while its sends wait: two shards that do nothing but send to
//! each other would wait for ever. That is why sender and receiver are two things.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use atomic_waker::AtomicWaker;
use rtrb::{Consumer, Producer, RingBuffer};

pub use super::local::TrySendError;
use super::{line::Line, pacer};

/// One shard's end of the mesh, to be sent to the shard's thread and split there.
pub struct MeshEnd<T> {
    out: Vec<Producer<T>>,
    inbox: Vec<Consumer<T>>,
    wakers: Arc<Wakers>,
    shard: usize,
}

/// Who is to be woken, on whichever thread.
struct Wakers {
    // Index: the shard whose receiver waits for a message.
    message: Box<[AtomicWaker]>,
    // Index: receiving shard × shards + sending shard, whose sender waits for room.
    room: Box<[AtomicWaker]>,
}

/// Makes the ends of `shards` shards, in order; each of the queues between two holds `capacity`
/// messages.
#[must_use]
pub fn mesh<T: Send>(shards: usize, capacity: usize) -> Vec<MeshEnd<T>> {
    let idle = |count| (0..count).map(|_| AtomicWaker::new()).collect();
    let wakers = Arc::new(Wakers { message: idle(shards), room: idle(shards * shards) });
    let mut inboxes: Vec<VecDeque<_>> = (0..shards).map(|_| VecDeque::new()).collect();
    let mut outs = Vec::with_capacity(shards);
    for _ in 0..shards {
        let mut out = Vec::with_capacity(shards);
        for inbox in &mut inboxes {
            let (producer, consumer) = RingBuffer::new(capacity);
            out.push(producer);
            inbox.push_back(consumer);
        }
        outs.push(out);
    }
    let ends = outs.into_iter().zip(inboxes).enumerate();
    ends.map(|(shard, (out, inbox))| MeshEnd {
        out,
        inbox: inbox.into(),
        wakers: Arc::clone(&wakers),
        shard,
    })
    .collect()
}

impl<T: Send> MeshEnd<T> {
    /// The two halves, which stay on the thread that calls this.
    pub fn split(self) -> (MeshSender<T>, MeshReceiver<T>) {
        let queue = |producer| Out { producer: RefCell::new(producer), line: Line::default() };
        let outs = Outs {
            to: self.out.into_iter().map(queue).collect(),
            wakers: Arc::clone(&self.wakers),
            shard: self.shard,
        };
        let receiver =
            MeshReceiver { inbox: self.inbox, wakers: self.wakers, shard: self.shard, next: 0 };
        (MeshSender { outs: Rc::new(outs) }, receiver)
    }
}

/// Sends to any shard, also to its own. Clones share the queues.
pub struct MeshSender<T> {
    outs: Rc<Outs<T>>,
}

struct Outs<T> {
    to: Vec<Out<T>>,
    wakers: Arc<Wakers>,
    shard: usize,
}

struct Out<T> {
    producer: RefCell<Producer<T>>,
    line: Line,
}

impl<T> Clone for MeshSender<T> {
    fn clone(&self) -> Self {
        Self { outs: Rc::clone(&self.outs) }
    }
}

impl<T: Send> MeshSender<T> {
    /// Puts `message` into the queue to shard `to` if there is room and nobody waits for it.
    ///
    /// # Errors
    /// Gives the message back, and says why.
    ///
    /// # Panics
    /// When there is no shard `to`.
    pub fn try_send(&self, to: usize, message: T) -> Result<(), TrySendError<T>> {
        if !self.outs.to[to].line.is_empty() {
            return Err(TrySendError::Full(message));
        }
        self.outs.put(to, message)
    }

    /// Puts `message` into the queue to shard `to`, after all who waited before on this shard.
    ///
    /// Dropped before its end, the message is dropped too and was not sent.
    ///
    /// # Errors
    /// Gives the message back when that shard receives no more.
    ///
    /// # Panics
    /// When there is no shard `to`.
    pub async fn send(&self, to: usize, message: T) -> Result<(), T> {
        let mut message = match self.try_send(to, message) {
            Ok(()) => return Ok(()),
            Err(TrySendError::Closed(message)) => return Err(message),
            Err(TrySendError::Full(message)) => Some(message),
        };
        let outs = &*self.outs;
        let room = &outs.wakers.room[to * outs.to.len() + outs.shard];
        let mut place = outs.to[to].line.place();
        poll_fn(|cx| {
            if !place.is_first(cx) {
                return Poll::Pending;
            }
            // Registered first: what is taken after the look that finds no room wakes us.
            room.register(cx.waker());
            match outs.put(to, message.take().expect("put back whenever it waits")) {
                Ok(()) => Poll::Ready(Ok(())),
                Err(TrySendError::Closed(back)) => Poll::Ready(Err(back)),
                Err(TrySendError::Full(back)) => {
                    message = Some(back);
                    Poll::Pending
                }
            }
        })
        .await
    }
}

impl<T> Outs<T> {
    fn put(&self, to: usize, message: T) -> Result<(), TrySendError<T>> {
        let mut producer = self.to[to].producer.borrow_mut();
        if producer.is_abandoned() {
            return Err(TrySendError::Closed(message));
        }
        let pushed = producer.push(message);
        drop(producer);
        let rtrb::PushError::Full(message) = match pushed {
            Ok(()) => {
                self.wakers.message[to].wake();
                return Ok(());
            }
            Err(error) => error,
        };
        Err(TrySendError::Full(message))
    }
}

/// Receives what all shards send to this one. Dropping it drops what is queued, and the senders
/// are told.
pub struct MeshReceiver<T> {
    inbox: Vec<Consumer<T>>,
    wakers: Arc<Wakers>,
    shard: usize,
    next: usize,
}

impl<T: Send> MeshReceiver<T> {
    /// The next message and the shard it came from; the senders take turns. Never ends. A call
    /// that is dropped loses nothing.
    pub async fn recv(&mut self) -> (usize, T) {
        poll_fn(|cx| self.poll_recv(cx)).await
    }

    /// As [`Self::recv`], for those who poll.
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<(usize, T)> {
        if let Some(got) = self.try_recv() {
            return Poll::Ready(got);
        }
        self.wakers.message[self.shard].register(cx.waker());
        // What came between the look and the registration woke nobody.
        self.try_recv().map_or(Poll::Pending, Poll::Ready)
    }

    /// The next message if there is one now, and the shard it came from.
    pub fn try_recv(&mut self) -> Option<(usize, T)> {
        let shards = self.inbox.len();
        for from in (0..shards).map(|step| (self.next + step) % shards) {
            if let Ok(message) = self.inbox[from].pop() {
                self.next = from + 1;
                pacer::step();
                self.wakers.room[self.shard * shards + from].wake();
                return Some((from, message));
            }
        }
        None
    }
}

impl<T> Drop for MeshReceiver<T> {
    fn drop(&mut self) {
        let shards = self.inbox.len();
        self.inbox.clear();
        for from in 0..shards {
            self.wakers.room[self.shard * shards + from].wake();
        }
    }
}
