//! CompleteUpload, AbortUpload and GetUploadStatus: small messages, by the generated service.

use std::{ops::RangeInclusive, pin::Pin, rc::Rc};

use futures_util::Stream;
use prost::Message as _;
use send_wrapper::SendWrapper;
use sluice_proto::{
    error::Refusal,
    ids::{ChunkCount, UploadId},
    limits::{ABORT_REASON_BYTES_MAX, STATUS_RANGES_DEFAULT},
    pb::{self, upload_service_server::UploadService},
};
use sluice_shard::{
    Event,
    effect::{CallReply, UploadView},
};
use tonic::{Request, Response, Status, Streaming, metadata::MetadataMap};

use super::{
    Call, Service, TENANT, spec,
    token::{self, Walk},
    unknown_method,
    uploads::list_uploads,
    view,
};

/// What is served of the contract from generated code. Never leaves its thread.
#[derive(Clone)]
pub(super) struct Control(SendWrapper<Rc<Service>>);

impl Control {
    pub(super) fn new(service: Rc<Service>) -> Self {
        Self(SendWrapper::new(service))
    }

    /// Runs what can't leave this thread, as the generated trait asks for `Send`.
    pub(super) fn run<M, R, F>(
        &self,
        request: Request<M>,
        work: impl FnOnce(Rc<Service>, Call, M) -> F,
    ) -> impl Future<Output = Result<Response<R>, Status>> + Send
    where
        F: Future<Output = Result<R, Refusal>>,
    {
        let call = *request.extensions().get::<Call>().expect("dispatch puts it there");
        let work = work(Rc::clone(&self.0), call, request.into_inner());
        let service = Rc::clone(&self.0);
        SendWrapper::new(async move {
            work.await.map(Response::new).map_err(|refusal| {
                service.metrics.refused(refusal.reason);
                status(&refusal)
            })
        })
    }
}

/// Of what never comes here: dispatch serves it by our own decoders, or not at all yet.
fn elsewhere() -> Status {
    status(&unknown_method())
}

type Streamed<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl UploadService for Control {
    type UploadChunksStream = Streamed<pb::UploadChunksResponse>;
    type StreamUploadProgressStream = Streamed<pb::StreamUploadProgressResponse>;

    async fn complete_upload(
        &self,
        request: Request<pb::CompleteUploadRequest>,
    ) -> Result<Response<pb::CompleteUploadResponse>, Status> {
        self.run(request, complete_upload).await
    }

    async fn abort_upload(
        &self,
        request: Request<pb::AbortUploadRequest>,
    ) -> Result<Response<pb::AbortUploadResponse>, Status> {
        self.run(request, abort_upload).await
    }

    async fn get_upload_status(
        &self,
        request: Request<pb::GetUploadStatusRequest>,
    ) -> Result<Response<pb::GetUploadStatusResponse>, Status> {
        self.run(request, get_upload_status).await
    }

    async fn initiate_upload(
        &self,
        _: Request<pb::InitiateUploadRequest>,
    ) -> Result<Response<pb::InitiateUploadResponse>, Status> {
        Err(elsewhere())
    }

    async fn upload_chunk(
        &self,
        _: Request<pb::UploadChunkRequest>,
    ) -> Result<Response<pb::UploadChunkResponse>, Status> {
        Err(elsewhere())
    }

    async fn upload_chunks(
        &self,
        _: Request<Streaming<pb::UploadChunksRequest>>,
    ) -> Result<Response<Self::UploadChunksStream>, Status> {
        Err(elsewhere())
    }

    async fn list_uploads(
        &self,
        request: Request<pb::ListUploadsRequest>,
    ) -> Result<Response<pb::ListUploadsResponse>, Status> {
        self.run(request, list_uploads).await
    }

    async fn stream_upload_progress(
        &self,
        _: Request<pb::StreamUploadProgressRequest>,
    ) -> Result<Response<Self::StreamUploadProgressStream>, Status> {
        Err(elsewhere())
    }
}

async fn complete_upload(
    service: Rc<Service>,
    call: Call,
    request: pb::CompleteUploadRequest,
) -> Result<pb::CompleteUploadResponse, Refusal> {
    let upload_id = UploadId::from_request(&request.upload_id)?;
    let total_chunks = match request.total_chunks {
        Some(count) => {
            let count = ChunkCount::new(count);
            Some(count.map_err(|invalid| invalid.refusal("total_chunks"))?)
        }
        None => None,
    };
    let sha256 = spec::sha256(&request.sha256)?;
    let upload = complete(&service, &call, upload_id, total_chunks, sha256).await?;
    Ok(pb::CompleteUploadResponse {
        state: view::state(upload.record.state).into(),
        object: view::object(&upload.record, &service.objects),
    })
}

