//! Bounded queues from every shard to every shard.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll};

use atomic_waker::AtomicWaker;
use rtrb::{Consumer, Producer, PushError, RingBuffer};

/// One shard's end of the mesh. It may be sent to the shard's thread, and is used there alone.
pub struct MeshEnd<T> {
    out: Vec<Producer<T>>,
    inbox: Vec<Consumer<T>>,
    // Index: the shard whose receiver waits.
    wakers: Arc<[AtomicWaker]>,
    shard: usize,
    next: usize,
}

/// Makes the ends of `shards` shards, in order; each of the queues between two holds `capacity`
/// messages.
#[must_use]
pub fn mesh<T: Send>(shards: usize, capacity: usize) -> Vec<MeshEnd<T>> {
    let wakers: Arc<[AtomicWaker]> = (0..shards).map(|_| AtomicWaker::new()).collect();
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
        next: 0,
    })
    .collect()
}

impl<T: Send> MeshEnd<T> {
    /// Puts `message` into the queue to shard `to`; gives it back when that queue is full.
    ///
    /// # Panics
    /// When there is no shard `to`.
    pub fn try_send(&mut self, to: usize, message: T) -> Result<(), T> {
        match self.out[to].push(message) {
            Ok(()) => {
                self.wakers[to].wake();
                Ok(())
            }
            Err(PushError::Full(message)) => Err(message),
        }
    }

    /// The next message and the shard it came from; the senders take turns. Never ends.
    pub async fn recv(&mut self) -> (usize, T) {
        std::future::poll_fn(|cx| self.poll_recv(cx)).await
    }

    /// As [`Self::recv`], for those who poll.
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<(usize, T)> {
        if let Some(got) = self.take() {
            return Poll::Ready(got);
        }
        self.wakers[self.shard].register(cx.waker());
        // What came between the look and the registration woke nobody.
        self.take().map_or(Poll::Pending, Poll::Ready)
    }

    fn take(&mut self) -> Option<(usize, T)> {
        let shards = self.inbox.len();
        for from in (0..shards).map(|step| (self.next + step) % shards) {
            if let Ok(message) = self.inbox[from].pop() {
                self.next = from + 1;
                return Some((from, message));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_arrive_in_order_across_threads_and_a_full_queue_says_so() {
        let mut ends = mesh::<u32>(2, 4);
        let (mut to, mut from) = (ends.pop().unwrap(), ends.pop().unwrap());
        let sender = std::thread::spawn(move || {
            for mut n in 0..1000 {
                while let Err(back) = from.try_send(1, n) {
                    n = back;
                    std::thread::yield_now();
                }
            }
        });
        for n in 0..1000 {
            assert_eq!(futures_lite::future::block_on(to.recv()), (0, n));
        }
        sender.join().unwrap();
        (0..4).for_each(|n| to.try_send(0, n).unwrap());
        assert_eq!(to.try_send(0, 4), Err(4));
    }
}
