//! One connection to a server, whoever speaks on it.

mod batch;
mod own;
mod refusal;
mod stock;

use std::io;
use std::time::Duration;

use bytes::Bytes;
use sluice_proto::pb;

pub use refusal::Refused;

/// Long for an address that anyone listens on.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speaker {
    /// This crate, by h2: costs as little as it can.
    Own {
        /// Bytes of a frame at most; less if the server says so.
        frame_bytes: usize,
    },
    /// tonic's generated client, as it comes.
    Tonic,
}

/// A connection.
#[derive(Debug)]
pub enum Wire {
    /// This crate's.
    Own(Box<own::Connection>),
    /// tonic's.
    Tonic(stock::Service),
}

/// Why a call has no answer.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The server refused it.
    #[error("{}", .0.refusal)]
    Refused(Box<Refused>),
    /// The connection broke, the call was cut, or the answer is none: nobody knows what became of
    /// it.
    #[error("no answer: {0}")]
    Broken(String),
}

impl Wire {
    /// Connects to `host:port`.
    ///
    /// # Errors
    /// When nobody listens there.
    pub async fn connect(address: &str, speaker: Speaker) -> io::Result<Self> {
        let connect = async {
            match speaker {
                Speaker::Own { frame_bytes } => {
                    let connection = own::Connection::connect(address, frame_bytes).await?;
                    Ok(Self::Own(connection.into()))
                }
                Speaker::Tonic => stock::connect(address).await.map(Self::Tonic),
            }
        };
        tokio::time::timeout(CONNECT_TIMEOUT, connect).await?
    }

    /// Opens an upload.
    ///
    /// # Errors
    /// When there is no answer, or none that opens one.
    pub async fn initiate(
        &self,
        request: &pb::InitiateUploadRequest,
    ) -> Result<pb::InitiateUploadResponse, CallError> {
        match self {
            Self::Own(connection) => connection.initiate(request).await,
            Self::Tonic(service) => stock::initiate(service, request).await,
        }
    }

    /// Sends a chunk; `header` is all of it but its data.
    ///
    /// # Errors
    /// When there is no answer, or no ack.
    pub async fn chunk(
        &self,
        header: &pb::UploadChunkRequest,
        data: &Bytes,
    ) -> Result<pb::UploadChunkResponse, CallError> {
        match self {
            Self::Own(connection) => connection.chunk(header, data).await,
            Self::Tonic(service) => stock::chunk(service, header, data).await,
        }
    }

    /// Ends an upload.
    ///
    /// # Errors
    /// When there is no answer, or a refusal.
    pub async fn complete(
        &self,
        request: &pb::CompleteUploadRequest,
    ) -> Result<pb::CompleteUploadResponse, CallError> {
        match self {
            Self::Own(connection) => connection.complete(request).await,
            Self::Tonic(service) => stock::complete(service, request).await,
        }
    }
}
