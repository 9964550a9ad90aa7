//! The settings as they were written, each with its origin: file, then environment, then flags.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use config::{FileFormat, FileSourceString, Map, Source as _, Value, ValueKind};

use crate::config::error::ConfigError;
use crate::config::keys::{self, Key};

/// Read when no other file is named, if it is there.
pub const FILE_DEFAULT: &str = "/etc/sluice/sluice.toml";

const ENV_PREFIX: &str = "SLUICE_";
const SECRET_FILE_SUFFIX: &str = "_FILE";

/// Variables with our prefix that aren't settings of the server.
const ENV_OTHERS: &[&str] = &["SLUICE_SERVER", "SLUICE_CONFIG", "SLUICE_LOG"];

/// Where a setting comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Nobody set it.
    Default,
    /// A settings file.
    File(PathBuf),
    /// An environment variable, by its name.
    Env(String),
    /// A flag of the command, without its dashes.
    Flag(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => write!(f, "file {}", path.display()),
            Self::Env(name) => write!(f, "environment {name}"),
            Self::Flag(name) => write!(f, "flag --{name}"),
        }
    }
}

/// One setting as it was written.
#[derive(Clone, PartialEq, Eq)]
pub struct Setting {
    /// Its value, unread.
    pub text: String,
    /// Where it was written.
    pub origin: Origin,
}

impl fmt::Debug for Setting {
    /// Without the text, which may be a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Setting({})", self.origin)
    }
}

/// The settings that somebody wrote, by key; a later source has replaced an earlier one.
#[derive(Debug, Clone, Default)]
pub struct RawConfig {
    settings: BTreeMap<&'static str, Setting>,
}

