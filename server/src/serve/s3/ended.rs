//! What an answer of the store means to an upload.

use sluice_io::s3::{ErrorKind, S3Error};
use sluice_proto::error::Reason;
use sluice_shard::{event::Failure, record::EndError};

use super::SliceError;
use crate::{config, metrics::Work};

/// Tries of one request; then the rules ask again, later.
pub(super) const TRIES_MAX: u32 = 4;

/// A request that came to nothing.
#[derive(Debug)]
pub(super) struct Ended {
    /// `None`: the store was down all the time.
    pub(super) error: Option<S3Error>,
    /// For how long it has been denied, by now.
    pub(super) denied_ms: Option<u64>,
}

/// Why something wasn't done.
#[derive(Debug)]
pub(super) enum Stop {
    /// It is tried again, or its bytes are gone.
    Failed(Failure),
    /// It never will be.
    Refused(EndError),
}

/// Whether it answers what was asked: such a thing isn't there, or is there already.
pub(super) fn is_answer(work: Work, error: &S3Error) -> bool {
    match error.kind {
        ErrorKind::NoSuchUpload => matches!(work, Work::Abort | Work::ListParts),
        ErrorKind::NoSuchKey => matches!(work, Work::Head | Work::Delete),
        ErrorKind::Conflict => work == Work::PutObject,
        _ => false,
    }
}

/// Whether the same again may go well, and does no harm if it was done before.
pub(super) fn may_pass(work: Work, error: &S3Error) -> bool {
    match error.kind {
        ErrorKind::Retryable => {
            // A second multipart upload would be nobody's; a second object a second version.
            let is_once = matches!(work, Work::Begin | Work::PutObject);
            !(is_once && error.is_in_doubt())
        }
        ErrorKind::Mismatch => work != Work::Complete,
        _ => false,
    }
}

impl Ended {
    pub(super) fn down() -> Self {
        Self { error: None, denied_ms: None }
    }

    pub(super) fn kind(&self) -> Option<ErrorKind> {
        self.error.as_ref().map(|error| error.kind)
    }

    pub(super) fn is_in_doubt(&self) -> bool {
        self.error.as_ref().is_some_and(S3Error::is_in_doubt)
    }

    /// What it means where nothing more is known.
    pub(super) fn stop(&self, settings: &config::S3) -> Stop {
        let Some(error) = &self.error else { return Stop::Failed(Failure::Unavailable) };
        let denied_max_ms = u64::try_from(settings.denied.as_millis()).unwrap_or(u64::MAX);
        match error.kind {
            ErrorKind::Denied | ErrorKind::Elsewhere
                if self.denied_ms.is_none_or(|ms| ms <= denied_max_ms) =>
            {
                Stop::Failed(Failure::Unavailable)
            }
            ErrorKind::Retryable
            | ErrorKind::Conflict
            | ErrorKind::NoSuchUpload
            | ErrorKind::NoSuchKey
            | ErrorKind::InvalidPart
            | ErrorKind::Body => Stop::Failed(Failure::Unavailable),
            ErrorKind::Mismatch => {
                let message = format!("the object store got other bytes than came in: {error}");
                Stop::Refused(EndError { reason: Reason::ObjectMismatch, message })
            }
            ErrorKind::NoSuchBucket
            | ErrorKind::Denied
            | ErrorKind::Elsewhere
            | ErrorKind::TooSmall
            | ErrorKind::TooLarge
            | ErrorKind::Unsupported
            | ErrorKind::Permanent => {
                let message = format!("the object store refuses it: {error}");
                Stop::Refused(EndError { reason: Reason::StoreRefused, message })
            }
        }
    }
}

impl Stop {
    pub(super) const UNAVAILABLE: Self = Self::Failed(Failure::Unavailable);

    /// The object there isn't this upload's.
    pub(super) fn mismatch(message: impl Into<String>) -> Self {
        Self::Refused(EndError { reason: Reason::ObjectMismatch, message: message.into() })
    }
}

impl From<SliceError> for Stop {
    fn from(error: SliceError) -> Self {
        use crate::serve::work::Cause as _;
        Self::Failed(error.failure())
    }
}
