//! A server that speaks the contract and keeps account of all it gets, with faults at will.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use h2::server::SendResponse;
use h2::{Reason as Cut, RecvStream};
use http::{HeaderMap, Request, Response};
use prost::Message;
use sluice_proto::checksum::Crc64Nvme;
use sluice_proto::error::{Reason, Refusal};
use sluice_proto::grpc::frame::{PREFIX_BYTES, encode_status_details, frame_reply};
use sluice_proto::pb::{self, UploadState};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

/// The port that both shards share; the others are 0 and 1.
pub const SHARED: usize = 2;

/// What it does otherwise than it should.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    /// Refuses the first sending of every so-manieth chunk, before it has read it.
    pub refuse_every: Option<u64>,
    /// Never answers the first chunk of this number.
    pub lose: Option<u32>,
    /// Cuts the stream of the first chunk of this number.
    pub cut: Option<u32>,
    /// Bytes that objects are told to have too many.
    pub bytes_too_many: i64,
    /// Whether objects are told to have another checksum.
    pub wrong_sum: bool,
    /// Whether objects are told to have none.
    pub no_sum: bool,
    /// Waits before each ack, one chunk at a time.
    pub slow: Duration,
    /// Tells one owner for all uploads.
    pub one_owner: bool,
}

/// What it saw of one upload.
#[derive(Debug, Clone, Default)]
pub struct Upload {
    /// What it was opened with.
    pub request: pb::InitiateUploadRequest,
    /// Which of the two shards owns it.
    pub owner: usize,
    /// Numbers of chunks, as they were acked, and the port that each came to.
    pub acked: Vec<(u32, usize)>,
    /// Which of them said that they are the last.
    pub is_last: Vec<u32>,
    /// Bytes and sum of each.
    chunks: BTreeMap<u32, (u64, u64)>,
    pub is_complete: bool,
}

/// All that it saw.
#[derive(Debug, Default)]
pub struct Seen {
    pub uploads: HashMap<String, Upload>,
    /// The largest DATA frame, in bytes.
    pub frame_bytes_max: usize,
    /// Chunks whose checksum wasn't there, and chunks whose was.
    pub unsummed: u64,
    pub summed: u64,
    pub refused: u64,
    pub connections: usize,
    chunks: u64,
    was_lost: bool,
}

/// Serves as two shards do: each on a port of its own, and both on one that they share, where a
/// connection is the one's or the other's. Dropping it ends it.
#[derive(Debug)]
pub struct Server {
    addresses: [SocketAddr; 3],
    shared: Arc<Shared>,
    end: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    faults: Faults,
    addresses: [SocketAddr; 3],
    seen: Mutex<Seen>,
    turn: tokio::sync::Mutex<()>,
}

impl Server {
    pub fn start(faults: Faults) -> Self {
        let listeners = [0; 3].map(|_| std::net::TcpListener::bind("127.0.0.1:0").unwrap());
        let addresses = [0, 1, 2].map(|port| listeners[port].local_addr().unwrap());
        let (seen, turn) = Default::default();
        let shared = Arc::new(Shared { faults, addresses, seen, turn });
        let (end, ended) = oneshot::channel::<()>();
        let served = shared.clone();
        let thread = thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                for (port, listener) in listeners.into_iter().enumerate() {
                    listener.set_nonblocking(true).unwrap();
                    let listener = TcpListener::from_std(listener).unwrap();
                    tokio::spawn(served.clone().accept(listener, port));
                }
                let _ = ended.await;
            });
        });
        Self { addresses, shared, end: Some(end), thread: Some(thread) }
    }

    /// Where all is asked first.
    pub fn address(&self) -> String {
        self.addresses[SHARED].to_string()
    }

    pub fn seen(&self) -> MutexGuard<'_, Seen> {
        self.shared.seen()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.end.take());
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

type Answer = Result<Bytes, Refusal>;

