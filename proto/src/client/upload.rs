//! One upload from Initiate to its end.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::{JoinError, JoinSet};

use crate::checksum::Crc64Nvme;
use crate::client::chunk::{Again, Chunk, Sending};
use crate::client::initiate::{initiate, open, request};
use crate::client::link::{CALL_TIMEOUT, Link, within};
use crate::client::missing::Missing;
use crate::client::source::Source;
use crate::client::{
    Client, ClientError, Pace, Progress, RetryPolicy, UploadOptions, UploadReport,
};
use crate::error::{Reason, ReceivedRefusal};
use crate::pb::{self, UploadState};

const PARALLEL_DEFAULT: usize = 8;
/// A file up to this goes along with InitiateUpload, if that makes one chunk of it.
const PAYLOAD_BYTES_MAX: u64 = 1 << 20;
const POLL_INTERVAL: Duration = Duration::from_millis(250);
/// Progress is told this often, also when nothing is acknowledged.
const TELL_INTERVAL: Duration = Duration::from_millis(500);
/// How often chunks that the server misses after all are sent again.
const REPAIRS_MAX: u32 = 3;

#[derive(Clone)]
pub(super) struct Call {
    pub link: Link,
    pub retry: RetryPolicy,
    pub pace: Option<Pace>,
    pub upload_id: String,
    pub sending: Sending,
}

/// Chunks in flight; each gives its length.
type Flying = JoinSet<Landed>;
type Landed = Result<u64, ClientError>;

/// What comes first.
enum Either {
    Read(std::io::Result<Option<Bytes>>),
    Landed(Result<Landed, JoinError>),
}

/// Sum and length of each chunk.
type Sums = BTreeMap<u32, (u64, u64)>;

