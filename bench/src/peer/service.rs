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

const PAGE_MAX: usize = 1_000;

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
    filename: String,
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

    fn told(&self, upload_id: String) -> pb::Upload {
        pb::Upload {
            upload_id,
            filename: self.filename.clone(),
            state: self.state().into(),
            received_bytes: self.bytes,
            received_count: self.chunks,
            expected_size_bytes: self.expected_bytes,
            object: self.object(),
            ..Default::default()
        }
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

    /// From the oldest on; a page's token is the id that comes after it.
    fn page(&self, request: &pb::ListUploadsRequest) -> pb::ListUploadsResponse {
        let size = usize::try_from(request.page_size).unwrap_or(0).clamp(1, PAGE_MAX);
        let first = request.page_token.parse().unwrap_or(0);
        let is_wanted = |upload: &Upload| {
            (request.filename.is_empty() || request.filename == upload.filename)
                && (request.state == 0 || request.state() == upload.state())
        };
        let ids = self.by_age.iter().filter(|id| id.parse::<u64>().is_ok_and(|id| id >= first));
        let mut found = ids.filter(|id| self.by_id.get(*id).is_some_and(is_wanted));
        let told = |id: &String| Some(self.by_id.get(id)?.told(id.clone()));
        let uploads = found.by_ref().take(size).filter_map(told).collect();
        let next_page_token = found.next().cloned().unwrap_or_default();
        pb::ListUploadsResponse { uploads, next_page_token }
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
        let mut upload = Upload {
            filename: request.filename,
            expected_bytes: request.expected_size_bytes,
            ..Default::default()
        };
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
        let upload = Some(self.uploads().get(&upload_id)?.told(upload_id));
        Ok(Response::new(pb::GetUploadStatusResponse { upload, ..Default::default() }))
    }

    async fn list_uploads(
        &self,
        request: Request<pb::ListUploadsRequest>,
    ) -> Result<Response<pb::ListUploadsResponse>, Status> {
        Ok(Response::new(self.uploads().page(request.get_ref())))
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
    fn those_of_a_name_are_listed_page_by_page() {
        let mut uploads = Uploads::default();
        for nth in 0..6 {
            let filename = if nth % 2 == 0 { "even" } else { "odd" }.into();
            uploads.open(Upload { filename, bytes: nth, is_complete: true, ..Default::default() });
        }
        let mut request =
            pb::ListUploadsRequest { filename: "odd".into(), page_size: 2, ..Default::default() };
        let sizes = |page: &pb::ListUploadsResponse| -> Vec<i64> {
            page.uploads.iter().map(|upload| upload.received_bytes).collect()
        };
        let page = uploads.page(&request);
        assert_eq!(sizes(&page), [1, 3]);
        request.page_token = page.next_page_token;
        let page = uploads.page(&request);
        assert_eq!((sizes(&page), page.next_page_token), (vec![5], String::new()));
        request.state = pb::UploadState::Pending.into();
        assert!(uploads.page(&request).uploads.is_empty());
    }

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
