//! One file on its way.

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::time::Instant;

use sluice_proto::client::{
    Client, ClientError, Pace, Progress, Source, UploadOptions, UploadReport,
};
use sluice_proto::pb::AckLevel;

use super::{Ack, Arguments, identity};
use crate::command::Exit;

/// What is the same for all files of a command.
pub(super) struct Job<'a> {
    pub arguments: &'a Arguments,
    pub client: Client,
    pub pace: Pace,
}

/// A file that can be read, and what the server is to know of it.
pub(super) struct One {
    source: Source,
    options: UploadOptions,
}

/// A file that is stored.
pub(super) struct Stored {
    pub report: UploadReport,
    pub seconds: f64,
}

impl One {
    /// A file, under the name that the server is to give it.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn file(job: &Job<'_>, path: &Path, name: String) -> io::Result<Self> {
        let mut options = options(job, name);
        if !job.arguments.no_resume {
            options.request_id = Some(identity::request_id(path, &options)?);
        }
        Ok(Self { source: Source::open(path)?, options })
    }

    /// The standard input, which can't be read twice.
    pub fn stdin(job: &Job<'_>, name: &str) -> Self {
        let source = Source::stream(tokio::io::stdin());
        Self { source, options: options(job, name.to_owned()) }
    }

    pub fn name(&self) -> &str {
        &self.options.filename
    }

    /// `None` where only its end tells.
    pub fn size_bytes(&self) -> Option<u64> {
        match self.source {
            Source::File { size_bytes, .. } => Some(size_bytes),
            Source::Stream(_) => None,
        }
    }

    /// Whether the same command would go on with the same upload.
    pub fn resumes(&self) -> bool {
        self.options.request_id.is_some()
    }

    pub async fn upload(
        self,
        job: &Job<'_>,
        progress: impl FnMut(&Progress),
    ) -> Result<Stored, ClientError> {
        let started = now();
        let report = job.client.upload(self.source, self.options, progress).await?;
        Ok(Stored { report, seconds: (now() - started).as_secs_f64() })
    }
}

/// Why a file isn't stored.
pub(super) enum Failure {
    Unreadable(io::Error),
    Upload { error: ClientError, exit: Exit },
}

impl Failure {
    pub fn upload(error: ClientError, resumes: bool) -> Self {
        let exit = Exit::of(&error, resumes);
        Self::Upload { error, exit }
    }

    pub fn exit(&self) -> Exit {
        match self {
            Self::Unreadable(_) => Exit::Failed,
            Self::Upload { exit, .. } => *exit,
        }
    }
}

fn options(job: &Job<'_>, name: String) -> UploadOptions {
    let arguments = job.arguments;
    UploadOptions {
        drive_id: arguments.drive.clone(),
        filename: name,
        mime_type: arguments.mime_type.clone(),
        metadata: arguments.metadata.iter().cloned().collect::<HashMap<_, _>>(),
        if_not_exists: arguments.if_not_exists,
        ack_level: match arguments.ack {
            None => AckLevel::Unspecified,
            Some(Ack::Received) => AckLevel::Received,
            Some(Ack::Spooled) => AckLevel::Spooled,
        },
        chunk_bytes: arguments.chunk_size,
        parallel: arguments.parallel.map(usize::from),
        pace: Some(job.pace.clone()),
        ..UploadOptions::default()
    }
}

#[expect(clippy::disallowed_methods, reason = "a person is told how long it took")]
pub(super) fn now() -> Instant {
    Instant::now()
}
