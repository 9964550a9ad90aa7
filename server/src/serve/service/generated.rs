//! Generated gRPC services on the edge: requests in, answers out, on this shard's thread.

use std::{
    collections::HashMap,
    convert::Infallible,
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_channel::mpsc;
use http::Response;
use http_body::Frame;
use http_body_util::BodyExt as _;
use sluice_io::{
    edge::request::{EdgeBody, EdgeReply},
    reactor::task,
};
use tonic::{Status, server::NamedService};
use tower_service::Service;

use super::reply::h2_error::Gone;

/// Pieces of a small request that wait for the service.
const PIECES_MAX: usize = 16;

pub(crate) type Answering = Pin<Box<dyn Future<Output = Response<tonic::body::Body>>>>;
type Handler = Box<dyn Fn(http::Request<tonic::body::Body>) -> Answering>;

/// A generated service.
pub(crate) trait Grpc: Clone + 'static {
    /// As it stands in a path.
    fn name(&self) -> &'static str;
    /// Serves one request.
    fn answer(&self, request: http::Request<tonic::body::Body>) -> Answering;
}

impl<S> Grpc for S
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
    fn name(&self) -> &'static str {
        S::NAME
    }

    fn answer(&self, request: http::Request<tonic::body::Body>) -> Answering {
        // Generated services are always ready.
        let answering = self.clone().call(request);
        Box::pin(async move {
            let Ok(response) = answering.await;
            response
        })
    }
}

/// The generated services, by name.
#[derive(Default)]
pub(crate) struct Generated(HashMap<&'static str, Handler>);

impl Generated {
    pub(super) fn add(&mut self, service: impl Grpc) {
        let name = service.name();
        let handler = move |request| {
            // Generated services are always ready.
            service.answer(request)
        };
        self.0.insert(name, Box::new(handler));
    }

    /// Serves a request, if its service is here: the answer's gRPC code.
    pub(super) async fn serve(
        &self,
        head: http::request::Parts,
        body: EdgeBody,
        reply: &mut EdgeReply,
    ) -> Option<Result<i32, Gone>> {
        let name = head.uri.path().strip_prefix('/')?.split_once('/')?.0;
        let handler = self.0.get(name)?;
        let (pieces, incoming) = mpsc::channel(PIECES_MAX);
        let pump = task::spawn_local(pump(body, pieces)).cancel_on_drop();
        let request = http::Request::from_parts(head, tonic::body::Body::new(Incoming(incoming)));
        let response = handler(request).await;
        let sent = send(response, reply).await;
        drop(pump);
        Some(sent)
    }
}

/// Carries a request's payload to wherever the service reads it.
async fn pump(mut body: EdgeBody, mut pieces: mpsc::Sender<Result<Bytes, Status>>) {
    while let Some(read) = body.next().await {
        let piece = read.map(|piece| {
            body.release(piece.len());
            // Small, and it may stay: it must not pin its block.
            Bytes::copy_from_slice(&piece)
        });
        let is_cut = piece.is_err();
        let piece = piece.map_err(|cut| Status::cancelled(cut.to_string()));
        let has_room = poll_fn(|cx| pieces.poll_ready(cx)).await;
        if has_room.and_then(|()| pieces.start_send(piece)).is_err() || is_cut {
            return;
        }
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

async fn send(response: Response<tonic::body::Body>, reply: &mut EdgeReply) -> Result<i32, Gone> {
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
    while let Some(frame) = body.frame().await {
        match frame.map_err(|_status| Gone)?.into_data() {
            Ok(bytes) => reply.send(bytes).await?,
            Err(frame) => trailers = frame.into_trailers().unwrap_or_default(),
        }
    }
    let code = code_of(&trailers);
    reply.finish(trailers)?;
    Ok(code)
}
