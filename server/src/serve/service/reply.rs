//! Answers of gRPC calls on the wire.

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Method, Response, StatusCode,
    header::{ALLOW, CONTENT_TYPE},
};
use sluice_io::edge::request::{EdgeReply, Gone};
use sluice_proto::{
    error::Refusal,
    grpc::frame::{encode_grpc_message, encode_status_details},
};

use super::CANCELLED;

const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");
const NOT_GRPC: &[u8] =
    b"This is a gRPC server: calls are POST requests with content-type application/grpc.\n";
const OK: HeaderValue = HeaderValue::from_static("0");

/// The answer of a unary call: a framed message, or a refusal.
pub(super) type Answer = Result<Bytes, Refusal>;

/// Why a call has no answer of its own.
pub(super) enum Failed {
    /// It was refused.
    Refused(Refusal),
    /// The client is gone.
    Gone,
}

impl From<Refusal> for Failed {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<Gone> for Failed {
    fn from(_: Gone) -> Self {
        Self::Gone
    }
}

/// Sends an answer. An error means that the client is gone, which nobody needs to hear.
pub(super) async fn send(reply: &mut EdgeReply, answer: &Answer) -> Result<(), Gone> {
    match answer {
        Ok(message) => {
            begin(reply)?;
            reply.send(message.clone()).await?;
            reply.finish(ok())?;
        }
        Err(refusal) => reply.head(refused(refusal), true)?,
    }
    Ok(())
}

/// The head of an answer that has messages.
pub(super) fn begin(reply: &mut EdgeReply) -> Result<(), Gone> {
    let mut head = Response::new(());
    head.headers_mut().insert(CONTENT_TYPE, GRPC);
    reply.head(head, false)
}

/// Ends an answer that has begun: the gRPC code.
pub(super) fn end(reply: &mut EdgeReply, refusal: Option<&Refusal>) -> i32 {
    let (trailers, code) = match refusal {
        None => (ok(), 0),
        Some(refusal) => (status_headers(refusal), refusal.code().number()),
    };
    reply.finish(trailers).map_or(CANCELLED, |()| code)
}

/// The trailers of an answer that is OK.
fn ok() -> HeaderMap {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", OK);
    trailers
}

/// Tells a client that doesn't speak gRPC what is spoken here, by an HTTP status as gRPC asks for.
pub(super) async fn send_not_grpc(mut reply: EdgeReply, method: &Method) -> Result<(), Gone> {
    let mut head = Response::new(());
    head.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    if method == Method::POST {
        *head.status_mut() = StatusCode::UNSUPPORTED_MEDIA_TYPE;
    } else {
        *head.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
        head.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
    }
    let is_head = method == Method::HEAD;
    reply.head(head, is_head)?;
    if !is_head {
        reply.send(Bytes::from_static(NOT_GRPC)).await?;
        reply.finish(HeaderMap::new())?;
    }
    Ok(())
}

/// A head that is the whole answer: status and details without a message (gRPC's Trailers-Only).
fn refused(refusal: &Refusal) -> Response<()> {
    let mut head = Response::new(());
    *head.headers_mut() = status_headers(refusal);
    head.headers_mut().insert(CONTENT_TYPE, GRPC);
    head
}

/// A refusal as headers, which may also be trailers.
fn status_headers(refusal: &Refusal) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let status = refusal.to_status();
    headers.insert("grpc-status", HeaderValue::from(status.code));
    let texts = [
        ("grpc-message", encode_grpc_message(&status.message)),
        ("grpc-status-details-bin", encode_status_details(&status)),
    ];
    for (name, text) in texts {
        headers.insert(name, HeaderValue::try_from(text).expect("both encodings are ASCII"));
    }
    if let Some(ms) = refusal.retry_after_ms {
        headers.insert("grpc-retry-pushback-ms", HeaderValue::from(ms));
    }
    headers
}
