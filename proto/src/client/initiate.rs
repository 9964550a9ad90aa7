//! Opening an upload.

use std::time::Duration;

use bytes::Bytes;

use crate::client::link::{CALL_TIMEOUT, within};
use crate::client::{Client, ClientError, Pace, UploadOptions};
use crate::pb;

/// Chunks that come slower than this, of many in flight at a time, are taken to be stuck.
const CHUNK_RATE_MIN_BYTES: u64 = 8 << 10;

/// The request as the options have it, without a payload.
pub(super) fn request(
    options: &UploadOptions,
    size_bytes: Option<u64>,
) -> Result<pb::InitiateUploadRequest, ClientError> {
    let request_id = match &options.request_id {
        Some(id) => id.clone(),
        None => format!("{:016x}", getrandom::u64().map_err(std::io::Error::other)?),
    };
    let chunk_bytes = options.chunk_bytes_for(size_bytes);
    Ok(pb::InitiateUploadRequest {
        drive_id: options.drive_id.clone(),
        node_id: options.node_id.clone(),
        filename: options.filename.clone(),
        mime_type: options.mime_type.clone(),
        metadata: options.metadata.clone(),
        expected_size_bytes: size_bytes.map(|size| size as i64),
        // Of a stream nothing is promised.
        chunk_size_bytes: size_bytes.map_or(0, |_| chunk_bytes as i64),
        sha256: options.sha256.map_or(Bytes::new(), |sum| Bytes::copy_from_slice(&sum)),
        if_not_exists: options.if_not_exists,
        request_id,
        ack_level: options.ack_level.into(),
        max_size_bytes: 0,
        payload: None,
    })
}

/// Opens the upload, with bytes of a chunk that the server takes.
pub(super) async fn open(
    client: &Client,
    options: &UploadOptions,
    size_bytes: Option<u64>,
) -> Result<(pb::InitiateUploadResponse, u64), ClientError> {
    let mut request = request(options, size_bytes)?;
    let opened = initiate(client, &request, None).await?;
    let chunk_bytes = options.chunk_bytes_for(size_bytes);
    let taken = opened.limits.map_or(0, |limits| limits.max_chunk_bytes);
    let taken_bytes = u64::try_from(taken).ok().filter(|&bytes| bytes > 0).unwrap_or(u64::MAX);
    if chunk_bytes <= taken_bytes || size_bytes.is_none() {
        return Ok((opened, chunk_bytes.min(taken_bytes)));
    }
    if opened.duplicate || options.chunk_bytes.is_some() {
        // It can't be promised otherwise any more, or mustn't: the server says what it takes.
        return Ok((opened, chunk_bytes));
    }
    client.abort(&opened.upload_id, "its chunks would be too large for this server").await?;
    request.chunk_size_bytes = taken;
    if let Some(id) = &options.request_id {
        // A promise of its own is a request of its own.
        request.request_id = format!("{id}-{taken}");
    }
    Ok((initiate(client, &request, None).await?, taken_bytes))
}

/// Opens an upload, with or without its bytes, again and again if need be.
pub(super) async fn initiate(
    client: &Client,
    request: &pb::InitiateUploadRequest,
    pace: Option<&Pace>,
) -> Result<pb::InitiateUploadResponse, ClientError> {
    let bytes = request.payload.as_ref().map_or(0, |payload| payload.len() as u64);
    let send = || {
        let (mut service, request) = (client.first.service(), request.clone());
        async move {
            paid(pace, bytes).await;
            within(chunk_timeout(bytes), service.initiate_upload(request)).await
        }
    };
    client.retry.run(&client.first, send).await
}

/// Waits until so many bytes may be sent.
pub(super) async fn paid(pace: Option<&Pace>, bytes: u64) {
    if let Some(pace) = pace {
        pace.send(bytes).await;
    }
}

/// A connection that is dead is found by its pings; this finds a call that was forgotten.
pub(super) fn chunk_timeout(bytes: u64) -> Duration {
    CALL_TIMEOUT + Duration::from_secs(bytes / CHUNK_RATE_MIN_BYTES)
}
