//! One body into a byte range of a file, and a byte range of a file back out.
//!
//! Invariants:
//! - a block is written past the page cache only when it lies wholly inside the body; what
//!   neighbours may share goes through the cache, so two bodies never clash in one block;
//! - a writer holds at most [`WRITES_IN_FLIGHT_MAX`] + 1 buffers of [`BUFFER_BYTES`];
//! - nothing is reported as written before every write has ended well.

use std::collections::VecDeque;
use std::io;

use bytes::Bytes;

use crate::reactor::file::{
    BLOCK_BYTES, BUFFER_BYTES, Block, Buffer, BufferPool, File, PendingWrite,
};

/// How many writes of one body may be under way before its caller waits.
pub const WRITES_IN_FLIGHT_MAX: usize = 2;

/// Bodies shorter than this go through the page cache: too small for a direct write to pay.
pub const DIRECT_BODY_BYTES_MIN: u64 = 64 << 10;

/// Writes one body of known length at a place in a file.
///
/// Dropping it lets writes under way end by themselves; the range then holds anything.
pub struct BodyWriter {
    file: File,
    pool: BufferPool,
    position: u64,
    end: u64,
    /// Where direct I/O begins and ends; equal when there is none.
    direct_from: u64,
    direct_to: u64,
    filling: Option<Filling>,
    in_flight: VecDeque<PendingWrite>,
}

struct Filling {
    memory: Memory,
    start: u64,
    capacity: usize,
    filled: usize,
}

enum Memory {
    Direct(Buffer),
    Cached(Vec<u8>),
}

impl BodyWriter {
    /// A writer of the `bytes` bytes from `offset` on.
    pub fn new(file: File, pool: BufferPool, offset: u64, bytes: u64) -> BodyWriter {
        let end = offset.checked_add(bytes).expect("offsets stay far below 2^64");
        let (mut direct_from, mut direct_to) = (end, end);
        if file.is_direct() && bytes >= DIRECT_BODY_BYTES_MIN {
            direct_from = offset.next_multiple_of(BLOCK_BYTES);
            direct_to = end - end % BLOCK_BYTES;
        }
        let in_flight = VecDeque::with_capacity(WRITES_IN_FLIGHT_MAX);
        BodyWriter {
            file,
            pool,
            position: offset,
            end,
            direct_from,
            direct_to,
            filling: None,
            in_flight,
        }
    }

    /// Takes the next piece. Its memory is free again when this returns.
    ///
    /// Waits while too many writes are under way.
    ///
    /// # Errors
    /// That of an earlier write. The body is lost then; `StorageFull` says why.
    ///
    /// # Panics
    /// When the body would become longer than announced.
    pub async fn append(&mut self, piece: Bytes) -> io::Result<()> {
        self.append_slice(&piece).await
    }

    /// As [`append`](Self::append), from a slice.
    ///
    /// # Errors
    /// As [`append`](Self::append).
    ///
    /// # Panics
    /// As [`append`](Self::append).
    pub async fn append_slice(&mut self, mut rest: &[u8]) -> io::Result<()> {
        assert!(rest.len() as u64 <= self.end - self.position, "more bytes than announced");
        while !rest.is_empty() {
            if self.filling.is_none() {
                while self.in_flight.len() >= WRITES_IN_FLIGHT_MAX {
                    self.await_oldest().await?;
                }
                self.filling = Some(self.next_filling());
            }
            let filling = self.filling.as_mut().expect("made above");
            let count = filling.copy_from(rest);
            rest = &rest[count..];
            self.position += count as u64;
            if filling.filled == filling.capacity {
                self.start_write();
            }
        }
        Ok(())
    }

    /// Waits until every byte is written; with `sync` also until it survives a power cut.
    ///
    /// # Errors
    /// That of any write or of the sync. The body must not be acknowledged then.
    ///
    /// # Panics
    /// When the body is shorter than announced.
    pub async fn finish(mut self, sync: bool) -> io::Result<()> {
        assert_eq!(self.position, self.end, "fewer bytes than announced");
        while !self.in_flight.is_empty() {
            self.await_oldest().await?;
        }
        if sync { self.file.sync_data().await } else { Ok(()) }
    }

    /// Gives the body up: waits until no write of it can still happen.
    pub async fn abandon(mut self) {
        while !self.in_flight.is_empty() {
            // The range holds anything now, so how a write ended says nothing.
            drop(self.await_oldest().await);
        }
    }

    async fn await_oldest(&mut self) -> io::Result<()> {
        match self.in_flight.pop_front() {
            Some(write) => write.done().await,
            None => Ok(()),
        }
    }

    fn next_filling(&self) -> Filling {
        let start = self.position;
        let in_direct = (self.direct_from..self.direct_to).contains(&start);
        let until = match in_direct {
            true => self.direct_to,
            false if start < self.direct_from => self.direct_from,
            false => self.end,
        };
        let capacity = (until - start).min(BUFFER_BYTES as u64) as usize;
        let memory = match in_direct {
            true => Memory::Direct(self.file.buffer(&self.pool, capacity)),
            false => Memory::Cached(Vec::with_capacity(capacity)),
        };
        Filling { memory, start, capacity, filled: 0 }
    }

    fn start_write(&mut self) {
        let Some(filling) = self.filling.take() else { return };
        self.in_flight.push_back(match filling.memory {
            Memory::Direct(buffer) => self.file.start_write_direct(buffer, filling.start),
            Memory::Cached(data) => self.file.start_write(data, filling.start),
        });
    }
}

impl Filling {
    fn copy_from(&mut self, source: &[u8]) -> usize {
        let count = source.len().min(self.capacity - self.filled);
        let source = &source[..count];
        match &mut self.memory {
            Memory::Direct(buffer) => {
                buffer.bytes_mut()[self.filled..self.filled + count].copy_from_slice(source);
            }
            Memory::Cached(data) => data.extend_from_slice(source),
        }
        self.filled += count;
        count
    }
}

/// Reads a byte range in blocks of at most [`BUFFER_BYTES`].
pub struct RangeReader {
    file: File,
    position: u64,
    end: u64,
}

impl RangeReader {
    /// A reader of the `bytes` bytes from `offset` on.
    pub fn new(file: File, offset: u64, bytes: u64) -> RangeReader {
        RangeReader { file, position: offset, end: offset + bytes }
    }

    /// The next block, nothing once the range is read.
    ///
    /// # Errors
    /// `UnexpectedEof` when the file ends inside the range.
    pub async fn next(&mut self) -> io::Result<Option<Block>> {
        let bytes = (self.end - self.position).min(BUFFER_BYTES as u64) as usize;
        if bytes == 0 {
            return Ok(None);
        }
        let block = self.file.read_at(self.position, bytes).await?;
        if block.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.position += block.len() as u64;
        Ok(Some(block))
    }
}