impl Shared {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn accept(self: Arc<Self>, listener: TcpListener, port: usize) {
        while let Ok((stream, _)) = listener.accept().await {
            let connections = &mut self.seen().connections;
            *connections += 1;
            let shard = if port == SHARED { *connections % 2 } else { port };
            tokio::spawn(self.clone().serve(stream, port, shard));
        }
    }

    async fn serve(self: Arc<Self>, stream: TcpStream, port: usize, shard: usize) {
        let mut builder = h2::server::Builder::new();
        builder.max_frame_size(1 << 20).initial_window_size(1 << 20);
        builder.initial_connection_window_size(16 << 20);
        let Ok(mut connection) = builder.handshake::<_, Bytes>(stream).await else { return };
        while let Some(Ok((request, respond))) = connection.accept().await {
            tokio::spawn(self.clone().answer(request, respond, port, shard));
        }
    }

    async fn answer(
        self: Arc<Self>,
        request: Request<RecvStream>,
        mut respond: SendResponse<Bytes>,
        port: usize,
        shard: usize,
    ) {
        assert_eq!(request.headers()["content-type"], "application/grpc");
        assert_eq!(request.headers()["te"], "trailers");
        let rpc = request.uri().path().rsplit('/').next().unwrap().to_owned();
        let is_chunk = rpc == "UploadChunk";
        if is_chunk && let Some(refusal) = self.refuse_early() {
            return refuse(&mut respond, &refusal);
        }
        let Some(body) = self.read(request.into_body(), is_chunk).await else { return };
        let answer = match rpc.as_str() {
            "InitiateUpload" => Ok(self.initiate(decode(body), shard)),
            "CompleteUpload" => self.complete(&decode(body)),
            "UploadChunk" => {
                let chunk: pb::UploadChunkRequest = decode(body);
                if self.is_lost(chunk.chunk_number) {
                    match self.faults.cut {
                        Some(_) => return respond.send_reset(Cut::INTERNAL_ERROR),
                        None => return std::future::pending().await,
                    }
                }
                if !self.faults.slow.is_zero() {
                    let _turn = self.turn.lock().await;
                    tokio::time::sleep(self.faults.slow).await;
                }
                self.chunk(&chunk, port)
            }
            other => panic!("{other}"),
        };
        match answer {
            Ok(message) => reply(&mut respond, message),
            Err(refusal) => refuse(&mut respond, &refusal),
        }
    }

    /// All of a body. None when whoever sent it went away.
    async fn read(&self, mut body: RecvStream, is_chunk: bool) -> Option<Bytes> {
        let mut bytes = BytesMut::new();
        while let Some(piece) = body.data().await {
            let piece = piece.ok()?;
            if is_chunk {
                let mut seen = self.seen();
                seen.frame_bytes_max = seen.frame_bytes_max.max(piece.len());
            }
            body.flow_control().release_capacity(piece.len()).ok()?;
            bytes.extend_from_slice(&piece);
        }
        Some(bytes.freeze())
    }

    fn refuse_early(&self) -> Option<Refusal> {
        let mut seen = self.seen();
        seen.chunks += 1;
        let every = self.faults.refuse_every?;
        if !seen.chunks.is_multiple_of(every) {
            return None;
        }
        seen.refused += 1;
        Some(Refusal::new(Reason::Budget, "no memory just now").retry_after_ms(1))
    }

    fn is_lost(&self, number: i32) -> bool {
        let mut seen = self.seen();
        let fault = self.faults.lose.or(self.faults.cut);
        let is_lost = !seen.was_lost && fault == Some(number as u32);
        seen.was_lost |= is_lost;
        is_lost
    }

    fn initiate(&self, request: pb::InitiateUploadRequest, shard: usize) -> Bytes {
        let mut seen = self.seen();
        let upload_id = format!("upload-{}", seen.uploads.len());
        let owner = if self.faults.one_owner { 0 } else { shard };
        let endpoints = vec![self.addresses[owner].to_string()];
        seen.uploads.insert(upload_id.clone(), Upload { request, owner, ..Default::default() });
        frame_reply(&pb::InitiateUploadResponse { upload_id, endpoints, ..Default::default() })
    }

