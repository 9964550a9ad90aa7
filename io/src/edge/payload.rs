//! One stream's payload between the socket and whoever serves the stream.

use std::{
    collections::VecDeque,
    task::{Context, Poll, Waker},
};

use bytes::{Bytes, BytesMut};

use super::lane::Cut;

/// A shorter piece is copied: it would pin the block that it lies in whole. Such copies are joined
/// up to this length, or a client's one-byte frames would take many times their window in memory.
const TINY_BYTES: usize = 4 << 10;

#[derive(Default)]
pub(super) struct Payload {
    pieces: VecDeque<Bytes>,
    tail: BytesMut,
    queued_bytes: usize,
    /// h2 has handed the request out, so that somebody takes what comes.
    pub(super) served: bool,
    pub(super) ended: bool,
    /// It has ended, and h2 doesn't know yet.
    pub(super) end_unshown: bool,
    pub(super) cut: Option<Cut>,
    waker: Option<Waker>,
}

impl Payload {
    /// Of a request whose rest won't come.
    pub(super) fn cut(cut: Cut) -> Self {
        Self { served: true, cut: Some(cut), ..Self::default() }
    }

    /// `is_late`: it may lie here for long.
    pub(super) fn push(&mut self, bytes: Bytes, is_late: bool) {
        self.queued_bytes += bytes.len();
        if bytes.len() >= TINY_BYTES {
            self.end_tail();
            self.pieces.push_back(if is_late { Bytes::copy_from_slice(&bytes) } else { bytes });
        } else {
            self.tail.extend_from_slice(&bytes);
            if self.tail.len() >= TINY_BYTES {
                self.end_tail();
            }
        }
        self.wake();
    }

    /// What is here will lie here for long: it lets go of the blocks that it lies in. Else a few
    /// streams that wait could pin every block there is.
    pub(super) fn unpin(&mut self) {
        self.pieces.iter_mut().for_each(|piece| *piece = Bytes::copy_from_slice(piece));
    }

    fn end_tail(&mut self) {
        if !self.tail.is_empty() {
            self.pieces.push_back(std::mem::take(&mut self.tail).freeze());
        }
    }

    pub(super) fn queued_bytes(&self) -> usize {
        self.queued_bytes
    }

    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Cut>>> {
        if let Some(cut) = self.cut {
            return Poll::Ready(Some(Err(cut)));
        }
        if self.pieces.is_empty() {
            self.end_tail();
        }
        if let Some(bytes) = self.pieces.pop_front() {
            self.queued_bytes -= bytes.len();
            return Poll::Ready(Some(Ok(bytes)));
        }
        if self.ended {
            return Poll::Ready(None);
        }
        self.waker = Some(cx.waker().clone());
        Poll::Pending
    }

    pub(super) fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiny_pieces_are_joined_and_nothing_changes_places() {
        let mut payload = Payload::default();
        let mut sent = Vec::new();
        for (n, length) in [1, 2, 5_000, 3].into_iter().chain([1; 10_000]).enumerate() {
            let bytes = vec![n as u8; length];
            sent.extend_from_slice(&bytes);
            payload.push(bytes.into(), false);
        }
        assert_eq!(payload.queued_bytes(), sent.len());
        payload.ended = true;
        let (mut cx, mut got, mut pieces) = (Context::from_waker(Waker::noop()), Vec::new(), 0);
        while let Poll::Ready(Some(piece)) = payload.poll_next(&mut cx) {
            got.extend_from_slice(&piece.unwrap());
            pieces += 1;
        }
        assert_eq!((got, pieces, payload.queued_bytes()), (sent, 5, 0));
    }
}
