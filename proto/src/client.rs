//! The client library, on tokio and tonic.
//!
//! Retries what may be retried, goes on where an earlier try stopped, and
//! compares what the server stored with what it sent. gRPC libraries don't
//! retry messages this big by themselves.

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

/// A connection to a Sluice server. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Client {
    first: Link,
    retry: RetryPolicy,
}

impl Client {
    /// Connects to `host:port` or an `http://` URL.
    pub async fn connect(address: &str) -> Result<Self, ClientError> {
        Ok(Self { first: Link::connect(address).await?, retry: RetryPolicy::default() })
    }

    /// Sets how calls are repeated.
    #[must_use]
    pub fn with_retry(mut self, retry: RetryPolicy) -> Self {
        self.retry = retry;
        self
    }

    /// Where an upload stands: the first page of its ranges.
    pub async fn status(&self, id: &str) -> Result<pb::GetUploadStatusResponse, ClientError> {
        let request = pb::GetUploadStatusRequest { upload_id: id.into(), ..Default::default() };
        let call = || {
            let (mut service, request) = (self.first.service(), request.clone());
            async move { within(CALL_TIMEOUT, service.get_upload_status(request)).await }
        };
        self.retry.run(&self.first, call).await
    }

    /// Gives an upload up; `reason` is for people.
    pub async fn abort(&self, id: &str, reason: &str) -> Result<pb::UploadState, ClientError> {
        let request = pb::AbortUploadRequest { upload_id: id.into(), reason: reason.into() };
        let call = || {
            let (mut service, request) = (self.first.service(), request.clone());
            async move { within(CALL_TIMEOUT, service.abort_upload(request)).await }
        };
        Ok(self.retry.run(&self.first, call).await?.state())
    }

    /// Uploads a source and waits for the end. `progress` is called after every
    /// acknowledged chunk, from the task that awaits this.
    pub async fn upload(
        &self,
        source: Source,
        options: UploadOptions,
        progress: impl FnMut(&Progress),
    ) -> Result<UploadReport, ClientError> {
        upload::run(self, source, options, progress).await
    }
}
