//! A server of one upload, in memory, that refuses, forgets and lies.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;

use sluice_proto::checksum::{Crc32c, Crc64Nvme};
use sluice_proto::client::Client;
use sluice_proto::error::{Reason, Refusal};
use sluice_proto::pb::upload_service_server::{UploadService, UploadServiceServer};
use sluice_proto::pb::{self, UploadState};
use tokio_stream::Stream;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status, Streaming};

/// What it was sent, and how it behaves.
#[derive(Default)]
pub struct World {
    pub initiated: Vec<pb::InitiateUploadRequest>,
    pub aborted: usize,
    pub chunks: BTreeMap<i32, Vec<u8>>,
    /// When each call of a chunk came.
    pub chunk_calls: Vec<Instant>,
    /// What chunk calls are refused with before one is taken.
    pub refusals: Vec<Status>,
    /// CompleteUpload calls to answer COMPLETING.
    pub completing_left: usize,
    /// Where it says that the owner is.
    pub endpoints: Vec<String>,
    /// What it says that it takes; 0: nothing.
    pub max_chunk_bytes: i64,
    pub duplicate: bool,
    /// Loses these chunks once it has told what it has; then it has room for the first that is
    /// missing alone, until all of these are in again.
    pub loses: Vec<i32>,
    /// Numbers of the chunks that it took, in that order.
    pub taken: Vec<i32>,
    pub lies: bool,
    /// Streams of progress to come: the states told, and how each stream ends. None left:
    /// UNIMPLEMENTED.
    pub streams: Vec<(Vec<UploadState>, Option<Status>)>,
    /// What GetUploadStatus answers, the last one for ever.
    pub states: Vec<UploadState>,
}

impl World {
    fn object(&self) -> pb::ObjectInfo {
        let whole = self.whole();
        let sum = Crc64Nvme::of(&whole) ^ u64::from(self.lies);
        pb::ObjectInfo {
            size_bytes: whole.len() as i64,
            crc64nvme: sum.to_be_bytes().to_vec().into(),
            ..Default::default()
        }
    }

    pub fn whole(&self) -> Vec<u8> {
        self.chunks.values().flatten().copied().collect()
    }
}

#[derive(Clone, Default)]
pub struct Fake(pub Arc<Mutex<World>>);

impl Fake {
    pub fn world(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap()
    }
}

/// A refusal as the server sends it.
pub fn status_of(refusal: &Refusal) -> Status {
    use prost::Message as _;
    let status = refusal.to_status();
    let details = status.encode_to_vec().into();
    Status::with_details(status.code.into(), status.message, details)
}

