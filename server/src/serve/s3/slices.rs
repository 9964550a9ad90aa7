//! Bytes of an upload from wherever they wait: files, Redis, memory. None is copied but by the disk.

use std::{
    cell::RefCell,
    collections::VecDeque,
    fmt::{self, Display},
    io,
    rc::Rc,
};

use bytes::Bytes;
use futures_util::stream;
use send_wrapper::SendWrapper;
use sluice_io::{disk::RangeReader, reactor::file::Block, redis::RedisError, s3::Body};
use sluice_proto::ids::UploadId;
use sluice_shard::{
    effect::{PlaceFrom, Slice},
    event::Failure,
};

use crate::serve::{
    bodies::Bodies,
    files::Files,
    redis::{BodyName, RedisSpool},
    work::Cause,
};

/// Where bytes of one shard's uploads wait. Clones share it.
#[derive(Clone)]
pub(in crate::serve) struct Slices {
    pub(in crate::serve) files: Files,
    pub(in crate::serve) bodies: Bodies,
    pub(in crate::serve) redis: Option<RedisSpool>,
}

/// Why bytes can't be had.
#[derive(Debug)]
pub(in crate::serve) enum SliceError {
    File(io::Error),
    Redis(RedisError),
    /// A body isn't in Redis, or isn't whole.
    Gone {
        number: u32,
        attempt: u32,
    },
}

/// Why the bytes of a request ended early, where somebody else has to be told.
#[derive(Clone, Default)]
pub(super) struct Told(Rc<RefCell<Option<SliceError>>>);

impl Told {
    pub(super) fn take(&self) -> Option<SliceError> {
        self.0.take()
    }
}

/// Reads slices one after the other.
pub(in crate::serve) struct SliceReader {
    from: Slices,
    upload_id: UploadId,
    left: VecDeque<Slice>,
    current: Option<Current>,
}

enum Current {
    File(RangeReader),
    Redis { body: BodyName, at: u64, end: u64 },
    Memory(VecDeque<Bytes>),
}

impl Slices {
    pub(in crate::serve) fn read(&self, upload_id: UploadId, slices: &[Slice]) -> SliceReader {
        let left = slices.iter().copied().collect();
        SliceReader { from: self.clone(), upload_id, left, current: None }
    }

    /// As a request's body. `told` gets the reason when they can't be had.
    pub(super) fn body(&self, upload_id: UploadId, slices: &[Slice], told: &Told) -> Body {
        let bytes = slices.iter().map(|slice| slice.bytes).sum();
        let is_in_memory = |slice: &Slice| matches!(slice.from, PlaceFrom::Memory(_));
        if slices.iter().all(is_in_memory) {
            return Body::rope(slices.iter().flat_map(|slice| self.in_memory(slice)));
        }
        let (reader, told) = (self.read(upload_id, slices), told.clone());
        let pieces = stream::unfold(Some(reader), move |reader| {
            let told = told.clone();
            async move {
                let mut reader = reader?;
                match reader.next().await {
                    Ok(piece) => piece.map(|piece| (Ok(piece), Some(reader))),
                    Err(error) => {
                        let words = error.to_string();
                        told.0.replace(Some(error));
                        Some((Err(words), None))
                    }
                }
            }
        });
        Body::streamed(bytes, pieces)
    }

    async fn open(&self, upload_id: UploadId, slice: Slice) -> Result<Current, SliceError> {
        Ok(match slice.from {
            PlaceFrom::Spool(extent) => {
                let file = self.files.written_segment(upload_id.store(), extent.segment).await?;
                let start = extent.offset + slice.offset;
                Current::File(RangeReader::new(file, start, slice.bytes))
            }
            PlaceFrom::Redis { number, attempt } => {
                let body = BodyName { upload_id, number, attempt };
                Current::Redis { body, at: slice.offset, end: slice.offset + slice.bytes }
            }
            PlaceFrom::Memory(_) => Current::Memory(self.in_memory(&slice).into()),
        })
    }

    /// The pieces of a slice that is held in memory.
    fn in_memory(&self, slice: &Slice) -> Vec<Bytes> {
        let PlaceFrom::Memory(body) = slice.from else { unreachable!("it isn't in memory") };
        cut(self.bodies.in_memory(body), slice.offset, slice.bytes)
    }
}

/// `bytes` bytes of these pieces, from `offset` on.
fn cut(pieces: Vec<Bytes>, mut offset: u64, mut bytes: u64) -> Vec<Bytes> {
    let mut taken = Vec::new();
    for piece in pieces {
        let length = piece.len() as u64;
        if offset >= length {
            offset -= length;
            continue;
        }
        let end = length.min(offset + bytes);
        if end > offset {
            bytes -= end - offset;
            taken.push(piece.slice(offset as usize..end as usize));
        }
        offset = 0;
    }
    taken
}

impl SliceReader {
    /// The next bytes, nothing once all are read.
    pub(in crate::serve) async fn next(&mut self) -> Result<Option<Bytes>, SliceError> {
        loop {
            let piece = match &mut self.current {
                Some(Current::File(reader)) => reader.next().await?.map(held),
                Some(Current::Redis { body, at, end }) if *at < *end => {
                    let BodyName { number, attempt, .. } = *body;
                    let redis =
                        self.from.redis.as_ref().expect("bodies in Redis have a spool there");
                    let piece = redis.read(*body, *at, *end).await?;
                    let piece = piece.ok_or(SliceError::Gone { number, attempt })?;
                    *at += piece.len() as u64;
                    Some(piece)
                }
                Some(Current::Memory(pieces)) => pieces.pop_front(),
                Some(Current::Redis { .. }) | None => None,
            };
            if piece.is_some() {
                return Ok(piece);
            }
            let Some(slice) = self.left.pop_front() else { return Ok(None) };
            self.current = Some(self.from.open(self.upload_id, slice).await?);
        }
    }
}

/// A block that was read, as bytes that don't leave this executor.
fn held(block: Block) -> Bytes {
    struct Held(SendWrapper<Block>);
    impl AsRef<[u8]> for Held {
        fn as_ref(&self) -> &[u8] {
            &self.0
        }
    }
    Bytes::from_owner(Held(SendWrapper::new(block)))
}

impl From<io::Error> for SliceError {
    fn from(error: io::Error) -> Self {
        Self::File(error)
    }
}

impl From<RedisError> for SliceError {
    fn from(error: RedisError) -> Self {
        Self::Redis(error)
    }
}

impl Display for SliceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(error) => error.fmt(f),
            Self::Redis(error) => write!(f, "redis: {error}"),
            Self::Gone { number, .. } => {
                write!(f, "redis has lost chunk {number}: it is asked for again")
            }
        }
    }
}

impl Cause for SliceError {
    fn failure(&self) -> Failure {
        match self {
            Self::File(_) | Self::Redis(_) => Failure::Unavailable,
            Self::Gone { number, attempt } => Failure::Gone { number: *number, attempt: *attempt },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slice_of_pieces_has_its_bytes_and_no_others() {
        let all: Vec<u8> = (0..100).collect();
        let pieces: Vec<_> = all.chunks(7).map(Bytes::copy_from_slice).collect();
        for offset in 0..100 {
            for bytes in 1..=100 - offset {
                let taken = cut(pieces.clone(), offset as u64, bytes as u64);
                assert_eq!(taken.concat(), all[offset..offset + bytes]);
                assert!(taken.iter().all(|piece| !piece.is_empty()));
            }
        }
    }
}
