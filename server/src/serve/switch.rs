//! Carries messages between the tasks of a shard and between shards.
//!
//! Each shard has one inbox, which its driver alone reads. What goes to another shard takes the
//! mesh, in order; when that queue is full it waits here. Both are bounded by admission: a
//! reader sends only what the owner granted, and an owner answers each chunk and call once.

use std::{
    cell::{Cell, RefCell},
    collections::{HashMap, VecDeque},
    rc::Rc,
    task::{Context, Poll, Waker},
};

use sluice_io::{
    edge::request::Releaser,
    reactor::{
        local::{self, OneshotSender},
        mesh::{MeshReceiver, MeshSender, TrySendError},
    },
};
use sluice_proto::error::Refusal;
use sluice_shard::{
    Event,
    effect::{CallReply, StreamReply},
    event::ChunkOpen,
    keys::{CallId, StreamKey},
};

/// Keys carry the shard that waits in their high bits.
const SHARD_SHIFT: u32 = 48;

/// What shards say to each other.
pub(crate) enum Message {
    /// To the owner of an upload.
    Event(Event),
    /// From the owner to whoever reads the chunk.
    Stream(StreamKey, StreamReply),
    /// The owner is done with bytes that came through this chunk's window.
    Released(StreamKey, usize),
    /// From the owner to whoever asked.
    Reply(CallId, Box<Result<CallReply, Refusal>>),
}

/// One shard's end of all message paths. Clones share it.
#[derive(Clone)]
pub(crate) struct Switch(Rc<Inner>);

struct Inner {
    shard: u16,
    inbox: RefCell<VecDeque<Message>>,
    driver: RefCell<Option<Waker>>,
    /// Something began to wait for room in the mesh, which the driver has to watch.
    look_again: Cell<bool>,
    mesh: MeshSender<Message>,
    /// Whose turn it was last.
    mesh_first: Cell<bool>,
    waiting: RefCell<Vec<VecDeque<Message>>>,
    next_key: Cell<u64>,
    readers: RefCell<HashMap<StreamKey, Reader>>,
    calls: RefCell<HashMap<CallId, OneshotSender<Result<CallReply, Refusal>>>>,
}

/// A chunk that is read on this shard.
struct Reader {
    releaser: Releaser,
    held_bytes: usize,
    replies: VecDeque<StreamReply>,
    waker: Option<Waker>,
    /// Its task is done; it only waits for bytes to come back.
    gone: bool,
}

impl Switch {
    pub(crate) fn new(shard: u16, shards: u16, mesh: MeshSender<Message>) -> Self {
        Self(Rc::new(Inner {
            shard,
            inbox: RefCell::default(),
            driver: RefCell::default(),
            look_again: Cell::new(false),
            mesh,
            mesh_first: Cell::new(false),
            waiting: RefCell::new((0..shards).map(|_| VecDeque::new()).collect()),
            next_key: Cell::new(0),
            readers: RefCell::default(),
            calls: RefCell::default(),
        }))
    }

    fn key(&self) -> u64 {
        let next = self.0.next_key.get() + 1;
        self.0.next_key.set(next);
        u64::from(self.0.shard) << SHARD_SHIFT | next
    }

    /// Posts a message to a shard's driver.
    pub(crate) fn post(&self, to: u16, message: Message) {
        if to == self.0.shard {
            self.0.inbox.borrow_mut().push_back(message);
        } else {
            let waiting = &mut self.0.waiting.borrow_mut()[usize::from(to)];
            if waiting.is_empty() {
                match self.0.mesh.try_send(usize::from(to), message) {
                    Ok(()) | Err(TrySendError::Closed(_)) => return,
                    Err(TrySendError::Full(message)) => waiting.push_back(message),
                }
            } else {
                waiting.push_back(message);
            }
            self.0.look_again.set(true);
        }
        if let Some(driver) = self.0.driver.borrow_mut().take() {
            driver.wake();
        }
    }

    /// Posts an event to the shard itself.
    pub(crate) fn post_here(&self, event: Event) {
        self.post(self.0.shard, Message::Event(event));
    }