    fn chunk(&self, request: &pb::UploadChunkRequest, port: usize) -> Answer {
        let mut seen = self.seen();
        let sum = Crc64Nvme::of(&request.data);
        match Crc64Nvme::from_wire(&request.crc64nvme) {
            Some(sent) => {
                assert_eq!(sent, sum, "chunk {}", request.chunk_number);
                seen.summed += 1;
            }
            None => seen.unsummed += 1,
        }
        let unknown = || Refusal::new(Reason::UploadUnknown, "");
        let upload = seen.uploads.get_mut(&request.upload_id).ok_or_else(unknown)?;
        let number = request.chunk_number as u32;
        let length = request.data.len() as u64;
        let duplicate = upload.chunks.insert(number, (length, sum)).is_some();
        upload.acked.push((number, port));
        if request.is_last {
            upload.is_last.push(number);
        }
        let mut answer = pb::UploadChunkResponse {
            chunk_number: request.chunk_number,
            chunk_bytes: length as i64,
            duplicate,
            ..Default::default()
        };
        let bytes: u64 = upload.chunks.values().map(|(bytes, _)| bytes).sum();
        let is_whole = upload.request.expected_size_bytes == Some(bytes as i64);
        answer.set_state(if is_whole { UploadState::Completed } else { UploadState::Uploading });
        Ok(frame_reply(&answer))
    }

    fn complete(&self, request: &pb::CompleteUploadRequest) -> Answer {
        let mut seen = self.seen();
        let upload = seen.uploads.get_mut(&request.upload_id).unwrap();
        let total = request.total_chunks.unwrap() as usize;
        if !upload.chunks.keys().copied().eq(0..total as u32) {
            return Err(Refusal::new(Reason::MissingChunks, ""));
        }
        upload.is_complete = true;
        let (bytes, sum) = upload.chunks.values().fold((0, 0), |(bytes, sum), &(more, next)| {
            (bytes + more, Crc64Nvme::combine(sum, next, more))
        });
        let sum = sum ^ u64::from(self.faults.wrong_sum);
        let object = pb::ObjectInfo {
            size_bytes: bytes as i64 + self.faults.bytes_too_many,
            crc64nvme: match self.faults.no_sum {
                true => Bytes::new(),
                false => Bytes::copy_from_slice(&sum.to_be_bytes()),
            },
            ..Default::default()
        };
        let mut answer = pb::CompleteUploadResponse { object: Some(object), ..Default::default() };
        answer.set_state(UploadState::Completed);
        Ok(frame_reply(&answer))
    }
}

fn decode<M: Message + Default>(body: Bytes) -> M {
    let length = u32::from_be_bytes(body[1..PREFIX_BYTES].try_into().unwrap()) as usize;
    assert_eq!((body[0], length), (0, body.len() - PREFIX_BYTES));
    M::decode(body.slice(PREFIX_BYTES..)).unwrap()
}

fn reply(respond: &mut SendResponse<Bytes>, message: Bytes) {
    let head = Response::builder().header("content-type", "application/grpc").body(()).unwrap();
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", 0.into());
    // Whoever asked may be gone.
    if let Ok(mut stream) = respond.send_response(head, false) {
        let _ = stream.send_data(message, false);
        let _ = stream.send_trailers(trailers);
    }
}

fn refuse(respond: &mut SendResponse<Bytes>, refusal: &Refusal) {
    let status = refusal.to_status();
    let head = Response::builder()
        .header("content-type", "application/grpc")
        .header("grpc-status", status.code)
        .header("grpc-message", "refused")
        .header("grpc-status-details-bin", encode_status_details(&status))
        .body(())
        .unwrap();
    // What of the body wasn't read is cut, by NO_ERROR, when the last of this stream is dropped. To
    // say so here would overtake the answer.
    let _ = respond.send_response(head, true);
}
