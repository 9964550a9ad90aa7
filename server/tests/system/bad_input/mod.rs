//! What breaks the contract gets the contract's error, which names the field and the limit, and
//! costs nothing: the upload beside it ends whole, and no memory, chunk or file stays behind.

mod ids;
mod initiate;
mod numbers;
mod promises;
mod sums;
mod wire;

use sluice_proto::error::ReceivedRefusal;
use sluice_proto::pb;
use tokio::runtime::Runtime;

use crate::harness::{
    Calls, Ended, Options, Outcome, Server, assert_refused, audit, chunk, eventually, get, noise,
    runtime,
};

/// A server with an honest upload that is half way, beside whatever a test does.
struct Scene {
    server: Server,
    runtime: Runtime,
    calls: Calls,
    honest: String,
    bytes: Vec<u8>,
    opened: Vec<String>,
}

impl Scene {
    fn start() -> Self {
        let server = Server::start(Options::default());
        let (runtime, bytes) = (runtime(), noise(7, 150_000));
        // The honest upload shares the bad calls' connection.
        let calls = {
            let _in_runtime = runtime.enter();
            Calls::to(&server.address())
        };
        let honest = runtime.block_on(async {
            let honest = calls.open("honest").await;
            calls.upload_chunk(chunk(&honest, 0, &bytes[..70_000])).await.unwrap();
            honest
        });
        Self { server, runtime, calls, honest, bytes, opened: Vec::new() }
    }

    /// Opens an upload to be bad with.
    fn open(&mut self) -> String {
        self.open_as(pb::InitiateUploadRequest::default())
    }

    fn open_as(&mut self, request: pb::InitiateUploadRequest) -> String {
        let filename = "victim".into();
        let request = pb::InitiateUploadRequest { filename, ..request };
        let opened = self.runtime.block_on(self.calls.initiate_upload(request)).unwrap();
        self.opened.push(opened.upload_id.clone());
        opened.upload_id
    }

    fn initiate(&self, request: pb::InitiateUploadRequest) -> ReceivedRefusal {
        *self.runtime.block_on(self.calls.initiate_upload(request)).unwrap_err()
    }

    fn send(&self, request: pb::UploadChunkRequest) {
        self.runtime.block_on(self.calls.upload_chunk(request)).unwrap();
    }

    fn refused(&self, request: pb::UploadChunkRequest) -> ReceivedRefusal {
        *self.runtime.block_on(self.calls.upload_chunk(request)).unwrap_err()
    }

    fn complete_refused(&self, upload_id: &str, total_chunks: Option<i32>) -> ReceivedRefusal {
        *self.runtime.block_on(self.calls.complete(upload_id, total_chunks)).unwrap_err()
    }

    /// The largest chunk that the server takes, bytes.
    fn max_chunk_bytes(&mut self) -> u64 {
        let request = pb::InitiateUploadRequest { filename: "a".into(), ..Default::default() };
        let opened = self.runtime.block_on(self.calls.initiate_upload(request)).unwrap();
        self.opened.push(opened.upload_id);
        opened.limits.unwrap().max_chunk_bytes as u64
    }

    /// Chunks and bytes that an upload holds.
    fn received(&self, upload_id: &str) -> (i32, i64) {
        let status = self.runtime.block_on(self.calls.status(upload_id)).unwrap();
        let upload = status.upload.unwrap();
        (upload.received_count, upload.received_bytes)
    }

    /// Nothing of it is left: memory is free, and the honest upload ends whole.
    fn end(self) {
        let Self { server, runtime, calls, honest, bytes, opened } = self;
        for upload_id in opened {
            let reason = "end of the test".into();
            let request = pb::AbortUploadRequest { upload_id, reason };
            let _ended_already = runtime.block_on(calls.abort_upload(request));
        }
        let admin = server.admin();
        eventually(|| {
            let page = get(&admin, "/status.json")?.body;
            let status: serde_json::Value = serde_json::from_str(&page).unwrap();
            let used = status["memory"]["used_bytes"].as_u64().unwrap();
            (used > 0).then(|| format!("{used} bytes are still held: {page}"))
        });
        let mut last = chunk(&honest, 1, &bytes[70_000..]);
        last.is_last = true;
        let acked = runtime.block_on(calls.upload_chunk(last)).unwrap();
        assert_eq!(acked.state(), pb::UploadState::Completed);
        let ended = Ended::Whole(bytes);
        audit(server, &[Outcome { upload_id: honest, filename: "honest".into(), ended }]);
    }
}