    /// The next message for this shard; the driver's waiting point. `None`: something began to wait
    /// for room in the mesh, which is to be [sent on](Self::flush).
    pub(crate) fn poll_next(
        &self,
        mesh: &mut MeshReceiver<Message>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Message>> {
        if self.0.look_again.take() {
            return Poll::Ready(None);
        }
        // By turns, so that neither side can keep the other waiting.
        let mesh_first = !self.0.mesh_first.get();
        self.0.mesh_first.set(mesh_first);
        if mesh_first && let Some((_, message)) = mesh.try_recv() {
            return Poll::Ready(Some(message));
        }
        if let Some(message) = self.0.inbox.borrow_mut().pop_front() {
            return Poll::Ready(Some(message));
        }
        *self.0.driver.borrow_mut() = Some(cx.waker().clone());
        mesh.poll_recv(cx).map(|(_, message)| Some(message))
    }

    /// Messages of this shard to itself that wait for its driver.
    pub(crate) fn waiting_here(&self) -> usize {
        self.0.inbox.borrow().len()
    }

    /// Sends on what waits for room; `true` if some still waits.
    pub(crate) fn flush(&self) -> bool {
        let mut still = false;
        for (to, waiting) in self.0.waiting.borrow_mut().iter_mut().enumerate() {
            while let Some(message) = waiting.pop_front() {
                match self.0.mesh.try_send(to, message) {
                    Ok(()) | Err(TrySendError::Closed(_)) => {}
                    Err(TrySendError::Full(message)) => {
                        waiting.push_front(message);
                        still = true;
                        break;
                    }
                }
            }
        }
        still
    }

    /// Begins to read a chunk.
    pub(crate) fn open_reader(&self, releaser: Releaser) -> ReaderHandle {
        let key = StreamKey(self.key());
        let reader =
            Reader { releaser, held_bytes: 0, replies: VecDeque::new(), waker: None, gone: false };
        self.0.readers.borrow_mut().insert(key, reader);
        ReaderHandle { switch: self.clone(), key }
    }

    /// Tells a chunk's reader, wherever it is.
    pub(crate) fn tell(&self, key: StreamKey, reply: StreamReply) {
        let shard = shard_of(key.0);
        if shard != self.0.shard {
            return self.post(shard, Message::Stream(key, reply));
        }
        if let Some(reader) = self.0.readers.borrow_mut().get_mut(&key)
            && !reader.gone
        {
            reader.replies.push_back(reply);
            if let Some(waker) = reader.waker.take() {
                waker.wake();
            }
        }
    }

    /// Gives a chunk's reader its window back, wherever it is.
    pub(crate) fn release(&self, key: StreamKey, bytes: usize) {
        let shard = shard_of(key.0);
        if shard != self.0.shard {
            return self.post(shard, Message::Released(key, bytes));
        }
        let mut readers = self.0.readers.borrow_mut();
        let reader = readers.get_mut(&key).expect("a reader stays until all came back");
        reader.held_bytes -= bytes;
        let (releaser, done) = (reader.releaser.clone(), reader.gone && reader.held_bytes == 0);
        if done {
            readers.remove(&key);
        }
        drop(readers);
        releaser.release(bytes);
    }

    /// Asks a shard and waits for its answer.
    pub(crate) async fn call(
        &self,
        to: u16,
        event: impl FnOnce(CallId) -> Event,
    ) -> Result<CallReply, Refusal> {
        let call = CallId(self.key());
        let (answer, answered) = local::oneshot();
        self.0.calls.borrow_mut().insert(call, answer);
        let guard = CallGuard { switch: self, call, to };
        self.post(to, Message::Event(event(call)));
        let result = answered.await;
        drop(guard);
        result.expect("the sender is kept until it answers")
    }

    /// A name for a call whose answer nobody waits for.
    pub(crate) fn nobody(&self) -> CallId {
        CallId(self.key())
    }

    /// Brings an answer to whoever asked, wherever that is.
    pub(crate) fn answer(&self, call: CallId, result: Result<CallReply, Refusal>) {
        let shard = shard_of(call.0);
        if shard != self.0.shard {
            return self.post(shard, Message::Reply(call, Box::new(result)));
        }
        if let Some(answer) = self.0.calls.borrow_mut().remove(&call) {
            // Nobody waits any more: the client is gone.
            drop(answer.send(result));
        }
    }

    /// Calls and chunks under way that were read on this shard.
    pub(crate) fn in_flight(&self) -> usize {
        self.0.calls.borrow().len() + self.0.readers.borrow().len()
    }
}

fn shard_of(key: u64) -> u16 {
    (key >> SHARD_SHIFT) as u16
}

/// Says that nobody waits any more, when the asking task is dropped.
struct CallGuard<'a> {
    switch: &'a Switch,
    call: CallId,
    to: u16,
}

