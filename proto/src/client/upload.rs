//! One upload from Initiate to its end.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use bytes::Bytes;
use tokio::task::JoinSet;

use crate::checksum::{Crc32c, Crc64Nvme};
use crate::client::link::Link;
use crate::client::source::Source;
use crate::client::{Client, ClientError, RetryPolicy};
use crate::error::{Reason, ReceivedRefusal};
use crate::pb::{self, UploadState};

const CHUNK_BYTES_DEFAULT: u64 = 8 << 20;
const PARALLEL_DEFAULT: usize = 8;
const POLL_INTERVAL: Duration = Duration::from_millis(250);
/// How often chunks that the server misses after all are sent again.
const REPAIRS_MAX: u32 = 3;

/// What an upload is called, and how it is sent.
#[derive(Debug, Clone, Default)]
pub struct UploadOptions {
    /// Empty: `default`.
    pub drive_id: String,
    /// Empty: the server chooses.
    pub node_id: String,
    /// The client's name for it.
    pub filename: String,
    /// Media type.
    pub mime_type: String,
    /// The client's own pairs.
    pub metadata: HashMap<String, String>,
    /// Makes it resumable across processes; `None`: random.
    pub request_id: Option<String>,
    /// Refuse if the drive has this filename.
    pub if_not_exists: bool,
    /// What an ack must survive.
    pub ack_level: pb::AckLevel,
    /// Bytes of a chunk; `None`: 8 MiB. A resume must name the same.
    pub chunk_bytes: Option<u64>,
    /// Chunks in flight; `None`: what the server recommends.
    pub parallel: Option<usize>,
    /// SHA-256 of the whole, if it is known.
    pub sha256: Option<[u8; 32]>,
}

/// How far an upload is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Progress {
    /// The server's id of it.
    pub upload_id: String,
    /// Bytes acknowledged, those of an earlier try included.
    pub acked_bytes: u64,
    /// Bytes that an earlier try had sent.
    pub resumed_bytes: u64,
    /// Bytes of the whole, if known.
    pub size_bytes: Option<u64>,
}

/// What an upload became.
#[derive(Debug, Clone, PartialEq)]
pub struct UploadReport {
    /// The server's id of it.
    pub upload_id: String,
    /// The node that it is.
    pub node_id: String,
    /// Where its bytes are.
    pub object: pb::ObjectInfo,
    /// Bytes sent.
    pub size_bytes: u64,
    /// Of what was sent; equal to the stored object's where the server has one.
    pub crc64nvme: u64,
    /// Bytes that an earlier try had sent.
    pub resumed_bytes: u64,
}

#[derive(Clone)]
struct Call {
    link: Link,
    retry: RetryPolicy,
    upload_id: String,
}

/// Sum and length of a chunk.
type Sums = BTreeMap<u32, (u64, u64)>;

pub(super) async fn run(
    client: &Client,
    mut source: Source,
    options: UploadOptions,
    mut progress: impl FnMut(&Progress),
) -> Result<UploadReport, ClientError> {
    let size_bytes = source.size_bytes();
    let opened = initiate(client, size_bytes, &options).await?;
    let limits = opened.limits.unwrap_or_default();
    let link = client.first.with_owner(&opened.endpoints).await;
    let call = Call { link, retry: client.retry, upload_id: opened.upload_id.clone() };
    let mut missing = match opened.duplicate {
        true => Some(call.missing().await?),
        false => None,
    };
    let mut told = Progress { upload_id: call.upload_id.clone(), size_bytes, ..Default::default() };
    let mut repairs = 0;
    loop {
        let sums = call
            .send_chunks(&mut source, &options, limits, missing.as_ref(), &mut told, &mut progress)
            .await?;
        match call.complete(sums.len(), options.sha256).await {
            Ok(object) => {
                return report(opened, object, &sums, &told);
            }
            // An earlier try's chunks can be gone; only a file can be read again.
            Err(ClientError::Refused(refusal))
                if refusal.reason == Some(Reason::MissingChunks)
                    && size_bytes.is_some()
                    && repairs < REPAIRS_MAX =>
            {
                repairs += 1;
                told.acked_bytes = 0;
                told.resumed_bytes = 0;
                missing = Some(call.missing().await?);
            }
            Err(error) => return Err(error),
        }
    }
}