impl RawConfig {
    /// Reads all sources. `file` is the one that was asked for, `env` the whole environment, and
    /// `flags` the pairs of flag name and value that were given; a flag is its key with dashes.
    ///
    /// # Errors
    /// An unknown key in any source, or a file that can't be read.
    pub fn load(
        file: Option<&Path>,
        env: impl IntoIterator<Item = (String, String)>,
        flags: impl IntoIterator<Item = (&'static str, String)>,
    ) -> Result<Self, ConfigError> {
        let mut raw = Self::default();
        match file {
            Some(path) => raw.add_file(path)?,
            None if Path::new(FILE_DEFAULT).exists() => raw.add_file(Path::new(FILE_DEFAULT))?,
            None => {}
        }
        raw.add_env(env)?;
        for (flag, text) in flags {
            let origin = Origin::Flag(flag);
            let key = known(&flag.replace('-', "_"), &origin)?;
            raw.settings.insert(key.name, Setting { text, origin });
        }
        Ok(raw)
    }

    /// What was written for a key, if anything was.
    pub fn get(&self, key: &str) -> Option<&Setting> {
        self.settings.get(key)
    }

    /// Where a key's value comes from.
    pub fn origin(&self, key: &str) -> Origin {
        self.get(key).map_or(Origin::Default, |setting| setting.origin.clone())
    }

    /// Adds the settings of a TOML text; `path` is where it was read.
    pub(super) fn add_toml(&mut self, text: &str, path: &Path) -> Result<(), ConfigError> {
        let source = config::File::<FileSourceString, _>::from_str(text, FileFormat::Toml);
        let tables = source.collect().map_err(|error| ConfigError::Syntax {
            path: path.to_owned(),
            problem: error.to_string(),
        })?;
        let origin = Origin::File(path.to_owned());
        self.add_table("", tables, &origin)
    }

    fn add_file(&mut self, path: &Path) -> Result<(), ConfigError> {
        let text = fs::read_to_string(path).map_err(unreadable(path))?;
        self.add_toml(&text, path)
    }

    fn add_table(
        &mut self,
        section: &str,
        table: Map<String, Value>,
        origin: &Origin,
    ) -> Result<(), ConfigError> {
        for (name, value) in table {
            let name = format!("{section}{name}");
            match value.kind {
                ValueKind::Table(inner) => self.add_table(&format!("{name}."), inner, origin)?,
                kind => {
                    let key = known(&name, origin)?;
                    let text = scalar(key, kind, origin)?;
                    self.settings.insert(key.name, Setting { text, origin: origin.clone() });
                }
            }
        }
        Ok(())
    }

    fn add_env(
        &mut self,
        env: impl IntoIterator<Item = (String, String)>,
    ) -> Result<(), ConfigError> {
        // Sorted, so that of two mistakes always the same one is told.
        for (variable, value) in env.into_iter().collect::<BTreeMap<_, _>>() {
            if variable.starts_with(ENV_PREFIX) && !value.is_empty() && !is_other(&variable) {
                self.add_variable(variable, value)?;
            }
        }
        Ok(())
    }

    fn add_variable(&mut self, variable: String, value: String) -> Result<(), ConfigError> {
        let name = key_of(&variable);
        let from_file = name.strip_suffix(&SECRET_FILE_SUFFIX.to_ascii_lowercase());
        let origin = Origin::Env(variable);
        let Some(key) = from_file.and_then(keys::find).filter(|key| key.secret) else {
            let key = known(&name, &origin)?;
            self.settings.insert(key.name, Setting { text: value, origin });
            return Ok(());
        };
        if let Some(Setting { origin: Origin::Env(other), .. }) = self.get(key.name) {
            let reason = format!("{other} is set too");
            return Err(ConfigError::Contradiction { key: key.name, origin, reason });
        }
        let path = Path::new(&value);
        let text = fs::read_to_string(path).map_err(unreadable(path))?;
        // Editors end a file with a newline; no secret ends with one.
        let text = text.trim_end_matches(['\r', '\n']).to_owned();
        self.settings.insert(key.name, Setting { text, origin });
        Ok(())
    }
}

/// The variable that sets a key.
pub fn variable_of(key: &str) -> String {
    format!("{ENV_PREFIX}{}", key.replace('.', "__").to_ascii_uppercase())
}

fn key_of(variable: &str) -> String {
    let name = variable.strip_prefix(ENV_PREFIX).unwrap_or(variable);
    name.replace("__", ".").to_ascii_lowercase()
}

/// Kubernetes sets `SLUICE_PORT_…` and `SLUICE_SERVICE_…` in every pod beside a service `sluice`.
fn is_other(variable: &str) -> bool {
    let service = variable == "SLUICE_PORT"
        || variable.starts_with("SLUICE_PORT_")
        || variable.starts_with("SLUICE_SERVICE_");
    service || ENV_OTHERS.contains(&variable)
}

fn known(name: &str, origin: &Origin) -> Result<&'static Key, ConfigError> {
    keys::find(name).ok_or_else(|| ConfigError::Unknown {
        key: name.to_owned(),
        origin: origin.clone(),
        nearest: keys::nearest(name),
    })
}

fn scalar(key: &'static Key, kind: ValueKind, origin: &Origin) -> Result<String, ConfigError> {
    let list = |items: Vec<Value>| {
        let texts = items.into_iter().map(|item| scalar(key, item.kind, origin));
        Ok(texts.collect::<Result<Vec<_>, _>>()?.join(","))
    };
    match kind {
        ValueKind::String(text) => Ok(text),
        ValueKind::Boolean(on) => Ok(if on { "on" } else { "off" }.to_owned()),
        ValueKind::Array(items) => list(items),
        ValueKind::Nil | ValueKind::Table(_) => Err(ConfigError::Invalid {
            key: key.name,
            origin: origin.clone(),
            value: "a table".into(),
            expected: "a text, number or list".into(),
        }),
        number => Ok(number.to_string()),
    }
}

fn unreadable(path: &Path) -> impl FnOnce(io::Error) -> ConfigError {
    let path = path.to_owned();
    move |source| ConfigError::Unreadable { path, source }
}

#[cfg(test)]
mod tests;
