//! The contract's service with nothing behind it: bytes are counted and dropped.
//!
//! Any gRPC client that works against Sluice works against it, so both meet the same load.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use sluice_proto::pb;
use sluice_proto::pb::upload_service_server::UploadService;
use tokio_stream::Empty;
use tonic::{Request, Response, Status};

/// Uploads that are known, running and ended; the oldest are forgotten.
const UPLOADS_MAX: usize = 100_000;

const CHUNK_BYTES_MAX: i64 = 128 << 20;

/// Counts what uploads bring.
#[derive(Debug, Default)]
pub struct Counter {
    uploads: Mutex<Uploads>,
}

#[derive(Debug, Default)]
struct Uploads {
    by_id: HashMap<String, Upload>,
    by_age: VecDeque<String>,
    last_id: u64,
}

#[derive(Debug, Clone, Default)]
struct Upload {
    expected_bytes: Option<i64>,
    bytes: i64,
    chunks: i32,
    is_complete: bool,
}

impl Upload {
    fn state(&self) -> pb::UploadState {
        match (self.is_complete, self.chunks) {
            (true, _) => pb::UploadState::Completed,
            (false, 0) => pb::UploadState::Pending,
            (false, _) => pb::UploadState::Uploading,
        }
    }

    fn object(&self) -> Option<pb::ObjectInfo> {
        let object = pb::ObjectInfo { size_bytes: self.bytes, ..Default::default() };
        self.is_complete.then_some(object)
    }

    /// As Sluice: an upload whose size was promised ends with its last byte.
    fn add(&mut self, bytes: usize) {
        self.bytes += bytes as i64;
        self.chunks += 1;
        self.is_complete |= self.expected_bytes.is_some_and(|expected| expected <= self.bytes);
    }
}

impl Uploads {
    fn open(&mut self, upload: Upload) -> String {
        if self.by_age.len() == UPLOADS_MAX
            && let Some(oldest) = self.by_age.pop_front()
        {
            self.by_id.remove(&oldest);
        }
        self.last_id += 1;
        let id = self.last_id.to_string();
        self.by_age.push_back(id.clone());
        self.by_id.insert(id.clone(), upload);
        id
    }

    fn get(&mut self, id: &str) -> Result<&mut Upload, Status> {
        self.by_id.get_mut(id).ok_or_else(|| Status::not_found("no such upload"))
    }
}

impl Counter {
    fn uploads(&self) -> MutexGuard<'_, Uploads> {
        self.uploads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn limits() -> pb::UploadLimits {
    pb::UploadLimits {
        max_chunk_bytes: CHUNK_BYTES_MAX,
        recommended_chunk_bytes: 16 << 20,
        recommended_parallel_chunks: 4,
        max_upload_bytes: i64::MAX,
    }
}

#[tonic::async_trait]
impl UploadService for Counter {
    type UploadChunksStream = Empty<Result<pb::UploadChunksResponse, Status>>;
    type StreamUploadProgressStream = Empty<Result<pb::StreamUploadProgressResponse, Status>>;

    async fn initiate_upload(
        &self,
        request: Request<pb::InitiateUploadRequest>,
    ) -> Result<Response<pb::InitiateUploadResponse>, Status> {
        let request = request.into_inner();
        let mut upload =
            Upload { expected_bytes: request.expected_size_bytes, ..Default::default() };
        if let Some(payload) = request.payload {
            upload.add(payload.len());
            upload.is_complete = true;
        }
        let (state, object) = (upload.state().into(), upload.object());
        let upload_id = self.uploads().open(upload);
        let limits = Some(limits());
        Ok(Response::new(pb::InitiateUploadResponse {
            node_id: format!("node-{upload_id}"),
            upload_id,
            state,
            limits,
            object,
            ..Default::default()
        }))
    }

    async fn upload_chunk(
        &self,
        request: Request<pb::UploadChunkRequest>,
    ) -> Result<Response<pb::UploadChunkResponse>, Status> {
        let request = request.into_inner();
        let mut uploads = self.uploads();
        let upload = uploads.get(&request.upload_id)?;
        upload.add(request.data.len());
        Ok(Response::new(pb::UploadChunkResponse {
            chunk_number: request.chunk_number,
            chunk_bytes: request.data.len() as i64,
            received_bytes: upload.bytes,
            received_count: upload.chunks,
            state: upload.state().into(),
            ack_level: pb::AckLevel::Received.into(),
            limits: Some(limits()),
            ..Default::default()
        }))
    }

    async fn upload_chunks(
        &self,
        _: Request<tonic::Streaming<pb::UploadChunksRequest>>,
    ) -> Result<Response<Self::UploadChunksStream>, Status> {
        Err(Status::unimplemented("this peer takes unary chunks"))
    }

    async fn complete_upload(
        &self,
        request: Request<pb::CompleteUploadRequest>,
    ) -> Result<Response<pb::CompleteUploadResponse>, Status> {
        let mut uploads = self.uploads();
        let upload = uploads.get(&request.get_ref().upload_id)?;
        upload.is_complete = true;
        let (state, object) = (upload.state().into(), upload.object());
        Ok(Response::new(pb::CompleteUploadResponse { state, object }))
    }

    async fn abort_upload(
        &self,
        _: Request<pb::AbortUploadRequest>,
    ) -> Result<Response<pb::AbortUploadResponse>, Status> {
        Err(Status::unimplemented("this peer aborts nothing"))
    }

    async fn get_upload_status(
        &self,
        request: Request<pb::GetUploadStatusRequest>,
    ) -> Result<Response<pb::GetUploadStatusResponse>, Status> {
        let upload_id = request.into_inner().upload_id;
        let upload = self.uploads().get(&upload_id)?.clone();
        let upload = pb::Upload {
            upload_id,
            state: upload.state().into(),
            received_bytes: upload.bytes,
            received_count: upload.chunks,
            expected_size_bytes: upload.expected_bytes,
            object: upload.object(),
            ..Default::default()
        };
        Ok(Response::new(pb::GetUploadStatusResponse {
            upload: Some(upload),
            ..Default::default()
        }))
    }

    async fn list_uploads(
        &self,
        _: Request<pb::ListUploadsRequest>,
    ) -> Result<Response<pb::ListUploadsResponse>, Status> {
        Err(Status::unimplemented("this peer lists nothing"))
    }

    async fn stream_upload_progress(
        &self,
        _: Request<pb::StreamUploadProgressRequest>,
    ) -> Result<Response<Self::StreamUploadProgressStream>, Status> {
        Err(Status::unimplemented("this peer reports no progress"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_uploads_are_forgotten() {
        let mut uploads = Uploads::default();
        let first = uploads.open(Upload::default());
        for _ in 1..UPLOADS_MAX {
            uploads.open(Upload::default());
        }
        assert!(uploads.get(&first).is_ok());
        let last = uploads.open(Upload::default());
        assert!(uploads.get(&first).is_err() && uploads.get(&last).is_ok());
        assert_eq!((uploads.by_id.len(), uploads.by_age.len()), (UPLOADS_MAX, UPLOADS_MAX));
    }
}
