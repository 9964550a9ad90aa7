//! Uploads of every kind, brought to their end through whatever happens to the server.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use sluice_proto::client::{Client, RetryPolicy, Source, UploadOptions};
use sluice_proto::error::Reason;
use sluice_proto::pb::{self, UploadState};
use tokio::runtime::Builder;

use super::calls::{Calls, Persist, checked_chunk};
use super::{Random, noise, sha256};

/// What an upload does on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// By the client library, sizes promised; every try is a new `Client::upload`.
    Library,
    /// Chunk by chunk: shuffled, odd sizes, nothing promised, one chunk replaced.
    Shuffled,
    /// On streams of chunks, shuffled; every try is a new stream.
    Streamed,
    /// In one call.
    Payload,
    /// No bytes at all.
    Empty,
    /// Given up after some chunks.
    Aborted,
    /// With a SHA-256 that its bytes don't have.
    Mismatch,
}

impl Kind {
    pub const ALL: [Self; 7] = [
        Self::Library,
        Self::Shuffled,
        Self::Streamed,
        Self::Payload,
        Self::Empty,
        Self::Aborted,
        Self::Mismatch,
    ];
}

/// How much time passes between two chunks of an upload.
#[derive(Debug, Clone, Copy, Default)]
pub struct Pace(pub Duration);

/// What became of an upload.
#[derive(Debug, Clone)]
pub struct Outcome {
    pub upload_id: String,
    pub filename: String,
    pub ended: Ended,
}

/// The same, as it must be found on disk.
#[derive(Debug, Clone)]
pub enum Ended {
    /// An object of these bytes.
    Whole(Vec<u8>),
    /// No object.
    As(UploadState),
}

/// Brings one upload to its end, on this thread.
pub fn work(kind: Kind, address: &str, seed: u64, pace: Pace) -> Outcome {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(run(kind, address, seed, pace))
}

/// Uploads of all kinds, one after the other, until it is told to stop.
pub fn work_until(stop: &AtomicBool, address: &str, first_seed: u64, pace: Pace) -> Vec<Outcome> {
    let mut outcomes = Vec::new();
    for seed in first_seed.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let kind = Kind::ALL[(seed % Kind::ALL.len() as u64) as usize];
        outcomes.push(work(kind, address, seed, pace));
    }
    outcomes
}

async fn run(kind: Kind, address: &str, seed: u64, pace: Pace) -> Outcome {
    let filename = format!("{kind:?}-{seed}").to_lowercase();
    let one = One { calls: Calls::to(address), random: Random::new(seed), filename, seed, pace };
    match kind {
        Kind::Library => library(address, one).await,
        Kind::Shuffled => one.shuffled().await,
        Kind::Streamed => one.streamed().await,
        Kind::Payload => one.payload().await,
        Kind::Empty => one.empty().await,
        Kind::Aborted => one.aborted().await,
        Kind::Mismatch => one.mismatch().await,
    }
}

