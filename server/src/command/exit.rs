//! What the exit code says.

use std::process::{ExitCode, Termination};

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done.
    Done = 0,
    /// A check failed, or something that has no code of its own.
    Failed = 1,
    /// The command line or the settings are wrong: nothing was tried.
    Usage = 2,
    /// The server refused, or the upload ended without an object.
    Refused = 3,
    /// What was stored isn't what was sent.
    Integrity = 4,
    /// The same command goes on from here.
    Resumable = 5,
}

impl Termination for Exit {
    fn report(self) -> ExitCode {
        ExitCode::from(self as u8)
    }
}
