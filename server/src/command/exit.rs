//! What the exit code says.

use std::process::{ExitCode, Termination};

use sluice_proto::client::ClientError;
use sluice_proto::error::Reason;

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

impl Exit {
    /// What a failed call comes to. `resumes` says whether the same command would go on with the
    /// same upload.
    pub fn of(error: &ClientError, resumes: bool) -> Self {
        let reason = match error {
            ClientError::Integrity { .. } => return Self::Integrity,
            ClientError::Source(_) => return Self::Failed,
            ClientError::Refused(refusal) => refusal.reason,
            ClientError::Ended { error, .. } => error.as_ref().and_then(|error| error.reason),
            ClientError::Connect { .. } => None,
        };
        match reason {
            Some(Reason::ChecksumMismatch | Reason::ObjectMismatch) => Self::Integrity,
            _ if resumes && error.can_resume() => Self::Resumable,
            _ => Self::Refused,
        }
    }

    /// The one that counts of two: what must not be missed wins.
    pub fn worst(self, other: Self) -> Self {
        let weight = |exit: Self| match exit {
            Self::Done => 0,
            Self::Resumable => 1,
            Self::Failed => 2,
            Self::Usage => 3,
            Self::Refused => 4,
            Self::Integrity => 5,
        };
        if weight(other) > weight(self) { other } else { self }
    }
}

impl Termination for Exit {
    fn report(self) -> ExitCode {
        ExitCode::from(self as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sluice_proto::error::{ReceivedRefusal, Refusal};

    fn refused(reason: Reason) -> ClientError {
        let status = Refusal::new(reason, "why").to_status();
        ClientError::Refused(Box::new(ReceivedRefusal::from_status(&status)))
    }

    #[test]
    fn the_code_says_what_to_do_next() {
        assert_eq!(Exit::of(&refused(Reason::Budget), true), Exit::Resumable);
        assert_eq!(Exit::of(&refused(Reason::Budget), false), Exit::Refused);
        assert_eq!(Exit::of(&refused(Reason::DriveUnknown), true), Exit::Refused);
        assert_eq!(Exit::of(&refused(Reason::ChecksumMismatch), true), Exit::Integrity);
        let lie = ClientError::Integrity { sent: 1, stored: 2 };
        assert_eq!(Exit::of(&lie, true), Exit::Integrity);
    }

    #[test]
    fn of_several_files_the_worst_counts() {
        assert_eq!(Exit::Done.worst(Exit::Resumable), Exit::Resumable);
        assert_eq!(Exit::Integrity.worst(Exit::Refused), Exit::Integrity);
    }
}
