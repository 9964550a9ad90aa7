//! Why a suite can't be run, told before anything is started.

use std::io;
use std::path::{Path, PathBuf};

/// Names the file, and in it the place.
#[derive(Debug, thiserror::Error)]
pub enum SuiteError {
    /// The file can't be read.
    #[error("{}: {source}", file.display())]
    Read {
        /// Which.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It isn't TOML, or a key of it isn't known or isn't of its kind.
    #[error("{}: {source}", file.display())]
    Toml {
        /// Which.
        file: PathBuf,
        /// Where and why.
        source: Box<toml::de::Error>,
    },
    /// What is said at one place can't be.
    #[error("{}: {place}: {why}", file.display())]
    Place {
        /// Which.
        file: PathBuf,
        /// `run intake-16: set.load.connections`.
        place: String,
        /// Why.
        why: String,
    },
}

impl SuiteError {
    /// One about a place.
    pub fn at(file: &Path, place: impl Into<String>, why: impl ToString) -> Self {
        Self::Place { file: file.to_owned(), place: place.into(), why: why.to_string() }
    }
}
