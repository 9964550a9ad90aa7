//! Handing values from task to task on one thread, without atomics.
//!
//! A bounded queue with many senders and one receiver, and a slot for a single value. Nothing
//! here is `Send`, and nothing needs an executor.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use super::line::Line;

/// Why a value was not taken; it comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TrySendError<T> {
    /// No room, or others wait for room already.
    Full(T),
    /// The receiver is gone.
    Closed(T),
}

/// A queue that holds at most `capacity` values.
///
/// # Panics
/// When `capacity` is 0.
pub fn queue<T>(capacity: usize) -> (QueueSender<T>, QueueReceiver<T>) {
    assert!(capacity > 0, "nothing could ever pass");
    let queue = Rc::new(Queue {
        values: RefCell::default(),
        capacity,
        senders: Cell::new(1),
        is_open: Cell::new(true),
        receiver: Cell::new(None),
        line: Line::default(),
    });
    (QueueSender { queue: Rc::clone(&queue) }, QueueReceiver { queue })
}

struct Queue<T> {
    values: RefCell<VecDeque<T>>,
    capacity: usize,
    senders: Cell<usize>,
    is_open: Cell<bool>,
    receiver: Cell<Option<Waker>>,
    line: Line,
}

impl<T> Queue<T> {
    fn put(&self, value: T) -> Result<(), TrySendError<T>> {
        if !self.is_open.get() {
            return Err(TrySendError::Closed(value));
        }
        let mut values = self.values.borrow_mut();
        if values.len() == self.capacity {
            return Err(TrySendError::Full(value));
        }
        values.push_back(value);
        drop(values);
        wake(&self.receiver);
        Ok(())
    }
}

/// The sending end; clones send into the same queue.
pub struct QueueSender<T> {
    queue: Rc<Queue<T>>,
}

impl<T> QueueSender<T> {
    /// Puts `value` into the queue if there is room and nobody waits for it.
    ///
    /// # Errors
    /// Gives the value back, and says why.
    pub fn try_send(&self, value: T) -> Result<(), TrySendError<T>> {
        if self.queue.is_open.get() && !self.queue.line.is_empty() {
            return Err(TrySendError::Full(value));
        }
        self.queue.put(value)
    }

    /// Puts `value` into the queue, after all who waited before.
    ///
    /// Dropped before its end, the value is dropped too and was not sent.
    ///
    /// # Errors
    /// Gives the value back when the receiver is gone.
    pub async fn send(&self, value: T) -> Result<(), T> {
        let mut value = match self.try_send(value) {
            Ok(()) => return Ok(()),
            Err(TrySendError::Closed(value)) => return Err(value),
            Err(TrySendError::Full(value)) => Some(value),
        };
        let mut place = self.queue.line.place();
        poll_fn(|cx| {
            if !place.is_first(cx) {
                return Poll::Pending;
            }
            match self.queue.put(value.take().expect("put back whenever it waits")) {
                Ok(()) => Poll::Ready(Ok(())),
                Err(TrySendError::Closed(back)) => Poll::Ready(Err(back)),
                Err(TrySendError::Full(back)) => {
                    value = Some(back);
                    Poll::Pending
                }
            }
        })
        .await
    }

    /// Whether the receiver is gone.
    pub fn is_closed(&self) -> bool {
        !self.queue.is_open.get()
    }
}

impl<T> Clone for QueueSender<T> {
    fn clone(&self) -> Self {
        self.queue.senders.set(self.queue.senders.get() + 1);
        Self { queue: Rc::clone(&self.queue) }
    }
}

impl<T> Drop for QueueSender<T> {
    fn drop(&mut self) {
        self.queue.senders.set(self.queue.senders.get() - 1);
        if self.queue.senders.get() == 0 {
            wake(&self.queue.receiver);
        }
    }
}

/// The receiving end. Dropping it drops what is queued, and the senders are told.
pub struct QueueReceiver<T> {
    queue: Rc<Queue<T>>,
}

impl<T> QueueReceiver<T> {
    /// The next value; `None` when the queue is empty and all senders are gone. A call that is
    /// dropped loses nothing.
    pub async fn recv(&mut self) -> Option<T> {
        poll_fn(|cx| self.poll_recv(cx)).await
    }

    /// As [`Self::recv`], for those who poll.
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<T>> {
        if let Some(value) = self.try_recv() {
            return Poll::Ready(Some(value));
        }
        if self.queue.senders.get() == 0 {
            return Poll::Ready(None);
        }
        self.queue.receiver.set(Some(cx.waker().clone()));
        Poll::Pending
    }

    /// The next value if there is one now.
    pub fn try_recv(&mut self) -> Option<T> {
        let value = self.queue.values.borrow_mut().pop_front()?;
        self.queue.line.wake_first();
        Some(value)
    }

    /// How many values wait.
    pub fn len(&self) -> usize {
        self.queue.values.borrow().len()
    }

    /// Whether no value waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<T> Drop for QueueReceiver<T> {
    fn drop(&mut self) {
        self.queue.is_open.set(false);
        let values = std::mem::take(&mut *self.queue.values.borrow_mut());
        drop(values);
        // Each that leaves wakes the next.
        self.queue.line.wake_first();
    }
}

/// A slot for one value.
pub fn oneshot<T>() -> (OneshotSender<T>, OneshotReceiver<T>) {
    let slot = Rc::new(Slot {
        value: Cell::new(None),
        is_over: Cell::new(false),
        receiver: Cell::new(None),
    });
    (OneshotSender { slot: Rc::clone(&slot) }, OneshotReceiver { slot })
}

struct Slot<T> {
    value: Cell<Option<T>>,
    // No value will come any more.
    is_over: Cell<bool>,
    receiver: Cell<Option<Waker>>,
}

/// Fills the slot.
pub struct OneshotSender<T> {
    slot: Rc<Slot<T>>,
}

impl<T> OneshotSender<T> {
    /// Fills the slot.
    ///
    /// # Errors
    /// Gives the value back when the receiver is gone.
    pub fn send(self, value: T) -> Result<(), T> {
        if self.is_closed() {
            return Err(value);
        }
        self.slot.value.set(Some(value));
        Ok(()) // dropping the sender wakes the receiver
    }

    /// Whether the receiver is gone.
    pub fn is_closed(&self) -> bool {
        Rc::strong_count(&self.slot) == 1
    }
}

impl<T> Drop for OneshotSender<T> {
    fn drop(&mut self) {
        self.slot.is_over.set(true);
        wake(&self.slot.receiver);
    }
}

/// Await it for the value; `None` when the sender went without one.
pub struct OneshotReceiver<T> {
    slot: Rc<Slot<T>>,
}

impl<T> Future for OneshotReceiver<T> {
    type Output = Option<T>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        if let Some(value) = self.slot.value.take() {
            return Poll::Ready(Some(value));
        }
        if self.slot.is_over.get() {
            return Poll::Ready(None);
        }
        self.slot.receiver.set(Some(cx.waker().clone()));
        Poll::Pending
    }
}

fn wake(waker: &Cell<Option<Waker>>) {
    if let Some(waker) = waker.take() {
        waker.wake();
    }
}