async fn library(address: &str, mut one: One) -> Outcome {
    let bytes = noise(one.seed, one.random.within(200_000..500_000) as usize);
    let mut acked_bytes = 0;
    loop {
        match library_once(address, &mut one, &bytes, &mut acked_bytes).await {
            Ok(upload_id) => return one.ended(upload_id, Ended::Whole(bytes)),
            Err(error) => assert!(error.can_resume(), "{}: {error}", one.filename),
        }
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
}

/// One try. `acked_bytes`: what earlier tries saw acknowledged.
async fn library_once(
    address: &str,
    one: &mut One,
    bytes: &[u8],
    acked_bytes: &mut u64,
) -> Result<String, sluice_proto::client::ClientError> {
    let once = RetryPolicy { attempts: 1, patience: Duration::ZERO, ..RetryPolicy::default() };
    let client = Client::connect(address).await?.with_retry(once);
    let options = UploadOptions {
        filename: one.filename.clone(),
        request_id: Some(one.filename.clone()),
        // Above and below what is written directly to disk.
        chunk_bytes: Some(if one.seed.is_multiple_of(2) { 30_011 } else { 70_001 }),
        parallel: Some(3),
        ..UploadOptions::default()
    };
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    let source = Source::File { file: Arc::new(file), size_bytes: bytes.len() as u64 };
    let before = *acked_bytes;
    let report = client
        .upload(source, options, |told| *acked_bytes = told.acked_bytes.max(*acked_bytes))
        .await?;
    assert!(report.resumed_bytes >= before, "{} bytes were acked, {report:?}", before);
    assert_eq!(report.object.size_bytes, bytes.len() as i64);
    Ok(report.upload_id)
}

/// One upload made of single calls.
pub(super) struct One {
    pub(super) calls: Calls,
    pub(super) random: Random,
    filename: String,
    pub(super) seed: u64,
    pub(super) pace: Pace,
}

impl One {
    pub(super) fn ended(&self, upload_id: String, ended: Ended) -> Outcome {
        Outcome { upload_id, filename: self.filename.clone(), ended }
    }

    pub(super) async fn initiate(
        &self,
        request: pb::InitiateUploadRequest,
    ) -> pb::InitiateUploadResponse {
        let request = pb::InitiateUploadRequest {
            filename: self.filename.clone(),
            request_id: self.filename.clone(),
            ..request
        };
        let call = async || self.calls.initiate_upload(request.clone()).await;
        Persist::new().call(call).await.unwrap_or_else(|error| panic!("initiate: {error:?}"))
    }

    /// Sends a chunk until it is acked. What was acked before must be there after every failure.
    async fn send(&self, request: pb::UploadChunkRequest, acked: &Mutex<BTreeSet<i32>>) -> bool {
        let (id, number) = (&request.upload_id, request.chunk_number);
        let call = async || {
            let before = acked.lock().unwrap().clone();
            let answer = self.calls.upload_chunk(request.clone()).await;
            if answer.is_err() {
                self.assert_received(id, &before).await;
            }
            answer
        };
        let answer = Persist::new().call(call).await;
        let answer = answer.unwrap_or_else(|error| panic!("chunk {number} of {id}: {error:?}"));
        assert_eq!(answer.chunk_number, number);
        acked.lock().unwrap().insert(number);
        tokio::time::sleep(self.pace.0).await;
        answer.duplicate
    }

    pub(super) async fn assert_received(&self, id: &str, acked: &BTreeSet<i32>) {
        let status = self.status(id).await;
        let is_in = |number: i32| {
            status.received_ranges.iter().any(|range| (range.first..=range.last).contains(&number))
        };
        let lost: Vec<_> = acked.iter().filter(|&&number| !is_in(number)).collect();
        assert!(lost.is_empty(), "{id}: acked and lost: {lost:?}; {status:?}");
    }

    async fn status(&self, id: &str) -> pb::GetUploadStatusResponse {
        let answer = Persist::new().call(async || self.calls.status(id).await).await;
        answer.unwrap_or_else(|error| panic!("status of {id}: {error:?}"))
    }

    async fn shuffled(mut self) -> Outcome {
        let sizes: Vec<usize> = (0..self.random.within(4..10))
            .map(|_| self.random.within(1..100_000) as usize)
            .collect();
        let bytes = noise(self.seed, sizes.iter().sum());
        let id = self.initiate(pb::InitiateUploadRequest::default()).await.upload_id;
        let by_is_last = self.random.next().is_multiple_of(2);
        let mut chunks = Vec::new();
        let mut offset = 0;
        for (number, size) in sizes.iter().enumerate() {
            let data = &bytes[offset..offset + size];
            offset += size;
            let mut chunk = checked_chunk(&id, number as i32, data, self.random.next());
            chunk.is_last = by_is_last && offset == bytes.len();
            chunks.push(chunk);
        }
        let acked = Mutex::default();
        self.replace(&mut chunks[1], &acked).await;
        self.random.shuffle(&mut chunks);
        let sending = chunks.iter().map(|chunk| self.send(chunk.clone(), &acked));
        stream::iter(sending).buffer_unordered(3).collect::<Vec<_>>().await;
        let again = self.send(chunks[0].clone(), &acked).await;
        assert!(again, "the same bytes came twice");
        let object = self.complete(&id, Some(sizes.len() as i32)).await;
        assert_eq!(object.sha256, sha256(&bytes)[..], "{id}");
        self.ended(id, Ended::Whole(bytes))
    }

    /// Sends other bytes under the chunk's number first, then the chunk itself with `force`.
    /// Nothing may be before it: what was hashed can't be replaced.
    async fn replace(&self, chunk: &mut pb::UploadChunkRequest, acked: &Mutex<BTreeSet<i32>>) {
        let other = noise(self.seed + 1, self.seed as usize % 50_000 + 1);
        let id = chunk.upload_id.clone();
        self.send(checked_chunk(&id, chunk.chunk_number, &other, 1), acked).await;
        let forced = pb::UploadChunkRequest { force: true, ..chunk.clone() };
        self.send(forced, acked).await;
    }

    pub(super) async fn complete(&self, id: &str, chunks: Option<i32>) -> pb::ObjectInfo {
        let persist = Persist::new();
        loop {
            let answer = persist.call(async || self.calls.complete(id, chunks).await).await;
            let answer = answer.unwrap_or_else(|error| panic!("complete {id}: {error:?}"));
            match answer.state() {
                UploadState::Completing => {}
                UploadState::Completed => return answer.object.expect("COMPLETED has an object"),
                state => panic!("{id} ended as {state:?}"),
            }
        }
    }

    async fn payload(mut self) -> Outcome {
        let bytes = noise(self.seed, self.random.within(1..90_000) as usize);
        let payload = Some(bytes.clone().into());
        let answer =
            self.initiate(pb::InitiateUploadRequest { payload, ..Default::default() }).await;
        // The answer may have come from a restarted server that is still at it.
        let object = self.complete(&answer.upload_id, Some(1)).await;
        assert_eq!(object.size_bytes, bytes.len() as i64);
        self.ended(answer.upload_id, Ended::Whole(bytes))
    }

    async fn empty(self) -> Outcome {
        let id = self.initiate(pb::InitiateUploadRequest::default()).await.upload_id;
        let object = self.complete(&id, Some(0)).await;
        assert_eq!((object.size_bytes, &object.sha256[..]), (0, &sha256(b"")[..]));
        self.ended(id, Ended::Whole(Vec::new()))
    }

    async fn aborted(self) -> Outcome {
        let id = self.initiate(pb::InitiateUploadRequest::default()).await.upload_id;
        let acked = Mutex::default();
        for number in [0, 3] {
            self.send(checked_chunk(&id, number, &noise(self.seed, 70_000), 2), &acked).await;
        }
        let request = pb::AbortUploadRequest { upload_id: id.clone(), reason: "test".into() };
        let call = async || self.calls.abort_upload(request.clone()).await;
        let state = Persist::new().call(call).await.unwrap().state();
        assert_eq!(state, UploadState::Aborted);
        self.ended(id, Ended::As(state))
    }

    async fn mismatch(self) -> Outcome {
        let request = pb::InitiateUploadRequest {
            sha256: sha256(b"something else").to_vec().into(),
            ..Default::default()
        };
        let id = self.initiate(request).await.upload_id;
        let acked = Mutex::default();
        for number in [1, 0] {
            let data = noise(self.seed + number as u64, 40_000);
            self.send(checked_chunk(&id, number, &data, 1), &acked).await;
        }
        let call = async || self.calls.complete(&id, Some(2)).await;
        let refusal = loop {
            match Persist::new().call(call).await {
                Ok(answer) => assert_eq!(answer.state(), UploadState::Completing, "{id}"),
                Err(refusal) => break refusal,
            }
        };
        assert_eq!(refusal.reason, Some(Reason::ObjectMismatch), "{refusal:?}");
        let upload = self.status(&id).await.upload.unwrap();
        assert_eq!(upload.state(), UploadState::Failed);
        self.ended(id, Ended::As(UploadState::Failed))
    }
}
