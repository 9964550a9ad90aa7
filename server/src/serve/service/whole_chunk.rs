//! A small chunk that came whole before its owner was asked: most of them do.

use std::{
    future::poll_fn,
    task::{Context, Poll},
};

use bytes::{Bytes, BytesMut};
use sluice_proto::{error::Refusal, grpc::Trailer};

use super::{
    Failed,
    inflow::{Inflow, Part, Source},
};

/// Longer ones come in pieces, as memory is granted. Fits the first window of a stream.
pub(super) const WHOLE_BYTES_MAX: u64 = 16 << 10;

/// All of a chunk, and the end of its message.
pub(super) struct WholeChunk {
    data: Bytes,
    is_told: bool,
    is_over: bool,
}

impl WholeChunk {
    /// Takes a chunk of `data_bytes` out of a decoder that has told its header, if it is small, all
    /// of it is here, and nothing follows. Else the decoder goes on as if nobody had asked.
    pub(super) async fn take(
        source: &mut impl Source,
        inflow: &mut Inflow,
        data_bytes: u64,
    ) -> Result<Option<Self>, Failed> {
        if data_bytes > WHOLE_BYTES_MAX {
            return Ok(None);
        }
        let is_here = poll_fn(|cx| Poll::Ready(is_here(source, inflow, cx))).await?;
        // What is late, a field or another message, is the decoder's to judge.
        if !is_here || source.unread_bytes() as u64 != data_bytes {
            return Ok(None);
        }
        let mut data = Bytes::new();
        let mut joined = BytesMut::new();
        while let Some(Part::Data(piece)) = source.next_part()? {
            if data.is_empty() && joined.is_empty() {
                data = piece;
            } else {
                joined.extend_from_slice(&std::mem::take(&mut data));
                joined.extend_from_slice(&piece);
            }
        }
        source.finish()?;
        let data = if joined.is_empty() { data } else { joined.freeze() };
        Ok(Some(Self { data, is_told: false, is_over: false }))
    }

    /// Its payload.
    pub(super) fn data(&self) -> Bytes {
        self.data.clone()
    }
}

fn is_here(
    source: &mut impl Source,
    inflow: &mut Inflow,
    cx: &mut Context<'_>,
) -> Result<bool, Failed> {
    loop {
        match inflow.poll_read_into(source, cx) {
            Poll::Ready(Ok(true)) => {}
            Poll::Ready(Ok(false)) => return Ok(source.missing_bytes() == 0),
            Poll::Ready(Err(gone)) => return Err(gone),
            Poll::Pending => return Ok(false),
        }
    }
}

/// For an owner that wants it opened as any other.
impl Source for WholeChunk {
    fn push(&mut self, _: Bytes) {
        unreachable!("the stream has ended");
    }

    fn unpin(&mut self) {
        self.data = Bytes::copy_from_slice(&self.data);
    }

    fn next_part(&mut self) -> Result<Option<Part>, Refusal> {
        Ok(if !std::mem::replace(&mut self.is_told, true) {
            Some(Part::Data(std::mem::take(&mut self.data)))
        } else if !std::mem::replace(&mut self.is_over, true) {
            Some(Part::End(Trailer::default()))
        } else {
            None
        })
    }

    fn unread_bytes(&self) -> usize {
        self.data.len()
    }

    fn missing_bytes(&self) -> u64 {
        0
    }

    fn finish(&self) -> Result<(), Refusal> {
        Ok(())
    }
}
