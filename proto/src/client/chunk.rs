//! One chunk on its way in, and the one that has to be in before it.

use std::collections::BTreeSet;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

use crate::checksum::ChunkSums;
use crate::client::ClientError;
use crate::client::initiate::{chunk_timeout, paid};
use crate::client::link::within;
use crate::client::source::Source;
use crate::client::upload::Call;
use crate::error::{Reason, ReceivedRefusal};
use crate::pb;

/// A chunk that is held.
pub(super) struct Chunk {
    pub number: u32,
    pub data: Bytes,
    pub sums: ChunkSums,
}

impl Chunk {
    pub fn new(number: u32, data: Bytes) -> Self {
        Self { number, sums: ChunkSums::of(&data), data }
    }
}

/// Chunks of one upload that somebody sends. Clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Sending(Arc<Mutex<BTreeSet<u32>>>);

/// A chunk is being sent for as long as this lives.
pub(super) struct Turn {
    sending: Sending,
    number: u32,
}

impl Sending {
    /// `None`: somebody sends it already.
    pub fn begin(&self, number: u32) -> Option<Turn> {
        let is_first = self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(number);
        is_first.then(|| Turn { sending: self.clone(), number })
    }

    fn has(&self, number: u32) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(&number)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut sending = self.sending.0.lock().unwrap_or_else(PoisonError::into_inner);
        sending.remove(&self.number);
    }
}

/// A file, from which chunks of so many bytes can be read again.
pub(super) struct Again {
    pub source: Source,
    pub chunk_bytes: usize,
}

impl Again {
    async fn read(&mut self, number: u32) -> io::Result<Chunk> {
        let data = self.source.read(number, self.chunk_bytes).await?;
        let data = data.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?;
        Ok(Chunk::new(number, data))
    }
}

impl Call {
    /// Sends a chunk until it is in; its length.
    ///
    /// Where the server takes none before another is in that nobody sends, as it was in and is lost,
    /// that one goes first, in the place of this one, which is read again.
    pub(super) async fn send_chunk(
        &self,
        mut chunk: Chunk,
        mut again: Option<Again>,
    ) -> Result<u64, ClientError> {
        let (number, len) = (chunk.number, chunk.data.len() as u64);
        // Each is sent once from here at most, and in their order: so this ends.
        let mut next = 0;
        loop {
            let (from, can_read) = (next, again.is_some());
            let left_out = |refusal: &ReceivedRefusal| {
                let first = missing_chunk(refusal).filter(|_| can_read);
                first.filter(|first| (from..number).contains(first) && !self.sending.has(*first))
            };
            let sent = self.try_chunk(&chunk, |refusal| left_out(refusal).is_some()).await;
            let error = match sent {
                Ok(()) => return Ok(len),
                Err(error) => error,
            };
            let first = match &error {
                ClientError::Refused(refusal) => missing_chunk(refusal).filter(|_| can_read),
                _ => None,
            };
            let first = first.filter(|first| (from..number).contains(first));
            let (Some(first), Some(again)) = (first, &mut again) else {
                return Err(error);
            };
            // Others are told the same.
            if let Some(_turn) = self.sending.begin(first) {
                drop(chunk);
                let first = again.read(first).await?;
                self.try_chunk(&first, |_| false).await?;
                drop(first);
                chunk = again.read(number).await?;
            }
            next = first + 1;
        }
    }

    /// Sends a chunk until it is in, can't ever be, or `stops` says so of a refusal.
    async fn try_chunk(
        &self,
        chunk: &Chunk,
        stops: impl Fn(&ReceivedRefusal) -> bool,
    ) -> Result<(), ClientError> {
        let len = chunk.data.len() as u64;
        let request = pb::UploadChunkRequest {
            upload_id: self.upload_id.clone(),
            chunk_number: chunk.number as i32,
            crc32c: Bytes::copy_from_slice(&chunk.sums.crc32c().to_be_bytes()),
            crc64nvme: Bytes::copy_from_slice(&chunk.sums.crc64nvme().to_be_bytes()),
            data: chunk.data.clone(),
            ..Default::default()
        };
        let send = || {
            let (mut service, request) = (self.link.service(), request.clone());
            async move {
                paid(self.pace.as_ref(), len).await;
                within(chunk_timeout(len), service.upload_chunk(request)).await
            }
        };
        self.retry.run_until(&self.link, send, stops).await.map(drop)
    }
}

/// The chunk that others wait for, where the server has room for no other.
fn missing_chunk(refusal: &ReceivedRefusal) -> Option<u32> {
    let is_full = refusal.reason == Some(Reason::SpoolFull);
    refusal.metadata.get("missing_chunk").filter(|_| is_full)?.parse().ok()
}
