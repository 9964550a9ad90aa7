//! The settings in effect, as a file that could be read back.

use std::fmt::Write as _;

use sluice_proto::units::{format_duration, format_size_exact};

use crate::config::format_cpus;
use crate::config::{Config, Layer as _};

fn on_or_off(value: bool) -> String {
    if value { "on" } else { "off" }.to_owned()
}

impl Config {
    /// Every setting in effect and its value, in the order of the file. No secret is among them:
    /// the layers that need one aren't built yet.
    pub fn settings(&self) -> Vec<(&'static str, String)> {
        let Self { layers, limits, .. } = self;
        vec![
            ("listen", self.listen.to_string()),
            ("admin_listen", self.admin_listen.to_string()),
            ("data_dir", self.data_dir.display().to_string()),
            ("cpus", format_cpus(&self.cpus)),
            ("memory_limit", format_size_exact(self.memory_limit_bytes)),
            ("shard_port_base", self.shard_port_base.to_string()),
            ("coordination", layers.coordination.as_str().into()),
            ("spool", layers.spool.as_str().into()),
            ("objects", layers.objects.as_str().into()),
            ("events", layers.events.as_str().into()),
            ("metadata", layers.metadata.as_str().into()),
            ("durability", layers.durability.as_str().into()),
            ("integrity.sha256", on_or_off(self.sha256)),
            ("integrity.crc", on_or_off(self.crc)),
            ("discard.whole_chunks", on_or_off(self.discards_whole)),
            ("limits.max_chunk_bytes", format_size_exact(limits.max_chunk_bytes)),
            ("limits.max_upload_bytes", format_size_exact(limits.max_upload_bytes)),
            ("limits.uploads_max", limits.uploads_max.to_string()),
            ("limits.connections_max", limits.connections_max.to_string()),
            ("limits.streams_max", limits.streams_max.to_string()),
            ("limits.admission_wait", format_duration(limits.admission_wait)),
            (
                "limits.min_chunk_rate",
                format!("{}/s", format_size_exact(limits.min_chunk_rate_bytes)),
            ),
            ("limits.upload_lifetime", format_duration(limits.upload_lifetime)),
            ("limits.spool_limit_bytes", format_size_exact(limits.spool_limit_bytes)),
        ]
    }

    /// The settings as TOML; with `origins` a comment behind each says where it was set.
    pub fn to_toml(&self, origins: bool) -> String {
        let mut toml = String::new();
        let mut section = "";
        for (key, value) in self.settings() {
            let (in_section, name) = key.split_once('.').unwrap_or(("", key));
            if in_section != section {
                section = in_section;
                let _ = writeln!(toml, "\n[{section}]");
            }
            // A JSON text is a TOML basic string.
            let _ = write!(toml, "{name} = {}", serde_json::Value::from(value));
            if origins {
                let _ = write!(toml, "  # {}", self.origin(key));
            }
            toml.push('\n');
        }
        toml
    }
}
