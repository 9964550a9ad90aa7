//! Database errors, sorted by what the caller does next.

use rusqlite::ErrorCode;

/// What a failed job means for its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DatabaseErrorKind {
    /// No space: free some, or push back; a later try may succeed.
    Full,
    /// The disk or a lock failed us: a later try may succeed.
    Unavailable,
    /// The database has been closed.
    Closed,
    /// A constraint of the schema refused the write.
    Constraint,
    /// The file is damaged, or from a newer version: do not go on.
    Unusable,
    /// The statement or the job is wrong.
    Bug,
}

/// Why nothing of a job was kept.
#[derive(Clone, Debug, thiserror::Error)]
#[error("database: {message}")]
pub struct DatabaseError {
    kind: DatabaseErrorKind,
    message: String,
}

impl DatabaseError {
    /// An error of this kind; `message` is for people.
    pub fn new(kind: DatabaseErrorKind, message: impl Into<String>) -> DatabaseError {
        DatabaseError { kind, message: message.into() }
    }

    /// What the caller does next.
    pub fn kind(&self) -> DatabaseErrorKind {
        self.kind
    }

    pub(super) fn closed() -> DatabaseError {
        DatabaseError::new(DatabaseErrorKind::Closed, "closed")
    }
}

impl From<rusqlite::Error> for DatabaseError {
    fn from(error: rusqlite::Error) -> DatabaseError {
        let kind = match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => DatabaseErrorKind::Full,
            Some(
                ErrorCode::SystemIoFailure
                | ErrorCode::DatabaseBusy
                | ErrorCode::DatabaseLocked
                | ErrorCode::CannotOpen
                | ErrorCode::OutOfMemory
                | ErrorCode::OperationInterrupted
                | ErrorCode::OperationAborted
                | ErrorCode::ReadOnly,
            ) => DatabaseErrorKind::Unavailable,
            Some(ErrorCode::ConstraintViolation) => DatabaseErrorKind::Constraint,
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                DatabaseErrorKind::Unusable
            }
            _ => DatabaseErrorKind::Bug,
        };
        DatabaseError::new(kind, error.to_string())
    }
}