pub(super) async fn run(
    client: &Client,
    mut source: Source,
    options: UploadOptions,
    mut progress: impl FnMut(&Progress),
) -> Result<UploadReport, ClientError> {
    let size_bytes = source.size_bytes();
    if size_bytes.is_some_and(|size| size <= options.chunk_bytes_for(None).min(PAYLOAD_BYTES_MAX)) {
        return run_small(client, source, &options, progress).await;
    }
    let (opened, chunk_bytes) = open(client, &options, size_bytes).await?;
    let limits = opened.limits.unwrap_or_default();
    let parallel = parallel(&options, &limits);
    let call = Call::of(client, &opened, &options).await;
    let mut missing = match opened.duplicate {
        true => Some(call.missing().await?),
        false => None,
    };
    let mut told = Progress { upload_id: call.upload_id.clone(), size_bytes, ..Default::default() };
    let mut repairs = 0;
    loop {
        let sums = call
            .send_chunks(
                &mut source,
                chunk_bytes,
                parallel,
                missing.as_ref(),
                &mut told,
                &mut progress,
            )
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

/// The whole in one call.
async fn run_small(
    client: &Client,
    mut source: Source,
    options: &UploadOptions,
    mut progress: impl FnMut(&Progress),
) -> Result<UploadReport, ClientError> {
    let size_bytes = source.size_bytes();
    let _room = room(options.pace.as_ref()).await;
    let data = source.read(0, PAYLOAD_BYTES_MAX as usize).await?.unwrap_or_default();
    let mut sums = Sums::new();
    if !data.is_empty() {
        sums.insert(0, (Crc64Nvme::of(&data), data.len() as u64));
    }
    let mut request = request(options, size_bytes)?;
    let acked_bytes = data.len() as u64;
    request.payload = Some(data);
    let opened = initiate(client, &request, options.pace.as_ref()).await?;
    let resumed_bytes = if opened.duplicate { acked_bytes } else { 0 };
    let upload_id = opened.upload_id.clone();
    let told = Progress { upload_id, acked_bytes, resumed_bytes, size_bytes, ..Default::default() };
    progress(&told);
    let object = match &opened.object {
        Some(object) => object.clone(),
        // It takes longer than the call, or ended otherwise.
        None => {
            let call = Call::of(client, &opened, options).await;
            call.complete(sums.len(), options.sha256).await?
        }
    };
    report(opened, object, &sums, &told)
}

fn parallel(options: &UploadOptions, limits: &pb::UploadLimits) -> usize {
    let recommended = usize::try_from(limits.recommended_parallel_chunks).ok();
    let recommended = recommended.filter(|&count| count > 0).unwrap_or(PARALLEL_DEFAULT);
    options.parallel.unwrap_or(recommended).max(1)
}

/// Room for a chunk in memory, where that has a bound.
async fn room(pace: Option<&Pace>) -> Option<OwnedSemaphorePermit> {
    match pace {
        Some(pace) => Some(pace.chunk().await),
        None => None,
    }
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
    async fn of(
        client: &Client,
        opened: &pb::InitiateUploadResponse,
        options: &UploadOptions,
    ) -> Self {
        Self {
            link: client.first.with_owner(&opened.endpoints).await,
            retry: client.retry,
            pace: options.pace.clone(),
            upload_id: opened.upload_id.clone(),
            sending: Sending::default(),
        }
    }

    /// Waits until one chunk is in.
    async fn land(
        &self,
        flying: &mut Flying,
        told: &mut Progress,
        progress: &mut impl FnMut(&Progress),
    ) -> Result<(), ClientError> {
        loop {
            let landed = tokio::time::timeout(TELL_INTERVAL, flying.join_next()).await;
            if let Ok(landed) = landed {
                let landed = landed.expect("asked only while chunks are in flight");
                told.acked_bytes += landed.map_err(std::io::Error::other)??;
                self.tell(flying, told, progress);
                return Ok(());
            }
            self.tell(flying, told, progress);
        }
    }

    fn tell(&self, flying: &Flying, told: &mut Progress, progress: &mut impl FnMut(&Progress)) {
        (told.in_flight, told.retries) = (flying.len(), self.link.retries());
        progress(told);
    }

    /// Reads a chunk. A stream may keep it waiting: chunks go on landing meanwhile.
    async fn read(
        &self,
        read: impl Future<Output = std::io::Result<Option<Bytes>>>,
        flying: &mut Flying,
        told: &mut Progress,
        progress: &mut impl FnMut(&Progress),
    ) -> Result<Option<Bytes>, ClientError> {
        let mut read = pin!(read);
        loop {
            let next = poll_fn(|context| match read.as_mut().poll(context) {
                Poll::Ready(data) => Poll::Ready(Either::Read(data)),
                Poll::Pending => match flying.poll_join_next(context) {
                    Poll::Ready(Some(landed)) => Poll::Ready(Either::Landed(landed)),
                    Poll::Ready(None) | Poll::Pending => Poll::Pending,
                },
            });
            match next.await {
                Either::Read(data) => return Ok(data?),
                Either::Landed(landed) => {
                    told.acked_bytes += landed.map_err(std::io::Error::other)??;
                    self.tell(flying, told, progress);
                }
            }
        }
    }

    /// Sends every chunk that is not in, and sums them all.
    async fn send_chunks(
        &self,
        source: &mut Source,
        chunk_bytes: u64,
        parallel: usize,
        missing: Option<&Missing>,
        told: &mut Progress,
        progress: &mut impl FnMut(&Progress),
    ) -> Result<Sums, ClientError> {
        let mut sums = Sums::new();
        // Dropping it on an error ends what is in flight.
        let mut flying = Flying::new();
        for number in 0.. {
            // At most `parallel` chunks are held.
            while flying.len() >= parallel {
                self.land(&mut flying, told, progress).await?;
            }
            let room = room(self.pace.as_ref()).await;
            let read = source.read(number, chunk_bytes as usize);
            let Some(data) = self.read(read, &mut flying, told, progress).await? else { break };
            let len = data.len() as u64;
            let chunk = Chunk::new(number, data);
            sums.insert(number, (chunk.sums.crc64nvme(), len));
            if missing.is_some_and(|missing| !missing.contains(number)) {
                told.acked_bytes += len;
                told.resumed_bytes += len;
                continue;
            }
            let (call, turn) = (self.clone(), self.sending.begin(number));
            let chunk_bytes = chunk_bytes as usize;
            let again = source.again().map(|source| Again { source, chunk_bytes });
            flying.spawn(async move {
                let (_room, _turn) = (room, turn);
                call.send_chunk(chunk, again).await
            });
        }
        while !flying.is_empty() {
            self.land(&mut flying, told, progress).await?;
        }
        progress(told);
        Ok(sums)
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
                async move { within(CALL_TIMEOUT, service.get_upload_status(request)).await }
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
                async move { within(CALL_TIMEOUT, service.complete_upload(request)).await }
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
            async move { within(CALL_TIMEOUT, service.get_upload_status(request)).await }
        };
        let status = self.retry.run(&self.link, call).await.ok();
        let error = status.and_then(|status| status.upload?.error);
        ClientError::Ended { state, error: error.map(|e| ReceivedRefusal::from_status(&e).into()) }
    }
}
