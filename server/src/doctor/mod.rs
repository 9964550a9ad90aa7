//! Checks of the machine against the settings: what was found, what is needed, and how to get it.
//!
//! Looks, and changes nothing but one probe file in the data directory, which it removes.

mod host;
mod memory;
mod redis;
mod report;
mod ring;
mod s3;
mod storage;

use crate::config::Config;

pub use report::{json, table};

/// What a check came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// As it should be.
    Ok,
    /// The server starts, and is slower or more fragile than it could be.
    Warn,
    /// The server doesn't start, or would fail soon.
    Fail,
}

impl Outcome {
    /// As it is shown: `OK`, `WARN` or `FAIL`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Warn => "WARN",
            Self::Fail => "FAIL",
        }
    }
}

/// One check and what it came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// What was looked at.
    pub name: &'static str,
    /// What it came to.
    pub outcome: Outcome,
    /// What is there.
    pub found: String,
    /// What should be there.
    pub needed: String,
    /// How to get it; empty where nothing is amiss.
    pub fix: String,
}

impl Check {
    fn ok(name: &'static str, found: impl Into<String>, needed: impl Into<String>) -> Self {
        let (found, needed) = (found.into(), needed.into());
        Self { name, outcome: Outcome::Ok, found, needed, fix: String::new() }
    }

    fn warn(self, fix: impl Into<String>) -> Self {
        Self { outcome: Outcome::Warn, fix: fix.into(), ..self }
    }

    fn fail(self, fix: impl Into<String>) -> Self {
        Self { outcome: Outcome::Fail, fix: fix.into(), ..self }
    }
}

/// Runs every check. Blocks for some milliseconds, for the disk, and for what backends take.
pub fn run(config: &Config) -> Vec<Check> {
    let mut checks = of_machine(config);
    checks.extend(redis::checks(config));
    checks.extend(s3::checks(config));
    checks
}

fn of_machine(config: &Config) -> Vec<Check> {
    let mut checks = host::checks(config);
    checks.extend(ring::checks());
    checks.extend(memory::checks(config));
    checks.extend(storage::checks(config));
    checks
}

/// The checks that a start would fail on, or soon after. Backends are waited for, and judged by who
/// uses them.
pub fn blocking_failures(config: &Config) -> Vec<Check> {
    of_machine(config).into_iter().filter(|check| check.outcome == Outcome::Fail).collect()
}
