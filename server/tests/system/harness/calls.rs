//! Calls of the contract one by one, and their refusals as the contract writes them.

use std::time::{Duration, Instant};

use futures_util::Stream;
use prost::Message as _;
use sluice_proto::checksum::{Crc32c, Crc64Nvme};
use sluice_proto::error::{Reason, ReceivedRefusal};
use sluice_proto::pb::drive_service_client::DriveServiceClient;
use sluice_proto::pb::node_service_client::NodeServiceClient;
use sluice_proto::pb::upload_service_client::UploadServiceClient;
use sluice_proto::pb::{self, rpc};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status, Streaming};

/// What a test sends is small, but a chunk may be larger than tonic takes by default.
const MESSAGE_BYTES_MAX: usize = 256 << 20;
/// Longer than any restart.
const PATIENCE: Duration = Duration::from_secs(120);
const PAUSE: Duration = Duration::from_millis(30);

type Answer<T> = Result<T, Box<ReceivedRefusal>>;

/// The refusal in a status, its code and message from the status itself.
pub fn refusal_of(status: &Status) -> ReceivedRefusal {
    let mut read = rpc::Status::decode(status.details()).unwrap_or_default();
    read.code = status.code() as i32;
    read.message = status.message().to_owned();
    ReceivedRefusal::from_status(&read)
}

/// One connection, made anew when it breaks. Nothing is repeated by itself.
#[derive(Clone)]
pub struct Calls {
    uploads: UploadServiceClient<Channel>,
    nodes: NodeServiceClient<Channel>,
    drives: DriveServiceClient<Channel>,
}

macro_rules! calls {
    ($service:ident: $($name:ident: $request:ident => $response:ident,)*) => {$(
        pub async fn $name(&self, request: pb::$request) -> Answer<pb::$response> {
            let answer = self.$service.clone().$name(request).await;
            answer.map(|answer| answer.into_inner()).map_err(|status| refusal_of(&status).into())
        }
    )*};
}

impl Calls {
    pub fn to(address: &str) -> Self {
        Self::over(Self::endpoint(address))
    }

    /// With HTTP/2's default window on each stream, as most gRPC libraries have it.
    pub fn narrow(address: &str) -> Self {
        Self::over(Self::endpoint(address).initial_stream_window_size(65_535))
    }

    fn endpoint(address: &str) -> Endpoint {
        Endpoint::from_shared(format!("http://{address}")).unwrap()
    }

    fn over(endpoint: Endpoint) -> Self {
        let channel = endpoint.connect_lazy();
        let uploads = UploadServiceClient::new(channel.clone());
        Self {
            uploads: uploads.max_encoding_message_size(MESSAGE_BYTES_MAX),
            nodes: NodeServiceClient::new(channel.clone()),
            drives: DriveServiceClient::new(channel),
        }
    }

    calls! {
        uploads:
        initiate_upload: InitiateUploadRequest => InitiateUploadResponse,
        upload_chunk: UploadChunkRequest => UploadChunkResponse,
        complete_upload: CompleteUploadRequest => CompleteUploadResponse,
        abort_upload: AbortUploadRequest => AbortUploadResponse,
        get_upload_status: GetUploadStatusRequest => GetUploadStatusResponse,
        list_uploads: ListUploadsRequest => ListUploadsResponse,
    }

    calls! {
        nodes:
        list_nodes: ListNodesRequest => ListNodesResponse,
        get_node: GetNodeRequest => GetNodeResponse,
    }

    calls! {
        drives:
        create_drive: CreateDriveRequest => CreateDriveResponse,
        get_drive: GetDriveRequest => GetDriveResponse,
        list_drives: ListDrivesRequest => ListDrivesResponse,
    }

    /// Opens a stream of chunks.
    pub async fn upload_chunks(
        &self,
        chunks: impl Stream<Item = pb::UploadChunksRequest> + Send + 'static,
    ) -> Answer<Streaming<pb::UploadChunksResponse>> {
        let answer = self.uploads.clone().upload_chunks(chunks).await;
        answer.map(tonic::Response::into_inner).map_err(|status| refusal_of(&status).into())
    }

    /// Watches an upload.
    pub async fn watch(
        &self,
        upload_id: &str,
    ) -> Answer<Streaming<pb::StreamUploadProgressResponse>> {
        let request = pb::StreamUploadProgressRequest { upload_id: upload_id.to_owned() };
        let answer = self.uploads.clone().stream_upload_progress(request).await;
        answer.map(tonic::Response::into_inner).map_err(|status| refusal_of(&status).into())
    }

