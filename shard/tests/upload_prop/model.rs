//! The contract's rules for one upload, told by chunk numbers alone.

use std::collections::BTreeMap;

use sluice_proto::error::Reason;
use sluice_shard::record::State;

use crate::{CHUNK_BYTES_MAX, In, Send};

/// What the client said of the file when it began.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Promise {
    /// Length of every chunk but the last, bytes.
    pub chunk_bytes: Option<u64>,
    /// Length of the whole, bytes.
    pub size_bytes: Option<u64>,
}

pub(crate) struct Model {
    promise: Promise,
    chunks: BTreeMap<u32, Vec<u8>>,
    /// N, once it is fixed.
    pub total: Option<u32>,
}

impl Model {
    pub(crate) fn new(promise: Promise) -> Self {
        let total = match (promise.size_bytes, promise.chunk_bytes) {
            (Some(0), _) => Some(0),
            (Some(size), Some(chunk)) => Some(size.div_ceil(chunk) as u32),
            _ => None,
        };
        Self { promise, chunks: BTreeMap::new(), total }
    }

    pub(crate) fn has(&self, number: u32) -> bool {
        self.chunks.contains_key(&number)
    }

    pub(crate) fn highest(&self) -> Option<u32> {
        self.chunks.last_key_value().map(|(&number, _)| number)
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.chunks.values().flatten().copied().collect()
    }

    pub(crate) fn state(&self) -> State {
        let size = self.bytes().len() as u64;
        match self.total {
            Some(total) if self.chunks.len() == total as usize => {
                let fits = self.promise.size_bytes.is_none_or(|declared| declared == size);
                if fits { State::Completed } else { State::Failed }
            }
            _ if self.chunks.is_empty() => State::Pending,
            _ => State::Uploading,
        }
    }

    pub(crate) fn send(&mut self, send: &Send) -> Result<In, Reason> {
        let bytes = send.data.len() as u64;
        if bytes > CHUNK_BYTES_MAX {
            return Err(Reason::ChunkTooLarge);
        }
        if bytes == 0 {
            return Err(Reason::FieldInvalid);
        }
        let held = self.chunks.get(&send.number);
        let same = held.is_some_and(|held| *held == send.data);
        if same && self.state() <= State::Completed {
            let total = self.fixed_by(send.number, send.is_last)?;
            self.total = total;
            return Ok(self.is_in(true));
        }
        if self.state() > State::Uploading {
            if held.is_none() {
                self.fixed_by(send.number, send.is_last)?;
            }
            return Err(Reason::UploadEnded);
        }
        if let Some(held) = held {
            if !send.force {
                return Err(Reason::ChunkConflict);
            }
            // Another length would shift what lies behind it.
            let shifts = held.len() != send.data.len() && self.promise.chunk_bytes.is_none();
            if shifts && (0..=send.number).all(|number| self.has(number)) {
                return Err(Reason::ChunkSealed);
            }
        }
        let total = self.judge(send)?;
        self.total = total;
        self.chunks.insert(send.number, send.data.clone());
        Ok(self.is_in(false))
    }

    fn is_in(&self, duplicate: bool) -> In {
        let received_bytes = self.chunks.values().map(|chunk| chunk.len() as u64).sum();
        In { duplicate, received_bytes, received_count: self.chunks.len() as u32 }
    }

    /// N after this chunk, if the chunk is allowed.
    fn judge(&self, send: &Send) -> Result<Option<u32>, Reason> {
        let (number, bytes) = (send.number, send.data.len() as u64);
        if self.total.is_some_and(|total| number >= total) {
            return Err(Reason::LastConflict);
        }
        let mut is_last = send.is_last;
        if let Some(promised) = self.promise.chunk_bytes {
            let exact = match (self.promise.size_bytes, self.total) {
                (Some(size), Some(total)) if number + 1 == total => {
                    Some(size - u64::from(number) * promised)
                }
                (Some(_), _) => Some(promised),
                (None, Some(total)) if number + 1 < total => Some(promised),
                (None, None) if self.highest().is_some_and(|highest| highest > number) => {
                    Some(promised)
                }
                (None, _) => None,
            };
            if exact.is_some_and(|exact| exact != bytes) || bytes > promised {
                return Err(Reason::ChunkSizeBroken);
            }
            is_last |= bytes < promised;
        }
        let total = self.fixed_by(number, is_last)?;
        if let Some(size) = self.promise.size_bytes {
            let others = self.chunks.iter().filter(|(other, _)| **other != number);
            let sum = others.map(|(_, chunk)| chunk.len() as u64).sum::<u64>() + bytes;
            let end = self.promise.chunk_bytes.map_or(0, |each| u64::from(number) * each + bytes);
            if sum.max(end) > size {
                return Err(Reason::SizeMismatch);
            }
        }
        Ok(total)
    }

    /// N, if a chunk says that it is the last.
    fn fixed_by(&self, number: u32, is_last: bool) -> Result<Option<u32>, Reason> {
        if !is_last {
            return Ok(self.total);
        }
        let contradicts = self.total.is_some_and(|total| total != number + 1)
            || self.highest().is_some_and(|highest| highest > number);
        if contradicts { Err(Reason::LastConflict) } else { Ok(Some(number + 1)) }
    }

    pub(crate) fn complete(&mut self, total: Option<u32>) -> Result<State, Reason> {
        if self.state() == State::Failed {
            return Err(Reason::SizeMismatch);
        }
        let most = self.highest().map(|highest| highest + 1);
        let total = match (total, self.total) {
            (Some(asked), Some(fixed)) if asked != fixed => return Err(Reason::LastConflict),
            (_, Some(fixed)) => fixed,
            (Some(asked), None) if most.is_some_and(|most| most > asked) => {
                return Err(Reason::LastConflict);
            }
            (Some(asked), None) => asked,
            (None, None) => most.ok_or(Reason::FieldInvalid)?,
        };
        self.total = Some(total);
        match self.state() {
            State::Completed => Ok(State::Completed),
            State::Failed => Err(Reason::SizeMismatch),
            _ => Err(Reason::MissingChunks),
        }
    }

    /// A length that this chunk may have, bytes.
    pub(crate) fn fitting_bytes(&self, number: u32, total: u32) -> u64 {
        match (self.promise.chunk_bytes, self.promise.size_bytes) {
            (Some(each), Some(size)) if number + 1 == total => size - u64::from(number) * each,
            (Some(each), _) => each,
            (None, _) => 1,
        }
    }
}
