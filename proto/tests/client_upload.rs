//! The client library against a small server that refuses, forgets and lies.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use sluice_proto::checksum::{Crc32c, Crc64Nvme};
use sluice_proto::client::{Client, ClientError, Source, UploadOptions};
use sluice_proto::error::{Reason, Refusal};
use sluice_proto::pb::upload_service_server::{UploadService, UploadServiceServer};
use sluice_proto::pb::{self, UploadState};
use tokio_stream::Stream;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status, Streaming};

#[derive(Default)]
struct World {
    chunks: BTreeMap<i32, Vec<u8>>,
    chunk_calls: usize,
    /// Chunk calls to refuse before one is taken.
    refusals_left: usize,
    /// CompleteUpload calls to answer COMPLETING.
    completing_left: usize,
    duplicate: bool,
    lies: bool,
}

#[derive(Clone, Default)]
struct Fake(Arc<Mutex<World>>);

fn status_of(refusal: &Refusal) -> Status {
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
        _: Request<pb::InitiateUploadRequest>,
    ) -> Answer<pb::InitiateUploadResponse> {
        let duplicate = self.0.lock().unwrap().duplicate;
        Ok(Response::new(pb::InitiateUploadResponse {
            upload_id: "u".into(),
            // Nobody listens there: the client must come back to the first.
            endpoints: vec!["127.0.0.1:1".into()],
            duplicate,
            ..Default::default()
        }))
    }

    async fn upload_chunk(
        &self,
        request: Request<pb::UploadChunkRequest>,
    ) -> Answer<pb::UploadChunkResponse> {
        let chunk = request.into_inner();
        let mut world = self.0.lock().unwrap();
        world.chunk_calls += 1;
        if world.refusals_left > 0 {
            world.refusals_left -= 1;
            return Err(status_of(&Refusal::new(Reason::Budget, "full").retry_after_ms(1)));
        }
        assert_eq!(Crc32c::from_wire(&chunk.crc32c), Some(Crc32c::of(&chunk.data)));
        assert_eq!(Crc64Nvme::from_wire(&chunk.crc64nvme), Some(Crc64Nvme::of(&chunk.data)));
        world.chunks.insert(chunk.chunk_number, chunk.data.to_vec());
        Ok(Response::new(pb::UploadChunkResponse::default()))
    }

    async fn complete_upload(
        &self,
        request: Request<pb::CompleteUploadRequest>,
    ) -> Answer<pb::CompleteUploadResponse> {
        let mut world = self.0.lock().unwrap();
        if request.get_ref().total_chunks != Some(world.chunks.len() as i32) {
            return Err(status_of(&Refusal::new(Reason::MissingChunks, "holes")));
        }
        if world.completing_left > 0 {
            world.completing_left -= 1;
            let state = UploadState::Completing.into();
            return Ok(Response::new(pb::CompleteUploadResponse { state, object: None }));
        }
        let whole: Vec<u8> = world.chunks.values().flatten().copied().collect();
        let sum = Crc64Nvme::of(&whole) ^ u64::from(world.lies);
        let object = pb::ObjectInfo {
            size_bytes: whole.len() as i64,
            crc64nvme: sum.to_be_bytes().to_vec().into(),
            ..Default::default()
        };
        let state = UploadState::Completed.into();
        Ok(Response::new(pb::CompleteUploadResponse { state, object: Some(object) }))
    }

    async fn get_upload_status(
        &self,
        _: Request<pb::GetUploadStatusRequest>,
    ) -> Answer<pb::GetUploadStatusResponse> {
        let world = self.0.lock().unwrap();
        let range = |&number| pb::ChunkRange { first: number, last: number };
        let received_ranges = world.chunks.keys().map(range).collect();
        Ok(Response::new(pb::GetUploadStatusResponse { received_ranges, ..Default::default() }))
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
        Err(Status::unimplemented("not asked for"))
    }
}

async fn start(world: World) -> (Fake, Client) {
    let fake = Fake(Arc::new(Mutex::new(world)));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let service = UploadServiceServer::new(fake.clone());
    let server = tonic::transport::Server::builder().add_service(service);
    tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
    (fake, Client::connect(&address).await.unwrap())
}

const SENT: &[u8] = b"0123456789";

fn options() -> UploadOptions {
    UploadOptions { chunk_bytes: Some(3), ..Default::default() }
}

#[tokio::test]
async fn refusals_are_repeated_and_the_end_is_awaited() {
    let world = World { refusals_left: 3, completing_left: 1, ..Default::default() };
    let (fake, client) = start(world).await;
    let mut acked = 0;
    let progress = |progress: &sluice_proto::client::Progress| acked = progress.acked_bytes;
    let report = client.upload(Source::stream(SENT), options(), progress).await.unwrap();
    assert_eq!((report.size_bytes, acked), (10, 10));
    assert_eq!(report.crc64nvme, Crc64Nvme::of(SENT));
    let world = fake.0.lock().unwrap();
    assert_eq!(world.chunks.values().flatten().copied().collect::<Vec<u8>>(), SENT);
    assert_eq!(world.chunk_calls, 4 + 3);
}

#[tokio::test]
async fn a_resume_sends_only_what_is_missing() {
    let chunks = [(0, b"012".to_vec()), (2, b"678".to_vec())].into();
    let (fake, client) = start(World { chunks, duplicate: true, ..Default::default() }).await;
    let report = client.upload(Source::stream(SENT), options(), |_| {}).await.unwrap();
    assert_eq!((report.size_bytes, report.resumed_bytes), (10, 6));
    assert_eq!(fake.0.lock().unwrap().chunk_calls, 2);
}

#[tokio::test]
async fn nothing_is_one_empty_object() {
    let (_, client) = start(World::default()).await;
    let uploader = client.clone();
    let task = async move { uploader.upload(Source::stream(&b""[..]), options(), |_| {}).await };
    // Whoever embeds it spawns it.
    let report = tokio::spawn(task).await.unwrap().unwrap();
    assert_eq!((report.size_bytes, report.crc64nvme), (0, 0));
    assert_eq!(client.abort("u", "").await.unwrap(), UploadState::Aborted);
}

#[tokio::test]
async fn another_object_than_was_sent_is_an_error() {
    let (_, client) = start(World { lies: true, ..Default::default() }).await;
    let result = client.upload(Source::stream(SENT), options(), |_| {}).await;
    assert!(matches!(result, Err(ClientError::Integrity { .. })));
}