/// Fixes N and waits for the end as long as the call may take.
pub(super) async fn complete(
    service: &Service,
    call: &Call,
    upload_id: UploadId,
    total_chunks: Option<ChunkCount>,
    sha256: Option<[u8; 32]>,
) -> Result<UploadView, Refusal> {
    let wait_until_ms = call.wait_until_ms();
    let event = |call| Event::Complete {
        call,
        tenant: TENANT.to_owned(),
        upload_id,
        total_chunks,
        sha256,
        wait_until_ms,
    };
    match service.switch.call(service.owner(&upload_id)?, event).await? {
        CallReply::Completed(upload) => Ok(*upload),
        other => unreachable!("CompleteUpload answered {other:?}"),
    }
}

async fn abort_upload(
    service: Rc<Service>,
    _: Call,
    request: pb::AbortUploadRequest,
) -> Result<pb::AbortUploadResponse, Refusal> {
    let upload_id = UploadId::from_request(&request.upload_id)?;
    if request.reason.len() > ABORT_REASON_BYTES_MAX {
        let rule = format!("has at most {ABORT_REASON_BYTES_MAX} bytes");
        return Err(Refusal::invalid("reason", rule)
            .with("bytes", request.reason.len())
            .with("limit", ABORT_REASON_BYTES_MAX));
    }
    let event = |call| Event::Abort { call, tenant: TENANT.to_owned(), upload_id };
    match service.switch.call(service.owner(&upload_id)?, event).await? {
        CallReply::Aborted => {
            Ok(pb::AbortUploadResponse { state: pb::UploadState::Aborted.into() })
        }
        other => unreachable!("AbortUpload answered {other:?}"),
    }
}

async fn get_upload_status(
    service: Rc<Service>,
    call: Call,
    request: pb::GetUploadStatusRequest,
) -> Result<pb::GetUploadStatusResponse, Refusal> {
    let upload_id = UploadId::from_request(&request.upload_id)?;
    let ranges_max = token::page_size(request.page_size, STATUS_RANGES_DEFAULT)?;
    let walk = Walk::new("GetUploadStatus", &[&request.upload_id]);
    let from_chunk = match walk.key(&request.page_token)? {
        None => 0,
        Some(key) => u32::from_be_bytes(key.try_into().map_err(|_| token::not_ours())?),
    };
    let page = look(&service, upload_id, from_chunk, ranges_max).await?;
    let endpoints = service.endpoints(&upload_id, call.local_ip);
    Ok(pb::GetUploadStatusResponse {
        upload: Some(view::upload(&page.upload, endpoints, &service.objects)),
        received_ranges: page.received.into_iter().map(view::range).collect(),
        missing_ranges: page.missing.into_iter().map(view::range).collect(),
        next_page_token: page
            .next_chunk
            .map_or_else(String::new, |chunk| walk.token(&chunk.to_be_bytes())),
    })
}

/// An upload as it is now, and a page of its chunks.
pub(super) struct Page {
    pub(super) upload: Box<UploadView>,
    received: Vec<RangeInclusive<u32>>,
    missing: Vec<RangeInclusive<u32>>,
    next_chunk: Option<u32>,
}

/// Asks the upload's owner for it.
pub(super) async fn look(
    service: &Service,
    upload_id: UploadId,
    from_chunk: u32,
    ranges_max: usize,
) -> Result<Page, Refusal> {
    let tenant = TENANT.to_owned();
    let event = |call| Event::Status { call, tenant, upload_id, from_chunk, ranges_max };
    match service.switch.call(service.owner(&upload_id)?, event).await? {
        CallReply::Status { upload, received, missing, next_chunk } => {
            Ok(Page { upload, received, missing, next_chunk })
        }
        other => unreachable!("GetUploadStatus answered {other:?}"),
    }
}

/// A refusal as the generated services say it.
fn status(refusal: &Refusal) -> Status {
    let told = refusal.to_status();
    let mut metadata = MetadataMap::new();
    if let Some(ms) = refusal.retry_after_ms {
        metadata.insert("grpc-retry-pushback-ms", ms.into());
    }
    let code = tonic::Code::from_i32(told.code);
    let details = told.encode_to_vec().into();
    Status::with_details_and_metadata(code, told.message, details, metadata)
}
