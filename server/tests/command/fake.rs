//! A server of one upload, in memory.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use prost::Message as _;
use sluice_proto::checksum::Crc64Nvme;
use sluice_proto::error::{Reason, Refusal};
use sluice_proto::pb::drive_service_server::{DriveService, DriveServiceServer};
use sluice_proto::pb::node_service_server::{NodeService, NodeServiceServer};
use sluice_proto::pb::upload_service_server::{UploadService, UploadServiceServer};
use sluice_proto::pb::{self, UploadState};
use tokio::runtime::Runtime;
use tokio_stream::Stream;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status, Streaming};

/// What it was sent, and how it behaves.
#[derive(Default)]
pub struct World {
    pub initiated: Vec<pb::InitiateUploadRequest>,
    pub chunks: BTreeMap<i32, Vec<u8>>,
    pub chunk_calls: usize,
    pub aborted: bool,
    /// Answers that the upload was there before.
    pub duplicate: bool,
    /// Refuses to initiate.
    pub refuses: bool,
    /// Tells a wrong sum of the object.
    pub lies: bool,
    /// Never answers chunks from this number on.
    pub holds_from: Option<i32>,
    /// Nodes that it lists, and the pages that it was asked for.
    pub nodes: usize,
    pub pages: Vec<pb::ListNodesRequest>,
    pub drives: Vec<pb::Drive>,
}

impl World {
    pub fn whole(&self) -> Vec<u8> {
        self.chunks.values().flatten().copied().collect()
    }

    fn object(&self) -> pb::ObjectInfo {
        let whole = self.whole();
        let sum = Crc64Nvme::of(&whole) ^ u64::from(self.lies);
        pb::ObjectInfo {
            size_bytes: whole.len() as i64,
            crc64nvme: sum.to_be_bytes().to_vec().into(),
            ..Default::default()
        }
    }
}

/// A running server.
pub struct Fake {
    service: Service,
    address: String,
    _runtime: Runtime,
}

impl Fake {
    pub fn start(world: World) -> Self {
        let service = Service(Arc::new((Mutex::new(world), Condvar::new())));
        let runtime = Runtime::new().unwrap();
        let bound = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0"));
        let listener = bound.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let server = tonic::transport::Server::builder()
            .add_service(UploadServiceServer::new(service.clone()))
            .add_service(NodeServiceServer::new(service.clone()))
            .add_service(DriveServiceServer::new(service.clone()));
        runtime.spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        Self { service, address, _runtime: runtime }
    }

    pub fn address(&self) -> &str {
        &self.address
    }

    pub fn world(&self) -> MutexGuard<'_, World> {
        self.service.world()
    }

    pub fn wait_for_chunk_calls(&self, calls: usize) {
        let (_, called) = &*self.service.0;
        let waited = called.wait_while(self.world(), |world| world.chunk_calls < calls);
        drop(waited.unwrap());
    }
}

#[derive(Clone)]
struct Service(Arc<(Mutex<World>, Condvar)>);

impl Service {
    fn world(&self) -> MutexGuard<'_, World> {
        self.0.0.lock().unwrap()
    }
}

fn refused(reason: Reason) -> Status {
    let status = Refusal::new(reason, "no").to_status();
    let details = status.encode_to_vec().into();
    Status::with_details(status.code.into(), status.message, details)
}

