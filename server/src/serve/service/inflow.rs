//! A request's payload on its way into a decoder, and what of it is still ours to give back.
//!
//! Invariant: every byte that was read is given back to its window once, also when whoever reads
//! is dropped in between.

use std::{
    future::poll_fn,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use sluice_io::{
    edge::{
        credit::NoCredit,
        request::{EdgeBody, Releaser},
    },
    reactor::timer,
};
use sluice_proto::{
    error::{Reason, Refusal},
    grpc::Trailer,
};

use super::{Failed, RETRY_AFTER_MS, not_one_message};

/// A message's head, from the stream's first byte on, has to be here in this time, and a message
/// without payload whole.
const HEAD_MS: u64 = 30_000;

/// What a payload's decoder found next.
pub(super) enum Part {
    /// A slice of the payload.
    Data(Bytes),
    /// The message is over.
    End(Trailer),
}

/// A decoder whose header was read.
pub(super) trait Source {
    fn push(&mut self, piece: Bytes);
    /// Copies what was pushed and not told yet.
    fn unpin(&mut self);
    fn next_part(&mut self) -> Result<Option<Part>, Refusal>;
    /// Bytes that were pushed and not told yet: of the next message, once one is over.
    fn unread_bytes(&self) -> usize;
    /// Bytes that the message still lacks.
    fn missing_bytes(&self) -> u64;
    /// The stream has ended: whether it was exactly one message.
    fn finish(&self) -> Result<(), Refusal>;
}

/// A request's body, and what of it is still ours to give back.
pub(super) struct Inflow {
    body: EdgeBody,
    /// The client sends no more.
    ended: bool,
    /// Bytes that were read, and neither handed to an owner nor given back.
    held_bytes: usize,
}

impl Inflow {
    pub(super) fn new(body: EdgeBody) -> Self {
        Self { body, ended: false, held_bytes: 0 }
    }

    /// The decoder has taken in all that was read and is not payload.
    pub(super) fn give_back(&mut self) {
        self.give_back_but(0);
    }

    /// As [`give_back`](Self::give_back), but for what lies in the decoder unread.
    pub(super) fn give_back_but(&mut self, unread_bytes: usize) {
        let taken_bytes = self.held_bytes.saturating_sub(unread_bytes);
        self.held_bytes -= taken_bytes;
        if taken_bytes > 0 {
            self.body.release(taken_bytes);
        }
    }

    /// So much of what was read is with its owner, who gives it back by the
    /// [`releaser`](Self::releaser).
    pub(super) fn handed_over(&mut self, bytes: usize) {
        self.held_bytes -= bytes;
    }

    /// It wasn't: so much is ours again.
    pub(super) fn taken_back(&mut self, bytes: usize) {
        self.held_bytes += bytes;
    }

    /// See [`EdgeBody::releaser`].
    pub(super) fn releaser(&self) -> Releaser {
        self.body.releaser()
    }

    /// See [`EdgeBody::grant`].
    pub(super) fn grant(&self, bytes_left: u64) -> Result<(), Refusal> {
        self.body.grant(bytes_left).map_err(no_window)
    }

    /// See [`EdgeBody::is_held_up`].
    pub(super) fn is_held_up(&self, bytes_left: u64) -> bool {
        self.body.is_held_up(bytes_left)
    }

    /// See [`EdgeBody::park`].
    pub(super) fn park(&self) -> Result<(), Refusal> {
        self.body.park().map_err(no_window)
    }

    /// Reads on into a decoder; `false` once the client sends no more.
    pub(super) async fn read_into(&mut self, source: &mut impl Source) -> Result<bool, Failed> {
        poll_fn(|cx| self.poll_read_into(source, cx)).await
    }

    /// As [`read_into`](Self::read_into).
    pub(super) fn poll_read_into(
        &mut self,
        source: &mut impl Source,
        cx: &mut Context<'_>,
    ) -> Poll<Result<bool, Failed>> {
        let piece = ready!(self.poll_next(cx))?;
        Poll::Ready(Ok(piece.map(|piece| source.push(piece)).is_some()))
    }

    /// The next piece, held until it is [given back](Self::give_back); `None` once the client
    /// sends no more.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, Failed> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Failed>> {
        if self.ended {
            return Poll::Ready(Ok(None));
        }
        match ready!(self.body.poll_next(cx)) {
            Some(Ok(piece)) => {
                self.held_bytes += piece.len();
                Poll::Ready(Ok(Some(piece)))
            }
            Some(Err(_cut)) => Poll::Ready(Err(Failed::Gone)),
            None => {
                self.ended = true;
                Poll::Ready(Ok(None))
            }
        }
    }
}

impl Drop for Inflow {
    fn drop(&mut self) {
        self.give_back();
    }
}

fn no_window(_: NoCredit) -> Refusal {
    Refusal::new(Reason::Budget, "no window for this chunk just now").retry_after_ms(RETRY_AFTER_MS)
}

/// Reads on until `next` finds a message's head.
///
/// What is read stays within the stream's first window, so an endless head ends by itself; and it
/// is copied, so a slow one pins no block.
pub(super) async fn read_head<S: Source, T>(
    source: &mut S,
    inflow: &mut Inflow,
    next: impl Fn(&mut S) -> Result<Option<T>, Refusal>,
) -> Result<T, Failed> {
    let reading = async {
        loop {
            if let Some(head) = next(source)? {
                return Ok(head);
            }
            source.unpin();
            if !inflow.read_into(source).await? {
                source.finish()?;
                return Err(not_one_message().into());
            }
        }
    };
    in_time(reading).await
}

/// Refuses what takes longer to come than a message's head may.
pub(super) async fn in_time<T>(
    reading: impl Future<Output = Result<T, Failed>>,
) -> Result<T, Failed> {
    match timer::deadline(reading, Duration::from_millis(HEAD_MS)).await {
        Ok(read) => read,
        Err(_elapsed) => {
            let message = format!("the head of the message took longer than {HEAD_MS} ms");
            Err(Refusal::new(Reason::Rate, message).retry_after_ms(RETRY_AFTER_MS).into())
        }
    }
}