impl Drop for CallGuard<'_> {
    fn drop(&mut self) {
        if self.switch.0.calls.borrow_mut().remove(&self.call).is_some() {
            let call = self.call;
            self.switch.post(self.to, Message::Event(Event::CallCut { call }));
        }
    }
}

/// A chunk being read; dropped when its reader is done with it.
pub(crate) struct ReaderHandle {
    switch: Switch,
    key: StreamKey,
}

impl ReaderHandle {
    pub(crate) fn key(&self) -> StreamKey {
        self.key
    }

    /// Hands bytes of the chunk to its owner; they come back by [`Switch::release`].
    pub(crate) fn hand_over(&self, owner: u16, bytes: bytes::Bytes) {
        if let Some(reader) = self.switch.0.readers.borrow_mut().get_mut(&self.key) {
            reader.held_bytes += bytes.len();
        }
        let event = Event::ChunkPiece { stream: self.key, bytes };
        self.switch.post(owner, Message::Event(event));
    }

    /// Hands a chunk to its owner, on this shard, that came whole with its header.
    pub(crate) fn hand_over_whole(&self, open: ChunkOpen, bytes: bytes::Bytes) {
        if let Some(reader) = self.switch.0.readers.borrow_mut().get_mut(&self.key) {
            reader.held_bytes += bytes.len();
        }
        self.switch.post_here(Event::ChunkWhole { open: Box::new(open), bytes });
    }

    /// The owner gave all of it back unread.
    pub(crate) fn take_back(&self) {
        if let Some(reader) = self.switch.0.readers.borrow_mut().get_mut(&self.key) {
            reader.held_bytes = 0;
        }
    }

    /// The owner's next word on the chunk.
    pub(crate) fn poll_reply(&self, cx: &mut Context<'_>) -> Poll<StreamReply> {
        let mut readers = self.switch.0.readers.borrow_mut();
        let reader = readers.get_mut(&self.key).expect("it stays while its handle lives");
        match reader.replies.pop_front() {
            Some(reply) => Poll::Ready(reply),
            None => {
                reader.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl Drop for ReaderHandle {
    fn drop(&mut self) {
        let mut readers = self.switch.0.readers.borrow_mut();
        let reader = readers.get_mut(&self.key).expect("it stays while its handle lives");
        reader.gone = true;
        if reader.held_bytes == 0 {
            readers.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::task::Wake;

    use sluice_io::reactor::mesh::mesh;

    use super::*;

    #[derive(Default)]
    struct Woken(std::sync::atomic::AtomicBool);

    impl Wake for Woken {
        fn wake(self: std::sync::Arc<Self>) {
            self.0.store(true, std::sync::atomic::Ordering::SeqCst);
        }
    }

    #[test]
    fn a_driver_that_sleeps_looks_after_what_finds_no_room_in_the_mesh() {
        let mut ends = mesh(2, 2).into_iter();
        let [(sender, mut own), (_sender, mut other)] =
            [0, 1].map(|_| ends.next().unwrap().split());
        let switch = Switch::new(0, 2, sender);
        let woken = std::sync::Arc::new(Woken::default());
        let waker = Waker::from(woken.clone());
        let mut cx = Context::from_waker(&waker);
        assert!(switch.poll_next(&mut own, &mut cx).is_pending());
        for call in 0..3 {
            switch.post(1, Message::Event(Event::CallCut { call: CallId(call) }));
        }
        assert!(woken.0.load(std::sync::atomic::Ordering::SeqCst));
        assert!(matches!(switch.poll_next(&mut own, &mut cx), Poll::Ready(None)));
        assert!(switch.flush(), "no room yet");
        assert!(other.try_recv().is_some());
        assert!(!switch.flush());
    }
}