type Answer<T> = Result<Response<T>, Status>;
type Replies<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl UploadService for Service {
    type UploadChunksStream = Replies<pb::UploadChunksResponse>;
    type StreamUploadProgressStream = Replies<pb::StreamUploadProgressResponse>;

    async fn initiate_upload(
        &self,
        request: Request<pb::InitiateUploadRequest>,
    ) -> Answer<pb::InitiateUploadResponse> {
        let mut world = self.world();
        if world.refuses {
            return Err(refused(Reason::DriveUnknown));
        }
        let mut request = request.into_inner();
        let payload = request.payload.take();
        world.initiated.push(request);
        let object = payload.map(|payload| {
            world.chunks.insert(0, payload.to_vec());
            world.object()
        });
        Ok(Response::new(pb::InitiateUploadResponse {
            upload_id: "u".into(),
            duplicate: world.duplicate,
            object,
            ..Default::default()
        }))
    }

    async fn upload_chunk(
        &self,
        request: Request<pb::UploadChunkRequest>,
    ) -> Answer<pb::UploadChunkResponse> {
        let chunk = request.into_inner();
        let held = {
            let mut world = self.world();
            world.chunk_calls += 1;
            self.0.1.notify_all();
            world.holds_from.is_some_and(|from| chunk.chunk_number >= from)
        };
        if held {
            std::future::pending::<()>().await;
        }
        self.world().chunks.insert(chunk.chunk_number, chunk.data.to_vec());
        Ok(Response::new(pb::UploadChunkResponse::default()))
    }

    async fn complete_upload(
        &self,
        _: Request<pb::CompleteUploadRequest>,
    ) -> Answer<pb::CompleteUploadResponse> {
        let object = self.world().object();
        let state = UploadState::Completed.into();
        Ok(Response::new(pb::CompleteUploadResponse { state, object: Some(object) }))
    }

    async fn get_upload_status(
        &self,
        request: Request<pb::GetUploadStatusRequest>,
    ) -> Answer<pb::GetUploadStatusResponse> {
        if request.get_ref().upload_id != "u" {
            return Err(refused(Reason::UploadUnknown));
        }
        let world = self.world();
        let range = |&number| pb::ChunkRange { first: number, last: number };
        let received_ranges = world.chunks.keys().map(range).collect();
        let state = if world.aborted { UploadState::Aborted } else { UploadState::Uploading };
        let upload = pb::Upload {
            drive_id: "default".into(),
            filename: "big.iso".into(),
            state: state.into(),
            received_bytes: world.whole().len() as i64,
            received_count: world.chunks.len() as i32,
            ..Default::default()
        };
        let upload = Some(upload);
        let status = pb::GetUploadStatusResponse { upload, received_ranges, ..Default::default() };
        Ok(Response::new(status))
    }

    async fn abort_upload(
        &self,
        _: Request<pb::AbortUploadRequest>,
    ) -> Answer<pb::AbortUploadResponse> {
        self.world().aborted = true;
        Ok(Response::new(pb::AbortUploadResponse { state: UploadState::Aborted.into() }))
    }

    async fn upload_chunks(
        &self,
        _: Request<Streaming<pb::UploadChunksRequest>>,
    ) -> Answer<Self::UploadChunksStream> {
        Err(Status::unimplemented("not asked for"))
    }

    async fn list_uploads(
        &self,
        request: Request<pb::ListUploadsRequest>,
    ) -> Answer<pb::ListUploadsResponse> {
        let upload = pb::Upload {
            upload_id: "u".into(),
            drive_id: request.get_ref().drive_id.clone(),
            filename: "big.iso".into(),
            state: request.get_ref().state,
            expected_size_bytes: Some(4096),
            ..Default::default()
        };
        let (uploads, next_page_token) = (vec![upload], String::new());
        Ok(Response::new(pb::ListUploadsResponse { uploads, next_page_token }))
    }

    async fn stream_upload_progress(
        &self,
        _: Request<pb::StreamUploadProgressRequest>,
    ) -> Answer<Self::StreamUploadProgressStream> {
        Err(Status::unimplemented("not asked for"))
    }
}

/// Of the node of this number.
fn node(number: usize) -> pb::Node {
    let object = pb::ObjectInfo { size_bytes: number as i64, ..Default::default() };
    pb::Node {
        drive_id: "default".into(),
        node_id: format!("n{number}"),
        filename: format!("file {number}"),
        create_time: Some(prost_types::Timestamp { seconds: 1_700_000_000, nanos: 0 }),
        object: Some(object),
        ..Default::default()
    }
}

#[tonic::async_trait]
impl NodeService for Service {
    async fn list_nodes(
        &self,
        request: Request<pb::ListNodesRequest>,
    ) -> Answer<pb::ListNodesResponse> {
        let request = request.into_inner();
        let mut world = self.world();
        let first: usize = request.page_token.parse().unwrap_or(0);
        let end = world.nodes.min(first + request.page_size as usize);
        world.pages.push(request);
        let next_page_token = if end < world.nodes { end.to_string() } else { String::new() };
        let nodes = (first..end).map(node).collect();
        Ok(Response::new(pb::ListNodesResponse { nodes, next_page_token }))
    }

    async fn get_node(&self, _: Request<pb::GetNodeRequest>) -> Answer<pb::GetNodeResponse> {
        Err(Status::unimplemented("not asked for"))
    }
}

#[tonic::async_trait]
impl DriveService for Service {
    async fn create_drive(
        &self,
        request: Request<pb::CreateDriveRequest>,
    ) -> Answer<pb::CreateDriveResponse> {
        let request = request.into_inner();
        let drive = pb::Drive {
            drive_id: request.drive_id,
            bucket: request.bucket,
            prefix: request.prefix,
            credentials_ref: request.credentials_ref,
            quota_bytes: request.quota_bytes,
            create_time: None,
        };
        self.world().drives.push(drive.clone());
        Ok(Response::new(pb::CreateDriveResponse { drive: Some(drive) }))
    }

    async fn get_drive(&self, _: Request<pb::GetDriveRequest>) -> Answer<pb::GetDriveResponse> {
        Err(Status::unimplemented("not asked for"))
    }

    async fn list_drives(
        &self,
        _: Request<pb::ListDrivesRequest>,
    ) -> Answer<pb::ListDrivesResponse> {
        let (drives, next_page_token) = (self.world().drives.clone(), String::new());
        Ok(Response::new(pb::ListDrivesResponse { drives, next_page_token }))
    }
}
