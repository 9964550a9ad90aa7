//! Instruction counts, and how they stand to those that were stored.

mod compare;
mod count;
mod machine;

use std::{collections::BTreeMap, path::PathBuf};

use serde::{Deserialize, Serialize};

pub use compare::{Line, Verdict, compare, table};
pub use count::{count, run};
pub use machine::{Machine, cpu_features};

/// What is stored: counts, and what they depend on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Figures {
    /// What they were counted by and on.
    pub machine: Machine,
    /// Instructions of one round, by scenario.
    pub instructions: BTreeMap<String, u64>,
}

/// Why there are no figures.
#[derive(Debug, thiserror::Error)]
pub enum FigureError {
    /// A program can't be run.
    #[error("can't run {program}: {source}")]
    Spawn {
        /// Which.
        program: String,
        /// Why.
        source: std::io::Error,
    },
    /// A program failed.
    #[error("{program} failed: {stderr}")]
    Failed {
        /// Which.
        program: String,
        /// What it said.
        stderr: String,
    },
    /// callgrind told no sum.
    #[error("callgrind said nothing of what it collected: {stderr}")]
    NoSum {
        /// What it said.
        stderr: String,
    },
    /// Nothing is called so.
    #[error("there is no scenario {0}")]
    Unknown(String),
    /// The stored figures can't be read or written.
    #[error("{path}: {source}")]
    File {
        /// Where they lie.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The stored figures aren't any.
    #[error("{path}: {source}")]
    Json {
        /// Where they lie.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
}

impl Figures {
    /// Counts every scenario, here and now.
    ///
    /// # Errors
    /// When valgrind or a scenario fails.
    pub fn taken() -> Result<Self, FigureError> {
        let mut instructions = BTreeMap::new();
        for scenario in crate::all() {
            instructions.insert(scenario.name.to_owned(), count(scenario)?);
        }
        Ok(Self { machine: Machine::here()?, instructions })
    }

    /// Those that were stored.
    ///
    /// # Errors
    /// When the file can't be read, or holds something else.
    pub fn load(path: PathBuf) -> Result<Self, FigureError> {
        match std::fs::read(&path) {
            Ok(json) => {
                serde_json::from_slice(&json).map_err(|source| FigureError::Json { path, source })
            }
            Err(source) => Err(FigureError::File { path, source }),
        }
    }

    /// Stores these.
    ///
    /// # Errors
    /// When the file can't be written.
    pub fn store(&self, path: PathBuf) -> Result<(), FigureError> {
        let mut json = serde_json::to_string_pretty(self).expect("strings and numbers only");
        json.push('\n');
        std::fs::write(&path, json).map_err(|source| FigureError::File { path, source })
    }
}
