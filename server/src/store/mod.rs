//! What is durable of uploads: by stores, in local databases or in Redis.
//!
//! Both hold what `StoredUpload::apply` of the shard says in memory, and one suite of tests holds
//! them to it.
//!
//! Invariants: a step is taken once, in the order of its `rev`; a process that was succeeded
//! takes none.

pub(crate) mod damage;
pub mod local;
mod query;
pub mod redis;
#[cfg(test)]
mod tests;

use sluice_io::{redis::RedisError, sqlite::DatabaseError};
use sluice_proto::ids::UploadId;
use sluice_shard::record::StoredUpload;

pub use query::{Filter, Found, Room, Stage, Stretch};

/// What a start finds of the uploads of a store that are live.
#[derive(Debug, Default, PartialEq)]
pub struct LiveUploads {
    /// Those that can be read.
    pub uploads: Vec<StoredUpload>,
    /// The others: nobody is served them, and nothing of theirs goes away.
    pub damaged: Vec<UploadId>,
}

/// What a store holds of one upload.
#[derive(Debug, PartialEq)]
pub enum Loaded {
    /// No such upload.
    Nothing,
    /// It can't be read.
    Damaged,
    /// It has more chunks than were asked for.
    TooLarge,
    /// All of it.
    Whole(Box<StoredUpload>),
    /// It is open, of a process before this one, and wasn't found when this one began, which gave
    /// back what it held: so it is over, and its store has lost how.
    Left(Box<StoredUpload>),
}

/// A step that must not be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StepError {
    /// Another process has opened this store since.
    #[error("this process was succeeded in its store")]
    Fenced,
    /// A step before it is missing.
    #[error("steps from rev {first_rev} on can't follow rev {rev}")]
    Gap {
        /// Of the first step given.
        first_rev: u64,
        /// Steps taken so far.
        rev: u64,
    },
}

/// Why a store did nothing, or why that isn't known.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// A local database refused.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// Redis refused, or couldn't be asked.
    #[error("redis: {0}")]
    Redis(#[from] RedisError),
    /// The steps must not be taken.
    #[error(transparent)]
    Step(#[from] StepError),
    /// What is recorded of an upload can't be read.
    #[error("upload {upload_id}: {source}")]
    Damaged {
        /// Which.
        upload_id: UploadId,
        /// Where.
        source: redis::Damaged,
    },
    /// This process couldn't renew its lease: another may run as its node by now.
    #[error("this node's lease in Redis has lapsed")]
    Lapsed,
}

impl StoreError {
    /// Whether nobody answers, or this process may write nothing, so that asking for another upload
    /// would come to the same.
    pub fn is_unreachable(&self) -> bool {
        use RedisError::{Connection, Deadline, Host, NotNow};
        let passing = |error: &RedisError| {
            matches!(error, Connection(_) | Deadline { .. } | Host { .. } | NotNow { .. })
        };
        match self {
            Self::Redis(error) => passing(error),
            Self::Lapsed => true,
            _ => false,
        }
    }
}