    /// Opens an upload of which only the name is known.
    pub async fn open(&self, filename: &str) -> String {
        let request = pb::InitiateUploadRequest { filename: filename.into(), ..Default::default() };
        self.initiate_upload(request).await.unwrap().upload_id
    }

    /// Where an upload stands.
    pub async fn status(&self, upload_id: &str) -> Answer<pb::GetUploadStatusResponse> {
        let upload_id = upload_id.to_owned();
        self.get_upload_status(pb::GetUploadStatusRequest { upload_id, ..Default::default() }).await
    }

    /// Fixes the number of chunks.
    pub async fn complete(
        &self,
        upload_id: &str,
        total_chunks: Option<i32>,
    ) -> Answer<pb::CompleteUploadResponse> {
        let upload_id = upload_id.to_owned();
        let request = pb::CompleteUploadRequest { upload_id, total_chunks, ..Default::default() };
        self.complete_upload(request).await
    }
}

/// A chunk without checksums.
pub fn chunk(upload_id: &str, number: i32, data: &[u8]) -> pb::UploadChunkRequest {
    pb::UploadChunkRequest {
        upload_id: upload_id.to_owned(),
        chunk_number: number,
        data: data.to_vec().into(),
        ..Default::default()
    }
}

/// A chunk as a stream of them takes it.
pub fn streamed_chunk(chunk: pb::UploadChunkRequest) -> pb::UploadChunksRequest {
    let pb::UploadChunkRequest {
        upload_id,
        chunk_number,
        is_last,
        force,
        crc32c,
        crc64nvme,
        sha256,
        data,
    } = chunk;
    pb::UploadChunksRequest {
        upload_id,
        chunk_number,
        is_last,
        force,
        crc32c,
        crc64nvme,
        sha256,
        data,
    }
}

/// A chunk with each checksum that a bit of `which` asks for.
pub fn checked_chunk(
    upload_id: &str,
    number: i32,
    data: &[u8],
    which: u64,
) -> pb::UploadChunkRequest {
    let mut request = chunk(upload_id, number, data);
    if which & 1 != 0 {
        request.crc32c = Crc32c::of(data).to_be_bytes().to_vec().into();
    }
    if which & 2 != 0 {
        request.crc64nvme = Crc64Nvme::of(data).to_be_bytes().to_vec().into();
    }
    if which & 4 != 0 {
        request.sha256 = super::sha256(data).to_vec().into();
    }
    request
}

/// Repeats a call as the contract allows it, through every crash and restart.
pub struct Persist {
    deadline: Instant,
}

impl Persist {
    pub fn new() -> Self {
        Self { deadline: Instant::now() + PATIENCE }
    }

    pub async fn call<T>(&self, mut call: impl AsyncFnMut() -> Answer<T>) -> Answer<T> {
        loop {
            match call().await {
                Err(refusal) if may_repeat(&refusal) && Instant::now() < self.deadline => {
                    tokio::time::sleep(refusal.retry_after.unwrap_or_default() + PAUSE).await;
                }
                answer => return answer,
            }
        }
    }
}

/// Whether the connection broke, or the server says that it comes back.
pub fn may_repeat(refusal: &ReceivedRefusal) -> bool {
    match refusal.reason {
        None => Code::from(refusal.code) != Code::Unimplemented,
        Some(Reason::Quota) => false,
        Some(reason) => matches!(
            reason.code(),
            sluice_proto::error::Code::Unavailable | sluice_proto::error::Code::ResourceExhausted
        ),
    }
}

/// Checks a refusal: why, which field, and that the limit is told in the message or the figures.
#[track_caller]
pub fn assert_refused(refusal: &ReceivedRefusal, reason: Reason, field: &str, limit: &str) {
    assert_eq!(refusal.reason, Some(reason), "{refusal:?}");
    assert_eq!(refusal.code, reason.code().number(), "{refusal:?}");
    assert_eq!(refusal.field.as_deref().unwrap_or(""), field, "{refusal:?}");
    let told = format!("{} {:?}", refusal.message, refusal.metadata).replace(',', "");
    assert!(told.contains(limit), "{limit} isn't told: {refusal:?}");
}
