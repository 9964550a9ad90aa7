//! Where one body is written: a file, or Redis.

use std::{
    fmt::{self, Display},
    io,
};

use bytes::Bytes;
use sluice_io::{disk::BodyWriter, redis::RedisError};
use sluice_proto::ids::UploadId;
use sluice_shard::{effect::BodyPlace, event::Failure};

use super::{
    bodies::BodiesParts,
    files::Files,
    redis::{BodyName, BodyPut},
    work::Cause,
};

/// Where one body is written.
pub(super) enum BodySink {
    File(BodyWriter),
    Redis(Box<BodyPut>),
}

/// Why a body can't be written, or read.
#[derive(Debug)]
pub(super) enum BodyError {
    File(io::Error),
    Redis(RedisError),
    /// It isn't there any more.
    Gone(BodyName),
}

impl BodySink {
    pub(super) async fn open(
        parts: &BodiesParts,
        upload_id: UploadId,
        place: BodyPlace,
        bytes: u64,
    ) -> Result<Self, BodyError> {
        match place {
            BodyPlace::Redis { number, attempt } => {
                let redis = parts.redis.as_ref().expect("bodies in Redis have a spool there");
                let body = BodyName { upload_id, number, attempt };
                Ok(Self::Redis(Box::new(redis.put(body, bytes).await?)))
            }
            _ => Ok(Self::File(open_file(&parts.files, &upload_id, place, bytes).await?)),
        }
    }

    pub(super) async fn append(&mut self, piece: Bytes) -> Result<(), BodyError> {
        match self {
            Self::File(writer) => Ok(writer.append(piece).await?),
            Self::Redis(put) => Ok(put.append(piece).await?),
        }
    }

    /// `sync`: what is in a file survives a power cut.
    pub(super) async fn finish(self, sync: bool) -> Result<(), BodyError> {
        match self {
            Self::File(writer) => Ok(writer.finish(sync).await?),
            Self::Redis(put) => Ok(put.finish().await?),
        }
    }

    /// No write of it can happen any more.
    pub(super) async fn abandon(self) {
        match self {
            Self::File(writer) => writer.abandon().await,
            // Redis does nothing of a command that it hasn't all of.
            Self::Redis(put) => drop(put),
        }
    }
}

async fn open_file(
    files: &Files,
    upload_id: &UploadId,
    place: BodyPlace,
    bytes: u64,
) -> io::Result<BodyWriter> {
    let (file, offset) = match place {
        BodyPlace::Object { offset } => (files.partial(upload_id).await?, offset),
        BodyPlace::Spool(extent) => {
            (files.segment(upload_id.store(), extent).await?, extent.offset)
        }
        BodyPlace::Redis { .. } | BodyPlace::Memory | BodyPlace::Discard => {
            unreachable!("in no file")
        }
    };
    Ok(BodyWriter::new(file, files.buffers(), offset, bytes))
}

impl From<io::Error> for BodyError {
    fn from(error: io::Error) -> Self {
        Self::File(error)
    }
}

impl From<RedisError> for BodyError {
    fn from(error: RedisError) -> Self {
        Self::Redis(error)
    }
}

impl Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(error) => error.fmt(f),
            Self::Redis(error) => write!(f, "redis: {error}"),
            Self::Gone(body) => {
                write!(f, "redis has lost chunk {}: it is asked for again", body.number)
            }
        }
    }
}

impl Cause for BodyError {
    fn failure(&self) -> Failure {
        match self {
            Self::File(error) => error.failure(),
            Self::Redis(error) => error.failure(),
            Self::Gone(BodyName { number, attempt, .. }) => {
                Failure::Gone { number: *number, attempt: *attempt }
            }
        }
    }
}
