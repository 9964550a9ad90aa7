//! One request as its server sees it. Knows no HTTP/2.

use std::{
    cell::RefCell,
    future::poll_fn,
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures_lite::future::poll_once;
use http::{HeaderMap, Request, Response, header::CONTENT_LENGTH, request::Parts};

use super::{
    credit::NoCredit,
    lane::{Cut, Lane},
};
use crate::reactor::timer;

/// A request, its payload and the way to answer.
pub struct EdgeRequest {
    /// Path and metadata.
    pub head: Parts,
    /// The payload.
    pub body: EdgeBody,
    /// The answer.
    pub reply: EdgeReply,
}

impl EdgeRequest {
    pub(super) fn new(
        request: Request<h2::RecvStream>,
        respond: h2::server::SendResponse<Bytes>,
        lane: Rc<RefCell<Lane>>,
    ) -> Self {
        let (head, mut body) = request.into_parts();
        let stream = body.stream_id().into();
        let is_declared = head.headers.contains_key(CONTENT_LENGTH);
        lane.borrow_mut().serve(stream, body.is_end_stream(), is_declared);
        // Its other half goes, so that h2 keeps nothing of what it is shown.
        let handle = body.flow_control().clone();
        let slot = Slot::new(lane.clone());
        Self {
            head,
            body: EdgeBody { lane, stream, handle: Some(handle) },
            reply: EdgeReply { respond, stream: None, slot, is_patient: false },
        }
    }
}

/// A request's payload. Dropping it drains what the client still sends, bounded.
pub struct EdgeBody {
    lane: Rc<RefCell<Lane>>,
    stream: u32,
    /// Keeps the stream open.
    handle: Option<h2::FlowControl>,
}

impl EdgeBody {
    /// The next piece, a slice of the block that the socket was read into; `None` at the end.
    /// Each piece is to be [released](Self::release) once.
    pub async fn next(&mut self) -> Option<Result<Bytes, Cut>> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    /// As [`next`](Self::next).
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Cut>>> {
        self.lane.borrow_mut().poll_next(self.stream, cx)
    }

    /// So many bytes of a message must still come, and are paid for: opens the window for them.
    ///
    /// # Errors
    /// When neither windows nor reserve can pay: refuse the message.
    pub fn grant(&self, bytes_left: u64) -> Result<(), NoCredit> {
        self.lane.borrow_mut().grant(self.stream, bytes_left)
    }

    /// The message waits for admission, with its window shut.
    ///
    /// # Errors
    /// When too many wait: refuse the message.
    pub fn park(&self) -> Result<(), NoCredit> {
        self.lane.borrow_mut().park(self.stream)
    }

    /// Whether it is our window that keeps the client from sending, which has so much left to send.
    #[must_use]
    pub fn is_held_up(&self, bytes_left: u64) -> bool {
        self.lane.borrow().is_held_up(self.stream, bytes_left)
    }

    /// So many bytes have left memory.
    pub fn release(&self, bytes: usize) {
        self.lane.borrow_mut().release(self.stream, bytes);
    }

    /// Gives window back for this stream from elsewhere, also after the body is dropped.
    #[must_use]
    pub fn releaser(&self) -> Releaser {
        Releaser { lane: self.lane.clone(), stream: self.stream }
    }
}

impl Drop for EdgeBody {
    fn drop(&mut self) {
        let handle = self.handle.take().expect("it is taken here alone");
        self.lane.borrow_mut().leave(self.stream, handle, timer::now_ms());
    }
}

/// See [`EdgeBody::releaser`].
#[derive(Clone)]
pub struct Releaser {
    lane: Rc<RefCell<Lane>>,
    stream: u32,
}

impl Releaser {
    /// So many bytes have left memory.
    pub fn release(&self, bytes: usize) {
        self.lane.borrow_mut().release(self.stream, bytes);
    }
}

/// Nobody waits for the answer any more.
#[derive(Debug, thiserror::Error)]
#[error("the client is gone")]
pub struct Gone;

impl From<h2::Error> for Gone {
    fn from(_: h2::Error) -> Self {
        Self
    }
}

/// A call's place among those that are served at one time.
struct Slot(Rc<RefCell<Lane>>);

impl Slot {
    fn new(lane: Rc<RefCell<Lane>>) -> Self {
        lane.borrow_mut().call_began();
        Self(lane)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.borrow_mut().call_ended();
    }
}

/// The way to answer. Dropped unfinished, the client sees a reset.
pub struct EdgeReply {
    respond: h2::server::SendResponse<Bytes>,
    stream: Option<h2::SendStream<Bytes>>,
    slot: Slot,
    is_patient: bool,
}

impl EdgeReply {
    /// Waits for a client that takes nothing for as long as it is there: of an answer that goes
    /// on by itself, a client may read nothing for a while.
    pub fn be_patient(&mut self) {
        self.is_patient = true;
    }

    /// Ready once nobody waits for the answer any more: the client reset the stream, or its
    /// connection is gone.
    pub fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let reset = match &mut self.stream {
            Some(stream) => stream.poll_reset(cx),
            None => self.respond.poll_reset(cx),
        };
        reset.map(drop)
    }

    /// Sends the answer's head; `end` if it is all there is.
    ///
    /// # Errors
    /// [`Gone`].
    pub fn head(&mut self, head: Response<()>, end: bool) -> Result<(), Gone> {
        self.stream = Some(self.respond.send_response(head, end)?);
        Ok(())
    }

    /// Sends bytes, as fast as the client takes them.
    ///
    /// # Errors
    /// [`Gone`], also when the client takes nothing for too long, unless this is
    /// [patient](Self::be_patient).
    ///
    /// # Panics
    /// Before [`head`](Self::head).
    pub async fn send(&mut self, mut bytes: Bytes) -> Result<(), Gone> {
        let stream = self.stream.as_mut().expect("the head goes first");
        while !bytes.is_empty() {
            stream.reserve_capacity(bytes.len());
            let capacity = poll_fn(|cx| stream.poll_capacity(cx));
            let capacity = match poll_once(capacity).await {
                Some(capacity) => capacity,
                None if self.is_patient => poll_fn(|cx| stream.poll_capacity(cx)).await,
                None => {
                    let capacity = poll_fn(|cx| stream.poll_capacity(cx));
                    let patience = Duration::from_millis(self.slot.0.borrow().reply_ms_max());
                    timer::deadline(capacity, patience).await.map_err(|_elapsed| Gone)?
                }
            };
            let capacity = capacity.ok_or(Gone)??;
            let some = bytes.split_to(capacity.min(bytes.len()));
            stream.send_data(some, false)?;
        }
        Ok(())
    }

    /// Ends the answer.
    ///
    /// # Errors
    /// [`Gone`].
    ///
    /// # Panics
    /// Before [`head`](Self::head).
    pub fn finish(&mut self, trailers: HeaderMap) -> Result<(), Gone> {
        let stream = self.stream.as_mut().expect("the head goes first");
        Ok(stream.send_trailers(trailers)?)
    }
}
