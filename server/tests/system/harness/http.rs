//! HTTP as bytes: the admin page, and gRPC calls whose every byte the test chooses.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::poll_fn;
use http_body_util::{BodyExt as _, StreamBody};
use sluice_proto::error::ReceivedRefusal;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tonic::body::Body;
use tonic::transport::{Channel, Endpoint};
use tower_service::Service as _;

use super::calls::refusal_of;

const TIMEOUT: Duration = Duration::from_secs(30);

/// An answer of the admin port.
#[derive(Debug)]
pub struct Answer {
    pub code: u16,
    pub body: String,
}

/// Reads a page; `None` while nobody answers.
pub fn get(address: &str, path: &str) -> Option<Answer> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(TIMEOUT)).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n").ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    let code = head.split(' ').nth(1)?.parse().ok()?;
    Some(Answer { code, body: body.to_owned() })
}

/// A gRPC message with its prefix: flag, then length.
pub fn message(flag: u8, bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).unwrap().to_be_bytes();
    [&[flag], &length[..], bytes].concat()
}

/// What a raw call came to.
pub struct RawAnswer {
    pub refusal: ReceivedRefusal,
    pub headers: http::HeaderMap,
}

/// A call, of UploadService unless it says so, on a connection of its own, whose body is sent bit by bit.
pub struct RawCall {
    body: UnboundedSender<Bytes>,
    answer: tokio::task::JoinHandle<Result<http::Response<Body>, tonic::transport::Error>>,
}

impl RawCall {
    /// Opens the call; nothing of its body is sent yet. `headers` come beside the usual ones.
    pub async fn open(address: &str, method: &str, headers: &[(&'static str, &str)]) -> Self {
        let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
        let channel = endpoint.connect().await.unwrap();
        Self::open_on(channel, method, headers)
    }

    /// The same on a connection that there is.
    pub fn open_on(mut channel: Channel, method: &str, headers: &[(&'static str, &str)]) -> Self {
        let (body, rest) = unbounded_channel();
        // Of another service where one is named.
        let path = match method.split_once('/') {
            Some(_) => format!("/sluice.upload.v1.{method}"),
            None => format!("/sluice.upload.v1.UploadService/{method}"),
        };
        let mut request = http::Request::post(path)
            .header("content-type", "application/grpc")
            .header("te", "trailers");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::new(StreamBody::new(Frames(rest)))).unwrap();
        let answer = tokio::spawn(async move {
            poll_fn(|cx| channel.poll_ready(cx)).await?;
            channel.call(request).await
        });
        Self { body, answer }
    }

    /// Sends bytes of the body.
    pub fn send(&self, bytes: impl Into<Bytes>) {
        // An answer can come before all was sent, and then nobody reads on.
        let _ = self.body.send(bytes.into());
    }

    /// The refusal that comes, whether or not the body has ended.
    pub async fn refused(self) -> RawAnswer {
        let body = self.body;
        let answered = tokio::time::timeout(TIMEOUT, self.answer);
        let answer = answered.await.expect("no answer").unwrap().unwrap();
        drop(body);
        Self::read(answer).await
    }

    /// Ends the body and waits for the refusal.
    pub async fn end(self) -> RawAnswer {
        drop(self.body);
        let answered = tokio::time::timeout(TIMEOUT, self.answer);
        Self::read(answered.await.expect("no answer").unwrap().unwrap()).await
    }

    async fn read(answer: http::Response<Body>) -> RawAnswer {
        let (head, body) = answer.into_parts();
        let mut headers = head.headers;
        let ended = tokio::time::timeout(TIMEOUT, body.collect()).await.expect("no end").unwrap();
        if let Some(trailers) = ended.trailers() {
            headers.extend(trailers.clone());
        }
        let status = tonic::Status::from_header_map(&headers);
        let status = status.unwrap_or_else(|| panic!("no status in {headers:?}"));
        RawAnswer { refusal: refusal_of(&status), headers }
    }
}

/// The bits of a body.
struct Frames(UnboundedReceiver<Bytes>);

impl futures_util::Stream for Frames {
    type Item = Result<http_body::Frame<Bytes>, std::convert::Infallible>;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        self.0.poll_recv(cx).map(|bytes| Some(Ok(http_body::Frame::data(bytes?))))
    }
}