async fn initiate(
    client: &Client,
    size_bytes: Option<u64>,
    options: &UploadOptions,
) -> Result<pb::InitiateUploadResponse, ClientError> {
    let request_id = match &options.request_id {
        Some(id) => id.clone(),
        None => format!("{:016x}", getrandom::u64().map_err(std::io::Error::other)?),
    };
    let request = pb::InitiateUploadRequest {
        drive_id: options.drive_id.clone(),
        node_id: options.node_id.clone(),
        filename: options.filename.clone(),
        mime_type: options.mime_type.clone(),
        metadata: options.metadata.clone(),
        expected_size_bytes: size_bytes.map(|size| size as i64),
        // Of a stream nothing is promised.
        chunk_size_bytes: size_bytes.map_or(0, |_| chunk_bytes(options) as i64),
        sha256: options.sha256.map_or(Bytes::new(), |sum| Bytes::copy_from_slice(&sum)),
        if_not_exists: options.if_not_exists,
        request_id,
        ack_level: options.ack_level.into(),
        max_size_bytes: 0,
        payload: None,
    };
    let send = || {
        let (mut service, request) = (client.first.service(), request.clone());
        async move { service.initiate_upload(request).await }
    };
    client.retry.run(&client.first, send).await
}

fn chunk_bytes(options: &UploadOptions) -> u64 {
    options.chunk_bytes.unwrap_or(CHUNK_BYTES_DEFAULT).max(1)
}

fn report(
    opened: pb::InitiateUploadResponse,
    object: pb::ObjectInfo,
    sums: &Sums,
    told: &Progress,
) -> Result<UploadReport, ClientError> {
    let (sent, size_bytes) = sums
        .values()
        .fold((0, 0), |(sum, size), &(next, len)| (Crc64Nvme::combine(sum, next, len), size + len));
    if let Some(stored) = Crc64Nvme::from_wire(&object.crc64nvme)
        && stored != sent
    {
        return Err(ClientError::Integrity { sent, stored });
    }
    Ok(UploadReport {
        upload_id: opened.upload_id,
        node_id: opened.node_id,
        object,
        size_bytes,
        crc64nvme: sent,
        resumed_bytes: told.resumed_bytes,
    })
}

impl Call {
    /// Sends every chunk that is not in, and sums them all.
    async fn send_chunks(
        &self,
        source: &mut Source,
        options: &UploadOptions,
        limits: pb::UploadLimits,
        missing: Option<&Missing>,
        told: &mut Progress,
        progress: &mut impl FnMut(&Progress),
    ) -> Result<Sums, ClientError> {
        let mut size = chunk_bytes(options);
        if source.size_bytes().is_none() && limits.max_chunk_bytes > 0 {
            size = size.min(limits.max_chunk_bytes as u64);
        }
        let recommended = usize::try_from(limits.recommended_parallel_chunks).ok();
        let recommended = recommended.filter(|&count| count > 0).unwrap_or(PARALLEL_DEFAULT);
        let parallel = options.parallel.unwrap_or(recommended).max(1);
        let mut sums = Sums::new();
        // Dropping it on an error ends what is in flight.
        let mut flying = JoinSet::new();
        for number in 0.. {
            let Some(data) = source.read(number, size as usize).await? else { break };
            let (sum, len) = (Crc64Nvme::of(&data), data.len() as u64);
            sums.insert(number, (sum, len));
            if missing.is_some_and(|missing| !missing.contains(number)) {
                told.acked_bytes += len;
                told.resumed_bytes += len;
                continue;
            }
            // At most `parallel` chunks are held.
            while flying.len() >= parallel {
                land(flying.join_next().await, told, progress)?;
            }
            let call = self.clone();
            flying.spawn(async move { call.send_chunk(number, data, sum).await });
        }
        while !flying.is_empty() {
            land(flying.join_next().await, told, progress)?;
        }
        progress(told);
        Ok(sums)
    }

