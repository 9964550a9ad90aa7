//! The settings in effect, as a file that could be read back.

use std::fmt::Write as _;

use sluice_proto::units::{format_duration, format_size_exact};

use crate::config::format_cpus;
use crate::config::{Config, Layer as _, S3};

fn on_or_off(value: bool) -> String {
    if value { "on" } else { "off" }.to_owned()
}

impl Config {
    /// Every setting in effect and its value, in the order of the file. No secret is among them.
    pub fn settings(&self) -> Vec<(&'static str, String)> {
        let Self { layers, limits, .. } = self;
        let mut settings = vec![
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
        ];
        if let Some(s3) = &self.s3 {
            settings.extend(self.s3_settings(s3));
        }
        settings
    }

    fn s3_settings(&self, s3: &S3) -> Vec<(&'static str, String)> {
        // Those without a default are as they were written.
        let written = |key| self.raw.get(key).map(|setting| (key, setting.text.clone()));
        let mut settings = Vec::new();
        settings.extend(written("s3.endpoint"));
        settings.extend([
            ("s3.bucket", s3.bucket.clone()),
            ("s3.region", s3.region.clone()),
            ("s3.credentials", s3.credentials_name().into()),
        ]);
        settings.extend(written("s3.profile"));
        settings.push(("s3.path_style", on_or_off(s3.is_path_style)));
        settings.extend(written("s3.ca_file"));
        settings.extend([
            ("s3.timeout", format_duration(s3.timeout)),
            ("s3.stall", format_duration(s3.stall)),
            ("s3.connections_max", s3.connections_max.to_string()),
            ("s3.parts_in_flight", s3.parts_in_flight.to_string()),
            ("s3.single_put_bytes", format_size_exact(s3.single_put_bytes)),
            ("s3.denied", format_duration(s3.denied)),
            ("s3.orphans", if s3.aborts_orphans { "abort" } else { "report" }.into()),
        ]);
        let optional =
            ["s3.storage_class", "s3.sse", "s3.sse_kms_key_id", "s3.tags", "s3.cache_control"];
        settings.extend(optional.into_iter().filter_map(written));
        settings
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
