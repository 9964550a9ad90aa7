//! Generated gRPC services on the edge: requests in, answers out, on this shard's thread.

use std::{
    collections::HashMap,
    convert::Infallible,
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{Bytes, BytesMut};
use futures_channel::mpsc;
use http::Response;
use http_body::Frame;
use http_body_util::BodyExt as _;
use sluice_io::{edge::request::EdgeReply, reactor::task};
use sluice_proto::{
    error::{Reason, Refusal},
    grpc::frame::{PREFIX_BYTES, parse_prefix},
    limits::CONTROL_MESSAGE_BYTES_MAX,
};
use tonic::{Status, server::NamedService};
use tower_service::Service;

use super::{
    Failed,
    inflow::{Inflow, in_time},
    not_one_message, unknown_method, unreadable, until_gone,
};

type Answering = Pin<Box<dyn Future<Output = Response<tonic::body::Body>>>>;
type Handler = Box<dyn Fn(http::Request<tonic::body::Body>) -> Answering>;

/// The generated services, by name.
#[derive(Default)]
pub(crate) struct Generated(HashMap<&'static str, Handler>);

impl Generated {
    pub(crate) fn add<S>(&mut self, service: S)
    where
        S: Service<
                http::Request<tonic::body::Body>,
                Response = Response<tonic::body::Body>,
                Error = Infallible,
            > + NamedService
            + Clone
            + 'static,
        S::Future: 'static,
    {
        let handler = move |request| -> Answering {
            // Generated services are always ready.
            let answering = service.clone().call(request);
            Box::pin(async move {
                let Ok(response) = answering.await;
                response
            })
        };
        self.0.insert(S::NAME, Box::new(handler));
    }

    fn find(&self, path: &str) -> Result<&Handler, Refusal> {
        let name = path.strip_prefix('/').and_then(|path| path.split_once('/'));
        let handler = name.and_then(|(name, _)| self.0.get(name));
        handler.ok_or_else(unknown_method)
    }

    /// Serves a request whose message is read as it comes: the answer's gRPC code.
    pub(super) async fn serve(
        &self,
        head: http::request::Parts,
        inflow: Inflow,
        reply: &mut EdgeReply,
    ) -> Result<i32, Failed> {
        let handler = self.find(head.uri.path())?;
        // Room for one piece.
        let (pieces, incoming) = mpsc::channel(0);
        let pump = task::spawn_local(pump(inflow, pieces)).cancel_on_drop();
        let request = http::Request::from_parts(head, tonic::body::Body::new(Incoming(incoming)));
        let response = until_gone(reply, async { Ok(handler(request).await) }).await?;
        let code = send(response, reply).await;
        drop(pump);
        code
    }

    /// Serves one of the contract's unary calls: the answer's gRPC code.
    pub(super) async fn serve_unary(
        &self,
        head: http::request::Parts,
        inflow: Inflow,
        reply: &mut EdgeReply,
    ) -> Result<i32, Failed> {
        let handler = self.find(head.uri.path())?;
        let message = until_gone(reply, read_whole(inflow)).await?;
        let message = tonic::body::Body::new(http_body_util::Full::new(message));
        let request = http::Request::from_parts(head, message);
        let response = until_gone(reply, async { Ok(handler(request).await) }).await?;
        let told = response.headers();
        if told.get("grpc-status").is_some_and(|code| code == INTERNAL)
            && !told.contains_key("grpc-status-details-bin")
        {
            // Ours tell why: the generated code could not decode it.
            return Err(unreadable().into());
        }
        send(response, reply).await
    }
}

/// gRPC's INTERNAL.
const INTERNAL: &str = "13";

/// The one message of a unary call, with its prefix. It fits into the stream's first window, so
/// nothing is given back before it is whole.
pub(super) async fn read_whole(inflow: Inflow) -> Result<Bytes, Failed> {
    in_time(read_to_end(inflow)).await
}

async fn read_to_end(mut inflow: Inflow) -> Result<Bytes, Failed> {
    let mut whole = BytesMut::new();
    while let Some(piece) = inflow.next().await? {
        if whole.len() + piece.len() > PREFIX_BYTES + CONTROL_MESSAGE_BYTES_MAX {
            let text = format!("a message has at most {CONTROL_MESSAGE_BYTES_MAX} bytes");
            let refusal = Refusal::new(Reason::FieldInvalid, text);
            return Err(refusal.with("max_message_bytes", CONTROL_MESSAGE_BYTES_MAX).into());
        }
        whole.extend_from_slice(&piece);
    }
    let prefix = whole.first_chunk().copied().ok_or_else(not_one_message)?;
    let message_bytes = parse_prefix(prefix, CONTROL_MESSAGE_BYTES_MAX as u64)?;
    if whole.len() - PREFIX_BYTES != message_bytes as usize {
        return Err(not_one_message().into());
    }
    Ok(whole.freeze())
}

/// Carries a request's payload to wherever the service reads it.
async fn pump(mut inflow: Inflow, mut pieces: mpsc::Sender<Result<Bytes, Status>>) {
    loop {
        let piece = match inflow.next().await {
            // Small, and it may stay: it must not pin its block.
            Ok(Some(piece)) => Ok(Bytes::copy_from_slice(&piece)),
            Ok(None) => return,
            Err(_gone) => Err(Status::cancelled("the client is gone")),
        };
        let is_last = piece.is_err();
        let sent = pieces.start_send(piece);
        // Its window pays for it until the service has taken it.
        if sent.is_err() || is_last || poll_fn(|cx| pieces.poll_ready(cx)).await.is_err() {
            return;
        }
        inflow.give_back();
    }
}

/// A request's payload as generated services read it.
struct Incoming(mpsc::Receiver<Result<Bytes, Status>>);

impl http_body::Body for Incoming {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let next = futures_util::Stream::poll_next(Pin::new(&mut self.0), cx);
        next.map(|piece| piece.map(|piece| piece.map(Frame::data)))
    }
}

async fn send(response: Response<tonic::body::Body>, reply: &mut EdgeReply) -> Result<i32, Failed> {
    let (head, mut body) = response.into_parts();
    let code_of = |headers: &http::HeaderMap| {
        let code = headers.get("grpc-status").and_then(|code| code.to_str().ok()?.parse().ok());
        code.unwrap_or(0)
    };
    if http_body::Body::is_end_stream(&body) {
        let code = code_of(&head.headers);
        reply.head(Response::from_parts(head, ()), true)?;
        return Ok(code);
    }
    reply.head(Response::from_parts(head, ()), false)?;
    let mut trailers = http::HeaderMap::new();
    loop {
        let next = async { Ok(body.frame().await) };
        let next = until_gone(reply, next).await?;
        let Some(frame) = next else { break };
        match frame.map_err(|_status| Failed::Gone)?.into_data() {
            Ok(bytes) => reply.send(bytes).await?,
            Err(frame) => trailers = frame.into_trailers().unwrap_or_default(),
        }
    }
    let code = code_of(&trailers);
    reply.finish(trailers)?;
    Ok(code)
}