    async fn send_chunk(&self, number: u32, data: Bytes, sum: u64) -> Result<u64, ClientError> {
        let len = data.len() as u64;
        let request = pb::UploadChunkRequest {
            upload_id: self.upload_id.clone(),
            chunk_number: number as i32,
            crc32c: Bytes::copy_from_slice(&Crc32c::of(&data).to_be_bytes()),
            crc64nvme: Bytes::copy_from_slice(&sum.to_be_bytes()),
            data,
            ..Default::default()
        };
        let send = || {
            let (mut service, request) = (self.link.service(), request.clone());
            async move { service.upload_chunk(request).await }
        };
        self.retry.run(&self.link, send).await?;
        Ok(len)
    }

    /// Which chunks are not in, from all pages.
    async fn missing(&self) -> Result<Missing, ClientError> {
        let mut missing = Missing::default();
        let mut page_token = String::new();
        loop {
            let request = pb::GetUploadStatusRequest {
                upload_id: self.upload_id.clone(),
                page_size: 0,
                page_token,
            };
            let call = || {
                let (mut service, request) = (self.link.service(), request.clone());
                async move { service.get_upload_status(request).await }
            };
            let page = self.retry.run(&self.link, call).await?;
            missing.add(&page);
            if page.next_page_token.is_empty() {
                return Ok(missing);
            }
            page_token = page.next_page_token;
        }
    }

    /// Fixes the number of chunks and waits for the end.
    async fn complete(
        &self,
        chunks: usize,
        sha256: Option<[u8; 32]>,
    ) -> Result<pb::ObjectInfo, ClientError> {
        let request = pb::CompleteUploadRequest {
            upload_id: self.upload_id.clone(),
            total_chunks: Some(chunks as i32),
            sha256: sha256.map_or(Bytes::new(), |sum| Bytes::copy_from_slice(&sum)),
        };
        loop {
            let send = || {
                let (mut service, request) = (self.link.service(), request.clone());
                async move { service.complete_upload(request).await }
            };
            let answer = self.retry.run(&self.link, send).await?;
            match answer.state() {
                UploadState::Completed => {
                    let lost = || ClientError::broken_answer("COMPLETED without an object");
                    return answer.object.ok_or_else(lost);
                }
                state @ (UploadState::Failed | UploadState::Aborted | UploadState::Expired) => {
                    return Err(self.ended(state).await);
                }
                _ => tokio::time::sleep(POLL_INTERVAL).await,
            }
        }
    }

    async fn ended(&self, state: UploadState) -> ClientError {
        let upload_id = self.upload_id.clone();
        let request = pb::GetUploadStatusRequest { upload_id, ..Default::default() };
        let call = || {
            let (mut service, request) = (self.link.service(), request.clone());
            async move { service.get_upload_status(request).await }
        };
        let status = self.retry.run(&self.link, call).await.ok();
        let error = status.and_then(|status| status.upload?.error);
        ClientError::Ended { state, error: error.map(|e| ReceivedRefusal::from_status(&e).into()) }
    }
}

fn land(
    landed: Option<Result<Result<u64, ClientError>, tokio::task::JoinError>>,
    told: &mut Progress,
    progress: &mut impl FnMut(&Progress),
) -> Result<(), ClientError> {
    let landed = landed.expect("asked only while chunks are in flight");
    told.acked_bytes += landed.map_err(std::io::Error::other)??;
    progress(told);
    Ok(())
}

/// What the server has: everything else is missing.
#[derive(Debug, Default)]
struct Missing {
    /// First to last of every received range.
    received: BTreeMap<u32, u32>,
}

impl Missing {
    fn add(&mut self, page: &pb::GetUploadStatusResponse) {
        for range in &page.received_ranges {
            if let (Ok(first), Ok(last)) = (range.first.try_into(), range.last.try_into()) {
                self.received.insert(first, last);
            }
        }
    }

    fn contains(&self, number: u32) -> bool {
        let before = self.received.range(..=number).next_back();
        before.is_none_or(|(_, &last)| last < number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_page_names_is_missing() {
        let mut missing = Missing::default();
        for (first, last) in [(0, 2), (5, 5)] {
            let received_ranges = vec![pb::ChunkRange { first, last }];
            missing.add(&pb::GetUploadStatusResponse { received_ranges, ..Default::default() });
        }
        let numbers: Vec<u32> = (0..8).filter(|&number| missing.contains(number)).collect();
        assert_eq!(numbers, [3, 4, 6, 7]);
    }
}
