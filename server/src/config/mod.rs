//! The settings, read once: what was written becomes [`RawConfig`], and that a [`Config`] in the
//! types and units that the server runs on. Owns no component: settings are data.

mod error;
mod keys;
mod raw;
mod units;

pub use error::ConfigError;
pub use keys::{KEYS, Key};
pub use raw::{FILE_DEFAULT, Origin, RawConfig, Setting, variable_of};
pub use units::{
    format_cpus, format_duration, format_size, format_size_exact, parse_cpus, parse_duration,
    parse_size,
};
