//! Following an upload to its end.

use std::time::Duration;

use tonic::codec::Streaming;

use crate::client::link::{CALL_TIMEOUT, within};
use crate::client::{Client, ClientError, retry};
use crate::error::Code;
use crate::limits::PROGRESS_INTERVAL_MS_MAX;
use crate::pb::{self, UploadState};

/// A stream that is silent for longer than three of the promised intervals is dead.
const SILENCE_MAX: Duration = Duration::from_millis(3 * PROGRESS_INTERVAL_MS_MAX);
/// How often a server is asked that can't tell by itself.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// An upload that is followed to its end: see [`Client::watch`].
#[derive(Debug)]
pub struct Watch {
    client: Client,
    upload_id: String,
    how: How,
    /// Attempts since the last answer.
    attempts: u32,
}

#[derive(Debug)]
enum How {
    /// Nothing was asked yet, or the stream broke.
    Begin,
    Stream(Box<Streaming<pb::StreamUploadProgressResponse>>),
    /// The server has no such stream.
    Poll,
    Ended,
}

impl Client {
    /// Follows an upload by StreamUploadProgress, and by GetUploadStatus once a second where the
    /// server doesn't have that. Nothing is asked before [`Watch::next`] is called.
    pub fn watch(&self, upload_id: &str) -> Watch {
        let (client, upload_id) = (self.clone(), upload_id.to_owned());
        Watch { client, upload_id, how: How::Begin, attempts: 0 }
    }
}

impl Watch {
    /// The upload as it is now, at once the first time and then when it changes, at least every
    /// 60 s; `None` after its terminal state. A broken stream is opened again.
    ///
    /// # Errors
    /// UPLOAD_UNKNOWN, or no answer for as often as the client repeats a call.
    pub async fn next(&mut self) -> Result<Option<pb::Upload>, ClientError> {
        loop {
            let upload = match &mut self.how {
                How::Ended => return Ok(None),
                How::Begin => {
                    self.open().await?;
                    continue;
                }
                How::Poll => {
                    if self.attempts > 0 {
                        tokio::time::sleep(POLL_INTERVAL).await;
                    }
                    self.attempts = 1;
                    self.client.status(&self.upload_id).await?.upload
                }
                How::Stream(stream) => {
                    match tokio::time::timeout(SILENCE_MAX, stream.message()).await {
                        Ok(Ok(Some(told))) => told.upload,
                        Ok(Ok(None)) => self.broke(tonic::Status::unavailable("it ended")).await?,
                        Ok(Err(status)) => self.broke(status).await?,
                        Err(_) => self.broke(tonic::Status::unavailable("it is silent")).await?,
                    }
                }
            };
            if let Some(upload) = upload {
                self.heard(upload.state());
                return Ok(Some(upload));
            }
        }
    }

    async fn open(&mut self) -> Result<(), ClientError> {
        let request = pb::StreamUploadProgressRequest { upload_id: self.upload_id.clone() };
        let call = || {
            let (mut service, request) = (self.client.first.service(), request.clone());
            async move { within(CALL_TIMEOUT, service.stream_upload_progress(request)).await }
        };
        match self.client.retry.run(&self.client.first, call).await {
            Ok(stream) => self.how = How::Stream(Box::new(stream)),
            Err(error) => self.poll_or(error)?,
        }
        Ok(())
    }

    /// Waits before the stream is opened again, if that can help.
    async fn broke(&mut self, status: tonic::Status) -> Result<Option<pb::Upload>, ClientError> {
        let refusal = retry::read_status(&status);
        self.attempts += 1;
        let policy = self.client.retry;
        if self.attempts < policy.attempts && retry::may_retry(&refusal) {
            tokio::time::sleep(policy.jittered(self.attempts, refusal.retry_after)).await;
            self.how = How::Begin;
            return Ok(None);
        }
        self.poll_or(ClientError::Refused(Box::new(refusal)))?;
        Ok(None)
    }

    fn poll_or(&mut self, error: ClientError) -> Result<(), ClientError> {
        match &error {
            ClientError::Refused(refusal) if refusal.code == Code::Unimplemented.number() => {
                (self.how, self.attempts) = (How::Poll, 0);
                Ok(())
            }
            _ => Err(error),
        }
    }

    fn heard(&mut self, state: UploadState) {
        use UploadState::{Aborted, Completed, Expired, Failed};
        if !matches!(self.how, How::Poll) {
            self.attempts = 0;
        }
        if matches!(state, Completed | Failed | Aborted | Expired) {
            self.how = How::Ended;
        }
    }
}
