//! The client library, on tokio and tonic.
//!
//! Retries what may be retried, goes on where an earlier try stopped, and compares what the server
//! stored with what it sent. gRPC libraries don't retry messages this big by themselves.
//!
//! ```no_run
//! # async fn run() -> Result<(), sluice_proto::client::ClientError> {
//! use sluice_proto::client::{Client, Source, UploadOptions};
//!
//! let client = Client::connect("127.0.0.1:7070").await?;
//! let options = UploadOptions {
//!     filename: "big.iso".into(),
//!     request_id: Some("big.iso-2026-11-25".into()), // what a second run finds it by
//!     ..Default::default()
//! };
//! let report = client.upload(Source::open("big.iso".as_ref())?, options, |_| {}).await?;
//! println!("{} bytes are node {}", report.size_bytes, report.node_id);
//! # Ok(())
//! # }
//! ```
//!
//! **The way.** InitiateUpload goes to the address that was connected to, and chunks to the owner's
//! endpoint that it tells, which saves the server a hop. An endpoint that can't be reached is tried
//! once for all uploads of a client, and a connection that breaks isn't gone back to: the first
//! address takes everything too.
//!
//! **Waiting.** A call is sent again when its code says that this can help ([`RetryPolicy`]), after
//! as long as the server asks for by `RetryInfo` or `grpc-retry-pushback-ms`. No call waits for
//! ever: one without a chunk is given up on after 60 s, one with a chunk after as much more as a
//! very slow line needs. A connection is pinged every 20 s, so a peer that is gone is found.
//!
//! **Memory.** An upload holds [`UploadOptions::parallel`] chunks of
//! [`UploadOptions::chunk_bytes`] at most, and 16 bytes for each chunk that was read. A [`Pace`]
//! bounds what several hold together.
//!
//! A future that is dropped stops sending at once; the upload stays open on the server until it is
//! resumed, aborted or expires.

mod chunk;
mod initiate;
mod link;
mod lists;
mod missing;
mod options;
mod owners;
mod pace;
mod retry;
mod source;
mod upload;
mod watch;

pub use options::{Progress, UploadOptions, UploadReport};
pub use pace::Pace;
pub use retry::RetryPolicy;
pub use source::Source;
pub use watch::Watch;

use crate::error::{Code, ReceivedRefusal};
use crate::pb;
use link::{CALL_TIMEOUT, Link, within};

/// Why a call of the client library failed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The server, or something before it, refused for good or too often.
    #[error(transparent)]
    Refused(Box<ReceivedRefusal>),
    /// No connection.
    #[error("can't connect to {address}: {source}")]
    Connect {
        /// Where to.
        address: String,
        /// Why not.
        source: tonic::transport::Error,
    },
    /// The source can't be read, or changed while it was.
    #[error("can't read the source: {0}")]
    Source(#[from] std::io::Error),
    /// The server stored something else than was sent.
    #[error("the stored object has CRC-64/NVME {stored:016x}, what was sent {sent:016x}")]
    Integrity {
        /// Of what was sent.
        sent: u64,
        /// Of the stored object.
        stored: u64,
    },
    /// The upload ended without an object.
    #[error("the upload ended as {state:?}")]
    Ended {
        /// FAILED, ABORTED or EXPIRED.
        state: pb::UploadState,
        /// Why, if the server said so.
        error: Option<Box<ReceivedRefusal>>,
    },
}

impl ClientError {
    /// Whether the same upload can go on later under the same `request_id`.
    pub fn can_resume(&self) -> bool {
        match self {
            Self::Refused(refusal) => retry::may_retry(refusal),
            Self::Connect { .. } => true,
            Self::Source(_) | Self::Integrity { .. } | Self::Ended { .. } => false,
        }
    }

    fn broken_answer(message: &str) -> Self {
        let status = pb::rpc::Status {
            code: Code::Internal.number(),
            message: message.into(),
            details: Vec::new(),
        };
        Self::Refused(Box::new(ReceivedRefusal::from_status(&status)))
    }
}

/// A connection to a Sluice server. Cheap to clone, and clones share it.
#[derive(Debug, Clone)]
pub struct Client {
    first: Link,
    retry: RetryPolicy,
}

impl Client {
    /// Connects to `host:port` or an `http://` URL: once, in 5 s at most. What is asked later
    /// connects again by itself when the connection broke.
    ///
    /// # Errors
    /// [`ClientError::Connect`].
    pub async fn connect(address: &str) -> Result<Self, ClientError> {
        Ok(Self { first: Link::connect(address).await?, retry: RetryPolicy::default() })
    }

    /// Sets how calls are repeated; [`RetryPolicy::default`] is ten attempts, which wait 33 s
    /// together at most, and ten minutes where the server asks to come back later.
    #[must_use]
    pub fn with_retry(mut self, retry: RetryPolicy) -> Self {
        self.retry = retry;
        self
    }

    /// Where an upload stands, with the first page of its ranges: 1,000 at most.
    ///
    /// # Errors
    /// UPLOAD_UNKNOWN, also 24 h after its end, or no answer.
    pub async fn status(&self, id: &str) -> Result<pb::GetUploadStatusResponse, ClientError> {
        let request = pb::GetUploadStatusRequest { upload_id: id.into(), ..Default::default() };
        let call = || {
            let (mut service, request) = (self.first.service(), request.clone());
            async move { within(CALL_TIMEOUT, service.get_upload_status(request)).await }
        };
        self.retry.run(&self.first, call).await
    }

    /// Gives an upload up; `reason` is for people, at most 1,024 bytes. One that was aborted before
    /// answers the same.
    ///
    /// # Errors
    /// UPLOAD_COMPLETING when all its chunks are in, UPLOAD_ENDED, UPLOAD_UNKNOWN, or no answer.
    pub async fn abort(&self, id: &str, reason: &str) -> Result<pb::UploadState, ClientError> {
        let request = pb::AbortUploadRequest { upload_id: id.into(), reason: reason.into() };
        let call = || {
            let (mut service, request) = (self.first.service(), request.clone());
            async move { within(CALL_TIMEOUT, service.abort_upload(request)).await }
        };
        Ok(self.retry.run(&self.first, call).await?.state())
    }

    /// Uploads a source and waits for the end. `progress` is called after every acknowledged chunk
    /// and at least every 500 ms while chunks are waited for, from the task that awaits this. A file
    /// of up to 1 MiB goes along with InitiateUpload, in one call.
    ///
    /// # Errors
    /// What a call was refused with, for good or more often than the [`RetryPolicy`] allows;
    /// [`ClientError::Source`] when the source can't be read; [`ClientError::Ended`] when somebody
    /// aborts the upload or it expires or fails; [`ClientError::Integrity`] when what is stored isn't
    /// what was read. [`ClientError::can_resume`] tells whether the same call can go on later.
    pub async fn upload(
        &self,
        source: Source,
        options: UploadOptions,
        progress: impl FnMut(&Progress),
    ) -> Result<UploadReport, ClientError> {
        upload::run(self, source, options, progress).await
    }
}
