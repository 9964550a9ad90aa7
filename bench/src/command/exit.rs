//! What the exit code says; the same numbers as those of `sluice`.

use std::process::{ExitCode, Termination};

use crate::load::UploadError;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done, and every object verified.
    Done = 0,
    /// Something that has no code of its own.
    Failed = 1,
    /// The command line is wrong: nothing was tried.
    Usage = 2,
    /// The server refused for good, or an upload ended without an object.
    Refused = 3,
    /// What was stored isn't what was sent.
    Integrity = 4,
}

impl Exit {
    /// What an upload that didn't come out means for the run.
    pub const fn of(error: &UploadError) -> Self {
        match error {
            UploadError::Refused { .. } | UploadError::Ended { .. } => Self::Refused,
            UploadError::Mismatch { .. } => Self::Integrity,
        }
    }
}

impl Termination for Exit {
    fn report(self) -> ExitCode {
        ExitCode::from(self as u8)
    }
}
