//! HTTP/1.1 as tus speaks it, over one connection that is kept.

use std::io;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST, HeaderValue, LOCATION};
use http::{Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// Why a tus server isn't as it should be.
#[derive(Debug, thiserror::Error)]
pub enum TusError {
    /// The address is no URL such as `http://127.0.0.1:1080/files/`.
    #[error("{0} is no URL of a tus server")]
    Url(String),
    /// Nobody listens.
    #[error("{0}")]
    Connect(#[from] io::Error),
    /// The connection broke.
    #[error("{0}")]
    Broken(#[from] hyper::Error),
    /// The answer is another than tus has for it.
    #[error("{method} was answered {status}")]
    Status {
        /// What was asked.
        method: Method,
        /// What was answered.
        status: StatusCode,
    },
    /// The answer lacks a header, or can't be read.
    #[error("an answer has no {0} that can be used")]
    Header(&'static str),
    /// The server has other bytes than were sent.
    #[error("{sent} bytes were sent, the server has {told}")]
    Offset {
        /// Bytes that it tells.
        told: u64,
        /// Bytes that it was sent.
        sent: u64,
    },
}

/// A connection to one tus server.
#[derive(Debug)]
pub struct Connection {
    sender: SendRequest<Full<Bytes>>,
    host: HeaderValue,
    path: String,
}

impl Connection {
    /// Connects to the server of `url`. Must be called in a local set.
    pub async fn open(url: &str) -> Result<Self, TusError> {
        let uri: Uri = url.parse().map_err(|_| TusError::Url(url.to_owned()))?;
        let authority = uri.authority().ok_or_else(|| TusError::Url(url.to_owned()))?.as_str();
        let host = authority.parse().map_err(|_| TusError::Url(url.to_owned()))?;
        let stream = TcpStream::connect(authority).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        // It ends with the sender, or breaks, and then the sender knows.
        drop(tokio::task::spawn_local(connection));
        Ok(Self { sender, host, path: uri.path().to_owned() })
    }

    /// Creates an upload of so many bytes, and gives its path.
    pub async fn create(&mut self, bytes: u64) -> Result<String, TusError> {
        let request = self.request(Method::POST, &self.path).header(UPLOAD_LENGTH, bytes);
        let answer = self.ask(request, Bytes::new(), StatusCode::CREATED).await?;
        let location = answer.headers().get(LOCATION).and_then(|value| value.to_str().ok());
        let uri = location.and_then(|location| location.parse::<Uri>().ok());
        uri.map(|uri| uri.path().to_owned()).ok_or(TusError::Header("Location"))
    }

    /// Adds `data` at `offset`, and gives the bytes that are there now.
    pub async fn append(&mut self, path: &str, offset: u64, data: Bytes) -> Result<u64, TusError> {
        let request = self
            .request(Method::PATCH, path)
            .header(CONTENT_TYPE, "application/offset+octet-stream")
            .header(UPLOAD_OFFSET, offset);
        offset_in(&self.ask(request, data, StatusCode::NO_CONTENT).await?)
    }

    /// The bytes that are there.
    pub async fn offset(&mut self, path: &str) -> Result<u64, TusError> {
        let request = self.request(Method::HEAD, path);
        offset_in(&self.ask(request, Bytes::new(), StatusCode::OK).await?)
    }

    fn request(&self, method: Method, path: &str) -> http::request::Builder {
        let request = Request::builder().method(method).uri(path);
        request.header(HOST, self.host.clone()).header("Tus-Resumable", "1.0.0")
    }

    async fn ask(
        &mut self,
        request: http::request::Builder,
        body: Bytes,
        expected: StatusCode,
    ) -> Result<Response<Incoming>, TusError> {
        let request = request.body(Full::new(body)).map_err(|_| TusError::Header("path"))?;
        let method = request.method().clone();
        self.sender.ready().await?;
        let mut answer = self.sender.send_request(request).await?;
        // Until all of it is read the connection can't be used again.
        while let Some(frame) = answer.body_mut().frame().await {
            frame?;
        }
        let status = answer.status();
        if status == expected { Ok(answer) } else { Err(TusError::Status { method, status }) }
    }
}

fn offset_in(answer: &Response<Incoming>) -> Result<u64, TusError> {
    let told = answer.headers().get(UPLOAD_OFFSET).and_then(|value| value.to_str().ok());
    let offset = told.and_then(|offset| offset.parse().ok());
    offset.ok_or(TusError::Header(UPLOAD_OFFSET))
}

const UPLOAD_LENGTH: &str = "Upload-Length";
const UPLOAD_OFFSET: &str = "Upload-Offset";
