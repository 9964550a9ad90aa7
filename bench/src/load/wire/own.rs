//! The generator's own client: HTTP/2 by h2, gRPC by hand, and not a byte of payload copied on the
//! way to the kernel.
//!
//! It shares a machine with the server that it has to keep busy, so what it costs a byte and a call
//! is what limits the figures of the server.

use std::io;

use bytes::buf::Chain;
use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use h2::client::{Builder, SendRequest};
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, Request, header};
use prost::Message;
use sluice_proto::grpc::frame::{PREFIX_BYTES, frame_reply};
use sluice_proto::pb;
use tokio::net::TcpStream;
use tonic::Status;

use crate::load::wire::batch::Batched;
use crate::load::wire::{CallError, Refused};

/// `UploadChunkRequest.data`: number 1000, of a length.
const DATA_KEY: u64 = 1000 << 3 | 2;
/// No answer of the service is as long as this.
const ANSWER_BYTES_MAX: usize = 1 << 20;

const STATUS: &str = "grpc-status";

/// What a frame is made of: what stands before the payload, and a piece of the payload.
type Body = Chain<Bytes, Bytes>;

/// One connection; each call is a stream on it.
#[derive(Debug)]
pub struct Connection {
    sender: SendRequest<Body>,
    frame_bytes: usize,
    initiate: Request<()>,
    chunk: Request<()>,
    complete: Request<()>,
}

impl Connection {
    /// Connects to `host:port`.
    pub async fn connect(address: &str, frame_bytes: usize) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let batched = Batched::new(stream);
        let (sender, connection) = Builder::new()
            .enable_push(false)
            .handshake::<_, Body>(batched.clone())
            .await
            .map_err(io::Error::other)?;
        // How it ends is told by the calls on it.
        tokio::task::spawn_local(batched.drive(connection));
        let request = |rpc| request(address, rpc).map_err(io::Error::other);
        Ok(Self {
            sender,
            frame_bytes,
            initiate: request("InitiateUpload")?,
            chunk: request("UploadChunk")?,
            complete: request("CompleteUpload")?,
        })
    }

    pub async fn initiate(
        &self,
        request: &pb::InitiateUploadRequest,
    ) -> Result<pb::InitiateUploadResponse, CallError> {
        self.call(&self.initiate, frame_reply(request), Bytes::new()).await
    }

    pub async fn chunk(
        &self,
        header: &pb::UploadChunkRequest,
        data: &Bytes,
    ) -> Result<pb::UploadChunkResponse, CallError> {
        self.call(&self.chunk, chunk_head(header, data.len()), data.clone()).await
    }

    pub async fn complete(
        &self,
        request: &pb::CompleteUploadRequest,
    ) -> Result<pb::CompleteUploadResponse, CallError> {
        self.call(&self.complete, frame_reply(request), Bytes::new()).await
    }

    async fn call<T: Message + Default>(
        &self,
        request: &Request<()>,
        head: Bytes,
        data: Bytes,
    ) -> Result<T, CallError> {
        let mut sender = self.sender.clone().ready().await.map_err(unanswered)?;
        let (response, stream) = sender.send_request(request.clone(), false).map_err(unanswered)?;
        // The server may answer before it has all, and its answer says more than this would.
        let sent = send(stream, head, data, self.frame_bytes);
        let (parts, mut body) = response.await.map_err(unanswered)?.into_parts();
        sent.map_err(unanswered)?;
        if parts.status != http::StatusCode::OK {
            return Err(CallError::Broken(format!("HTTP status {}", parts.status)));
        }
        // A refusal comes without a body, and perhaps with a reset behind it that asks to be spared
        // the rest of the chunk.
        if parts.headers.contains_key(STATUS) {
            check(&parts.headers)?;
            return Err(CallError::Broken("a status without a message".to_owned()));
        }
        let message = receive(&mut body).await?;
        check(&body.trailers().await.map_err(unanswered)?.unwrap_or_default())?;
        decode(message)
    }
}

fn request(address: &str, rpc: &str) -> http::Result<Request<()>> {
    Request::post(format!("http://{address}/sluice.upload.v1.UploadService/{rpc}"))
        .header(header::TE, "trailers")
        .header(header::CONTENT_TYPE, "application/grpc")
        .body(())
}

/// All of a chunk's message that stands before its `data_bytes`.
fn chunk_head(header: &pb::UploadChunkRequest, data_bytes: usize) -> Bytes {
    debug_assert!(header.data.is_empty(), "the data follows by itself");
    let fields = header.encoded_len();
    let data = data_bytes as u64;
    let keyed = prost::encoding::encoded_len_varint(DATA_KEY)
        + prost::encoding::encoded_len_varint(data)
        + data_bytes;
    let mut bytes = BytesMut::with_capacity(PREFIX_BYTES + fields + 16);
    let message = u32::try_from(fields + keyed).expect("a load's chunks are far below 4 GiB");
    bytes.put_u8(0);
    bytes.put_u32(message);
    header.encode(&mut bytes).expect("a buffer that grows takes any message");
    prost::encoding::encode_varint(DATA_KEY, &mut bytes);
    prost::encoding::encode_varint(data, &mut bytes);
    bytes.freeze()
}

/// Hands all of it to the connection, which sends it as the windows allow. What is one piece here
/// is never sent in larger frames.
fn send(
    mut stream: SendStream<Body>,
    head: Bytes,
    mut data: Bytes,
    frame_bytes: usize,
) -> Result<(), h2::Error> {
    let mut head = Some(head);
    loop {
        let head = head.take().unwrap_or_default();
        let room = frame_bytes.saturating_sub(head.len());
        let piece = data.split_to(room.min(data.len()));
        stream.send_data(head.chain(piece), data.is_empty())?;
        if data.is_empty() {
            return Ok(());
        }
    }
}

async fn receive(body: &mut RecvStream) -> Result<Bytes, CallError> {
    let mut message = Bytes::new();
    while let Some(piece) = body.data().await {
        let piece = piece.map_err(unanswered)?;
        body.flow_control().release_capacity(piece.len()).map_err(unanswered)?;
        if message.len() + piece.len() > ANSWER_BYTES_MAX {
            return Err(CallError::Broken("an answer without an end".to_owned()));
        }
        message = match message.is_empty() {
            true => piece,
            false => [message, piece].concat().into(),
        };
    }
    Ok(message)
}

fn check(trailers: &HeaderMap) -> Result<(), CallError> {
    match trailers.get(STATUS) {
        Some(status) if status == "0" => Ok(()),
        Some(_) => match Status::from_header_map(trailers) {
            Some(status) => Err(CallError::Refused(Refused::read(&status).into())),
            None => Err(CallError::Broken("a status that can't be read".to_owned())),
        },
        None => Err(CallError::Broken("an answer without a status".to_owned())),
    }
}

fn decode<T: Message + Default>(mut message: Bytes) -> Result<T, CallError> {
    if message.len() < PREFIX_BYTES || message[0] != 0 {
        return Err(CallError::Broken("an answer that is no gRPC message".to_owned()));
    }
    message.advance(PREFIX_BYTES);
    T::decode(message).map_err(|error| CallError::Broken(error.to_string()))
}

/// A stream that the server refused was never looked at: it may be sent again.
fn unanswered(error: h2::Error) -> CallError {
    match error.reason() {
        Some(Reason::REFUSED_STREAM) if error.is_remote() && error.is_reset() => {
            let status = Status::unavailable("the server refused the stream");
            CallError::Refused(Refused::read(&status).into())
        }
        _ => CallError::Broken(error.to_string()),
    }
}
