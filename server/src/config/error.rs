//! What is wrong with the settings, always with the key and where it was set.

use std::io;
use std::path::PathBuf;

use crate::config::raw::Origin;

/// Why there is no configuration. Nothing was opened yet.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// No such setting.
    #[error("unknown setting `{key}` ({origin}){}", hint(.nearest))]
    Unknown {
        /// As it was written.
        key: String,
        /// Where it was set.
        origin: Origin,
        /// What was perhaps meant.
        nearest: Option<&'static str>,
    },
    /// Not a value of this setting.
    #[error("`{key}` ({origin}) is {value}: needed is {expected}")]
    Invalid {
        /// The setting.
        key: &'static str,
        /// Where it was set.
        origin: Origin,
        /// What it was set to; of a secret only that it is one.
        value: String,
        /// What can stand there.
        expected: String,
    },
    /// A layer that this build doesn't have.
    #[error("`{key}` ({origin}): this build has no {value} yet, only {available}")]
    NotBuilt {
        /// The setting.
        key: &'static str,
        /// Where it was set.
        origin: Origin,
        /// The layer asked for.
        value: &'static str,
        /// The layers that there are.
        available: String,
    },
    /// Two settings that exclude each other, or one that nothing would read.
    #[error("`{key}` ({origin}) contradicts the other settings: {reason}")]
    Contradiction {
        /// The setting.
        key: &'static str,
        /// Where it was set.
        origin: Origin,
        /// What it contradicts.
        reason: String,
    },
    /// A settings file, or the file of a secret, can't be read.
    #[error("can't read {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The settings file isn't TOML.
    #[error("{}: {problem}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Where and why.
        problem: String,
    },
    /// The machine can't be asked what the defaults depend on.
    #[error("can't find the default of `{key}`: {source}")]
    Machine {
        /// The setting to give instead.
        key: &'static str,
        /// What failed.
        source: io::Error,
    },
}

fn hint(nearest: &Option<&str>) -> String {
    nearest.map_or(String::new(), |name| format!("; did you mean `{name}`?"))
}
