//! One upload: opened, sent chunk by chunk, awaited and verified.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use sluice_proto::checksum::Crc64Nvme;
use sluice_proto::client::RetryPolicy;
use sluice_proto::error::ReceivedRefusal;
use sluice_proto::pb::{self, UploadState};
use tokio::task::JoinSet;
use tonic::{Response, Status};

use crate::clock::now;
use crate::load::links::{Links, Service};
use crate::load::refusal::Refused;
use crate::load::tally::Tally;
use crate::payload::{Chunk, Payload};

/// How often an upload is asked after whose end takes longer than the server waits.
const POLL_INTERVAL: Duration = Duration::from_millis(5);
/// Backoff beside what the server asks for: short, since a closed loop lives from pressing on.
const RETRY: RetryPolicy =
    RetryPolicy { base: Duration::from_millis(10), max: Duration::from_secs(1), attempts: 200 };

/// Why an upload did not come out, and the run doesn't count.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    /// Refused for good, or too often.
    #[error("{call} was refused: {refusal}")]
    Refused {
        /// The RPC.
        call: &'static str,
        /// Why.
        refusal: Box<ReceivedRefusal>,
    },
    /// The object isn't what was sent.
    #[error("{upload_id} is stored as {stored}, and was sent as {sent}")]
    Mismatch {
        /// Which.
        upload_id: String,
        /// Size and checksum of the object.
        stored: String,
        /// Size and checksum of what was sent.
        sent: String,
    },
    /// Ended without an object.
    #[error("{upload_id} ended as {state:?}")]
    Ended {
        /// Which.
        upload_id: String,
        /// As what.
        state: UploadState,
    },
}

/// What every upload of a run shares.
#[derive(Debug)]
pub struct Shared {
    /// Ways to the server.
    pub links: Links,
    /// What is sent.
    pub payload: Payload,
    /// Chunks of one upload in flight at most.
    pub parallel: usize,
    /// What came of it.
    pub tally: Mutex<Tally>,
}

