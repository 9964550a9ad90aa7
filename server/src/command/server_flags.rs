//! The flags of everything that runs a server or looks at its settings.

use std::path::PathBuf;

use clap::Args;

use crate::command::{Exit, output};
use crate::config::{Config, ConfigError, Machine, RawConfig};

/// Settings that have a flag. A flag wins over the environment, and that over the file.
#[derive(Debug, Default, Args)]
pub struct ServerFlags {
    /// Settings file [default: /etc/sluice/sluice.toml, if it is there].
    #[arg(long, value_name = "FILE", env = "SLUICE_CONFIG")]
    pub config: Option<PathBuf>,
    /// Where gRPC is served [default: 127.0.0.1:7070].
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<String>,
    /// Where status and metrics are served [default: 127.0.0.1:7080].
    #[arg(long, value_name = "ADDRESS")]
    pub admin_listen: Option<String>,
    /// Folder for all that must survive [default: data].
    #[arg(long, value_name = "FOLDER")]
    pub data_dir: Option<String>,
    /// CPUs to use, one shard on each, such as 0,2-3 [default: all allowed].
    #[arg(long, value_name = "LIST")]
    pub cpus: Option<String>,
    /// All memory that may be held [default: 4 GiB, or half of what is free].
    #[arg(long, value_name = "SIZE")]
    pub memory_limit: Option<String>,
    /// Port of shard 0, the others follow [default: 0, free ports].
    #[arg(long, value_name = "PORT")]
    pub shard_port_base: Option<String>,
}

impl ServerFlags {
    /// As [`load`](Self::load); says on stderr what is wrong.
    ///
    /// # Errors
    /// How the command ends then.
    pub fn load_or_tell(&self) -> Result<Config, Exit> {
        self.load().map_err(|error| {
            output::problem(&error);
            Exit::Usage
        })
    }

    /// Reads all settings, these flags last.
    ///
    /// # Errors
    /// What is wrong with the settings, by key and origin.
    pub fn load(&self) -> Result<Config, ConfigError> {
        let flags = [
            ("listen", &self.listen),
            ("admin-listen", &self.admin_listen),
            ("data-dir", &self.data_dir),
            ("cpus", &self.cpus),
            ("memory-limit", &self.memory_limit),
            ("shard-port-base", &self.shard_port_base),
        ];
        let given = flags.into_iter().filter_map(|(name, text)| Some((name, text.clone()?)));
        // A value that isn't UTF-8 is no value of any setting, and its error shows it as it can.
        let env = std::env::vars_os().map(|(name, value)| {
            (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned())
        });
        let raw = RawConfig::load(self.config.as_deref(), env, given)?;
        let machine = Machine::probe()
            .map_err(|source| ConfigError::Machine { key: "memory_limit", source })?;
        Config::try_from((raw, &machine))
    }
}