type Answer<T> = Result<Response<T>, Status>;
type Replies<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl UploadService for Fake {
    type UploadChunksStream = Replies<pb::UploadChunksResponse>;
    type StreamUploadProgressStream = Replies<pb::StreamUploadProgressResponse>;

    async fn initiate_upload(
        &self,
        request: Request<pb::InitiateUploadRequest>,
    ) -> Answer<pb::InitiateUploadResponse> {
        let mut request = request.into_inner();
        let payload = request.payload.take();
        let mut world = self.world();
        world.initiated.push(request);
        let mut state = UploadState::Pending;
        if let Some(payload) = payload {
            if !payload.is_empty() {
                world.chunks.insert(0, payload.to_vec());
            }
            state = UploadState::Completed;
        }
        let limits =
            pb::UploadLimits { max_chunk_bytes: world.max_chunk_bytes, ..Default::default() };
        Ok(Response::new(pb::InitiateUploadResponse {
            upload_id: "u".into(),
            endpoints: world.endpoints.clone(),
            state: state.into(),
            limits: Some(limits),
            object: (state == UploadState::Completed).then(|| world.object()),
            duplicate: world.duplicate,
            ..Default::default()
        }))
    }

    async fn upload_chunk(
        &self,
        request: Request<pb::UploadChunkRequest>,
    ) -> Answer<pb::UploadChunkResponse> {
        let chunk = request.into_inner();
        let mut world = self.world();
        world.chunk_calls.push(now());
        if !world.refusals.is_empty() {
            return Err(world.refusals.remove(0));
        }
        assert_eq!(Crc32c::from_wire(&chunk.crc32c), Some(Crc32c::of(&chunk.data)));
        assert_eq!(Crc64Nvme::from_wire(&chunk.crc64nvme), Some(Crc64Nvme::of(&chunk.data)));
        let first = (0..).find(|number| !world.chunks.contains_key(number)).unwrap();
        if world.loses.contains(&first) && chunk.chunk_number > first {
            let full = Refusal::new(Reason::SpoolFull, "full").with("missing_chunk", first);
            return Err(status_of(&full.retry_after_ms(1)));
        }
        world.chunks.insert(chunk.chunk_number, chunk.data.to_vec());
        world.taken.push(chunk.chunk_number);
        Ok(Response::new(pb::UploadChunkResponse::default()))
    }

    async fn complete_upload(
        &self,
        request: Request<pb::CompleteUploadRequest>,
    ) -> Answer<pb::CompleteUploadResponse> {
        let mut world = self.world();
        if request.get_ref().total_chunks != Some(world.chunks.len() as i32) {
            return Err(status_of(&Refusal::new(Reason::MissingChunks, "holes")));
        }
        if world.completing_left > 0 {
            world.completing_left -= 1;
            let state = UploadState::Completing.into();
            return Ok(Response::new(pb::CompleteUploadResponse { state, object: None }));
        }
        let object = world.object();
        let state = UploadState::Completed.into();
        Ok(Response::new(pb::CompleteUploadResponse { state, object: Some(object) }))
    }

    async fn get_upload_status(
        &self,
        _: Request<pb::GetUploadStatusRequest>,
    ) -> Answer<pb::GetUploadStatusResponse> {
        let mut world = self.world();
        let state = match world.states.len() {
            0 => UploadState::Uploading,
            1 => world.states[0],
            _ => world.states.remove(0),
        };
        let upload = pb::Upload { state: state.into(), ..Default::default() };
        let range = |&number| pb::ChunkRange { first: number, last: number };
        let received_ranges = world.chunks.keys().map(range).collect();
        let upload = Some(upload);
        let status = pb::GetUploadStatusResponse { upload, received_ranges, ..Default::default() };
        let World { chunks, loses, .. } = &mut *world;
        chunks.retain(|number, _| !loses.contains(number));
        Ok(Response::new(status))
    }

    async fn upload_chunks(
        &self,
        _: Request<Streaming<pb::UploadChunksRequest>>,
    ) -> Answer<Self::UploadChunksStream> {
        Err(Status::unimplemented("not asked for"))
    }

    async fn abort_upload(
        &self,
        _: Request<pb::AbortUploadRequest>,
    ) -> Answer<pb::AbortUploadResponse> {
        self.world().aborted += 1;
        Ok(Response::new(pb::AbortUploadResponse { state: UploadState::Aborted.into() }))
    }

    async fn list_uploads(
        &self,
        _: Request<pb::ListUploadsRequest>,
    ) -> Answer<pb::ListUploadsResponse> {
        Err(Status::unimplemented("not asked for"))
    }

    async fn stream_upload_progress(
        &self,
        _: Request<pb::StreamUploadProgressRequest>,
    ) -> Answer<Self::StreamUploadProgressStream> {
        let mut world = self.world();
        if world.streams.is_empty() {
            return Err(Status::unimplemented("no such stream"));
        }
        let (states, end) = world.streams.remove(0);
        let told = states.into_iter().map(|state| {
            let upload = pb::Upload { state: state.into(), ..Default::default() };
            Ok(pb::StreamUploadProgressResponse { upload: Some(upload) })
        });
        let told: Vec<_> = told.chain(end.map(Err)).collect();
        Ok(Response::new(Box::pin(tokio_stream::iter(told))))
    }
}

/// Starts one, and a client of it.
pub async fn start(world: World) -> (Fake, Client) {
    let fake = Fake(Arc::new(Mutex::new(world)));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let service = UploadServiceServer::new(fake.clone());
    let server = tonic::transport::Server::builder().add_service(service);
    tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
    (fake, Client::connect(&address).await.unwrap())
}

#[expect(clippy::disallowed_methods, reason = "a wait that was asked for is measured")]
pub fn now() -> Instant {
    Instant::now()
}