impl Shared {
    fn count(&self, what: impl FnOnce(&mut Tally)) {
        what(&mut self.tally.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Sends a call until it is answered, refused for good, or was tried too often.
    async fn call<T, F>(&self, call: &'static str, send: impl Fn() -> F) -> Result<T, UploadError>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        let mut attempt = 1;
        loop {
            let refused = match send().await {
                Ok(response) => return Ok(response.into_inner()),
                Err(status) => Refused::read(&status),
            };
            let repeat = refused.may_repeat && attempt < RETRY.attempts;
            self.count(|tally| tally.refused(refused.name(), repeat));
            if !repeat {
                return Err(UploadError::Refused { call, refusal: refused.refusal.into() });
            }
            let random = getrandom::u32().unwrap_or(u32::MAX);
            tokio::time::sleep(RETRY.wait(attempt, refused.refusal.retry_after, random)).await;
            attempt += 1;
        }
    }
}

/// Runs upload number `nth` of a run to its verified end.
///
/// # Errors
/// Why there is no such object.
pub async fn upload(shared: &Arc<Shared>, nth: u64) -> Result<(), UploadError> {
    let started = now();
    let plan = shared.payload.plan();
    let opened = open(shared, nth).await?;
    let service = shared.links.owner(&opened.endpoints, nth);
    send_chunks(shared, &service, &opened.upload_id).await?;
    let object = end(shared, &service, &opened.upload_id).await?;
    verify(&shared.payload, &opened.upload_id, &object)?;
    shared.count(|tally| tally.upload_verified(plan.upload_bytes, now() - started));
    Ok(())
}

async fn open(shared: &Shared, nth: u64) -> Result<pb::InitiateUploadResponse, UploadError> {
    let plan = shared.payload.plan();
    let request = pb::InitiateUploadRequest {
        filename: format!("bench-{nth}"),
        expected_size_bytes: Some(plan.upload_bytes as i64),
        chunk_size_bytes: plan.chunk_bytes as i64,
        ..Default::default()
    };
    let send = || {
        let (mut service, request) = (shared.links.any(nth), request.clone());
        async move { service.initiate_upload(request).await }
    };
    shared.call("InitiateUpload", send).await
}

async fn send_chunks(
    shared: &Arc<Shared>,
    service: &Service,
    upload_id: &str,
) -> Result<(), UploadError> {
    let mut flying = JoinSet::new();
    for number in 0..shared.payload.plan().chunks() {
        if flying.len() == shared.parallel {
            land(flying.join_next().await)?;
        }
        let (shared, service, upload_id) = (shared.clone(), service.clone(), upload_id.to_owned());
        flying.spawn(async move {
            let chunk = shared.payload.chunk(number);
            send_chunk(&shared, &service, upload_id, chunk).await
        });
    }
    while !flying.is_empty() {
        land(flying.join_next().await)?;
    }
    Ok(())
}

fn land(
    landed: Option<Result<Result<(), UploadError>, tokio::task::JoinError>>,
) -> Result<(), UploadError> {
    let landed = landed.expect("asked only while chunks are in flight");
    landed.expect("a chunk's task neither panics nor is aborted while it is awaited")
}

async fn send_chunk(
    shared: &Shared,
    service: &Service,
    upload_id: String,
    chunk: Chunk,
) -> Result<(), UploadError> {
    let request = pb::UploadChunkRequest {
        upload_id,
        chunk_number: chunk.number as i32,
        crc64nvme: Bytes::copy_from_slice(&chunk.crc64nvme.to_be_bytes()),
        data: chunk.data,
        ..Default::default()
    };
    let started = now();
    let send = || {
        let (mut service, request) = (service.clone(), request.clone());
        async move { service.upload_chunk(request).await }
    };
    let ack = shared.call("UploadChunk", send).await?;
    let took = now() - started;
    let ending = !matches!(ack.state(), UploadState::Pending | UploadState::Uploading);
    shared.count(|tally| tally.acked(took, ending, ack.duplicate));
    Ok(())
}

async fn end(
    shared: &Shared,
    service: &Service,
    upload_id: &str,
) -> Result<pb::ObjectInfo, UploadError> {
    let request = pb::CompleteUploadRequest {
        upload_id: upload_id.to_owned(),
        total_chunks: Some(shared.payload.plan().chunks() as i32),
        ..Default::default()
    };
    loop {
        let send = || {
            let (mut service, request) = (service.clone(), request.clone());
            async move { service.complete_upload(request).await }
        };
        let answer = shared.call("CompleteUpload", send).await?;
        match (answer.state(), answer.object) {
            (UploadState::Completed, Some(object)) => return Ok(object),
            (UploadState::Completing, _) => tokio::time::sleep(POLL_INTERVAL).await,
            (state, _) => {
                return Err(UploadError::Ended { upload_id: upload_id.to_owned(), state });
            }
        }
    }
}

fn verify(payload: &Payload, upload_id: &str, object: &pb::ObjectInfo) -> Result<(), UploadError> {
    let sent = (payload.plan().upload_bytes as i64, Some(payload.crc64nvme()));
    let stored = (object.size_bytes, Crc64Nvme::from_wire(&object.crc64nvme));
    if sent == stored {
        return Ok(());
    }
    let tell = |(bytes, sum): (i64, Option<u64>)| match sum {
        Some(sum) => format!("{bytes} bytes of CRC-64/NVME {sum:016x}"),
        None => format!("{bytes} bytes without a CRC-64/NVME"),
    };
    let (stored, sent) = (tell(stored), tell(sent));
    Err(UploadError::Mismatch { upload_id: upload_id.to_owned(), stored, sent })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Plan;

    #[test]
    fn another_size_sum_or_none_is_a_mismatch() {
        let payload = Payload::generate(Plan::new(1_000, 300).unwrap());
        let object = |size_bytes, sum: &[u8]| pb::ObjectInfo {
            size_bytes,
            crc64nvme: Bytes::copy_from_slice(sum),
            ..Default::default()
        };
        let right = payload.crc64nvme().to_be_bytes();
        assert!(verify(&payload, "u", &object(1_000, &right)).is_ok());
        let wrong = (payload.crc64nvme() ^ 1).to_be_bytes();
        for object in [object(999, &right), object(1_000, &wrong), object(1_000, b"")] {
            let error = verify(&payload, "u", &object).unwrap_err();
            assert!(matches!(error, UploadError::Mismatch { .. }), "{error}");
        }
    }
}
