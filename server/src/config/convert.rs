//! From settings as written to settings in the types that the server runs on.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::config::error::ConfigError;
use crate::config::layers::{Coordination, Durability, Layer, Layers, Objects, Spool};
use crate::config::machine::Machine;
use crate::config::memory::MemoryDemand;
use crate::config::raw::RawConfig;
use crate::config::{Config, Limits, Redis};
use crate::config::{format_cpus, parse_cpus};
use crate::placement::STORES_DEFAULT;
use sluice_io::redis::RedisUrl;
use sluice_io::tls::{ClientFiles, Tls, TlsError, TlsFile, TlsFiles};
use sluice_proto::units::{format_size, parse_duration, parse_size};

const MEMORY_LIMIT_DEFAULT: u64 = 4 << 30;
const SHARDS_MAX: usize = STORES_DEFAULT as usize;
const SIZE: &str = "a size such as 256 MiB";
const COUNT: &str = "a whole number of at least 1";
const DURATION: &str = "a duration such as 250 ms, 10 s or 24 h";

impl TryFrom<(RawConfig, &Machine)> for Config {
    type Error = ConfigError;

    /// Reads every setting, fills in the defaults and checks them against each other.
    fn try_from((raw, machine): (RawConfig, &Machine)) -> Result<Self, ConfigError> {
        let read = Reader(&raw);
        let layers = read.layers()?;
        read.refuse_unread_sections(layers)?;
        let cpus = read.cpus(&machine.cpus)?;
        let limits = read.limits()?;
        let (memory_limit_bytes, memory) = read.memory(machine, cpus.len(), &limits)?;
        let config = Self {
            listen: read.value("listen", "127.0.0.1:7070", ADDRESS, |text| text.parse().ok())?,
            admin_listen: read
                .value("admin_listen", "127.0.0.1:7080", ADDRESS, |text| text.parse().ok())?,
            data_dir: read.value("data_dir", "data", "a folder", folder)?,
            cpus,
            memory_limit_bytes,
            memory,
            shard_port_base: read
                .value("shard_port_base", "0", "a port, or 0", |text| text.parse().ok())?,
            redis: read.redis(layers)?,
            s3: read.s3(layers.objects)?,
            layers,
            limits,
            sha256: read.value("integrity.sha256", "on", "on or off", switch)?,
            crc: read.with_discard("integrity.crc", true, layers.objects)?,
            discards_whole: read.with_discard("discard.whole_chunks", false, layers.objects)?,
            raw: raw.clone(),
        };
        read.check_ports(&config)?;
        Ok(config)
    }
}

/// Who signs certificates of servers, and how this side shows who it is.
const REDIS_FILES: [&str; 3] = ["redis.ca_file", "redis.cert_file", "redis.key_file"];
const ADDRESS: &str = "an address such as 127.0.0.1:7070 or [::]:7070";

struct Reader<'a>(&'a RawConfig);

impl Reader<'_> {
    fn text(&self, key: &'static str) -> Option<&str> {
        self.0.get(key).map(|setting| setting.text.as_str())
    }

    fn value<T>(
        &self,
        key: &'static str,
        default: &str,
        expected: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<T, ConfigError> {
        let text = self.text(key).unwrap_or(default);
        parse(text.trim()).ok_or_else(|| self.invalid(key, text, expected))
    }

    fn invalid(&self, key: &'static str, value: &str, expected: impl Into<String>) -> ConfigError {
        let (value, expected) = (format!("`{value}`"), expected.into());
        ConfigError::Invalid { key, origin: self.0.origin(key), value, expected }
    }

    fn contradiction(&self, key: &'static str, reason: impl Into<String>) -> ConfigError {
        ConfigError::Contradiction { key, origin: self.0.origin(key), reason: reason.into() }
    }

    /// A switch that only a server which drops its objects may turn from its default.
    fn with_discard(
        &self,
        key: &'static str,
        default: bool,
        objects: Objects,
    ) -> Result<bool, ConfigError> {
        let text = if default { "on" } else { "off" };
        let value = self.value(key, text, "on or off", switch)?;
        match value == default || objects == Objects::Discard {
            true => Ok(value),
            false => Err(self.contradiction(key, "objects isn't discard")),
        }
    }

    fn layers(&self) -> Result<Layers, ConfigError> {
        let objects = self.layer("fs")?;
        // What is dropped in the end needs no safe place before.
        let spool = self.layer(if objects == Objects::Discard { "memory" } else { "disk" })?;
        let durability = self.layer("process")?;
        if objects == Objects::Discard && spool == Spool::Disk {
            return Err(self.contradiction("spool", "objects is discard, which keeps nothing"));
        }
        if durability == Durability::Power && spool == Spool::Memory {
            return Err(self.contradiction("durability", "spool is memory, which survives nothing"));
        }
        Ok(Layers {
            coordination: self.layer("local")?,
            spool,
            objects,
            events: self.layer("off")?,
            metadata: self.layer("local")?,
            durability,
        })
    }

    fn layer<L: Layer>(&self, default: &str) -> Result<L, ConfigError> {
        let text = self.text(L::KEY).unwrap_or(default);
        let names = L::VALUES.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(" or ");
        if let Some((_, value)) = L::VALUES.iter().find(|(name, _)| *name == text) {
            return Ok(*value);
        }
        match L::MISSING.iter().find(|name| **name == text) {
            Some(value) => Err(ConfigError::NotBuilt {
                key: L::KEY,
                origin: self.0.origin(L::KEY),
                value,
                available: names,
            }),
            None => Err(self.invalid(L::KEY, text, names)),
        }
    }

    /// Settings of layers that are not on would be ignored: whoever wrote them meant otherwise.
    fn refuse_unread_sections(&self, layers: Layers) -> Result<(), ConfigError> {
        let sections = [
            ("redis.", layers.use_redis(), "neither coordination nor spool is redis"),
            ("s3.", layers.objects == Objects::S3, "objects is not s3"),
            ("kafka.", false, "events is not kafka"),
            ("mysql.", false, "metadata is not mysql"),
        ];
        for key in super::KEYS {
            let unread = sections
                .iter()
                .find(|(section, is_read, _)| !is_read && key.name.starts_with(section));
            if let (Some((.., reason)), Some(_)) = (unread, self.0.get(key.name)) {
                return Err(self.contradiction(key.name, format!("nothing reads it, {reason}")));
            }
        }
        Ok(())
    }

    fn redis(&self, layers: Layers) -> Result<Option<Redis>, ConfigError> {
        if !layers.use_redis() {
            return Ok(None);
        }
        let Some(text) = self.text("redis.url") else {
            let key = if layers.is_coordinated() { Coordination::KEY } else { Spool::KEY };
            return Err(self.contradiction(key, "redis.url doesn't say where it is"));
        };
        let mut url = RedisUrl::parse(text.trim()).map_err(|problem| ConfigError::Invalid {
            key: "redis.url",
            origin: self.0.origin("redis.url"),
            // It may hold a password.
            value: "what is there".to_owned(),
            expected: format!("redis://[user[:password]@]host[:port]: {problem}"),
        })?;
        for (key, field) in [("redis.user", &mut url.user), ("redis.password", &mut url.password)] {
            match self.text(key) {
                Some(_) if !field.is_empty() => {
                    return Err(self.contradiction(key, "redis.url has one, too"));
                }
                Some(text) => *field = text.to_owned(),
                None => {}
            }
        }
        let within = self.value("redis.timeout", "2 s", DURATION, timeout)?;
        let tls = self.redis_tls(url.tls)?;
        Ok(Some(Redis { url, tls, within }))
    }

    fn redis_tls(&self, is_secret: bool) -> Result<Option<Tls>, ConfigError> {
        let [ca, certificate, key] = REDIS_FILES;
        if !is_secret {
            return match REDIS_FILES.into_iter().find(|key| self.text(key).is_some()) {
                Some(key) => Err(self.contradiction(key, "redis.url doesn't begin with rediss://")),
                None => Ok(None),
            };
        }
        let path = |key| self.text(key).map(PathBuf::from);
        let client = match (path(certificate), path(key)) {
            (Some(certificate), Some(key)) => Some(ClientFiles { certificate, key }),
            (None, None) => None,
            (Some(_), None) => {
                return Err(self.contradiction(certificate, format!("{key} isn't set")));
            }
            (None, Some(_)) => {
                return Err(self.contradiction(key, format!("{certificate} isn't set")));
            }
        };
        let loaded = Tls::load(&TlsFiles { ca: path(ca), client });
        loaded.map(Some).map_err(|error| match &error {
            TlsError::File { file, .. } => {
                let key = match file {
                    TlsFile::Ca => ca,
                    TlsFile::Certificate => certificate,
                    TlsFile::Key => key,
                };
                let value = self.text(key).unwrap_or_default();
                self.invalid(key, value, format!("a PEM file: {error}"))
            }
            _ => self.contradiction("redis.url", format!("it is rediss://, and {error}")),
        })
    }

    fn cpus(&self, allowed: &[usize]) -> Result<Vec<usize>, ConfigError> {
        let Some(text) = self.text("cpus") else {
            return Ok(allowed.iter().copied().take(SHARDS_MAX).collect());
        };
        let cpus = parse_cpus(text)
            .ok_or_else(|| self.invalid("cpus", text, "a list of CPUs such as 0,2-3"))?;
        if cpus.len() > SHARDS_MAX {
            return Err(self.invalid("cpus", text, format!("at most {SHARDS_MAX} CPUs")));
        }
        match cpus.iter().all(|cpu| allowed.contains(cpu)) {
            true => Ok(cpus),
            false => {
                let allowed = format!("CPUs that this process may use: {}", format_cpus(allowed));
                Err(self.invalid("cpus", text, allowed))
            }
        }
    }

    fn limits(&self) -> Result<Limits, ConfigError> {
        Ok(Limits {
            max_chunk_bytes: self.value(
                "limits.max_chunk_bytes",
                "128 MiB",
                "a size from 64 KiB to 1 GiB",
                |text| parse_size(text).filter(|bytes| (64 << 10..=1 << 30).contains(bytes)),
            )?,
            max_upload_bytes: self.value("limits.max_upload_bytes", "5 TiB", SIZE, size)?,
            uploads_max: self.value("limits.uploads_max", "10000", COUNT, count)?,
            connections_max: self.value("limits.connections_max", "4096", COUNT, count)?,
            streams_max: self.value("limits.streams_max", "128", COUNT, count)?,
            admission_wait: self.value("limits.admission_wait", "5 s", DURATION, parse_duration)?,
            min_chunk_rate_bytes: self.value(
                "limits.min_chunk_rate",
                "16 KiB/s",
                "bytes a second such as 16 KiB/s",
                |text| parse_size(text.strip_suffix("/s").unwrap_or(text)),
            )?,
            upload_lifetime: self.value("limits.upload_lifetime", "24 h", DURATION, lifetime)?,
            spool_limit_bytes: self.value("limits.spool_limit_bytes", "64 GiB", SIZE, size)?,
        })
    }

    fn memory(
        &self,
        machine: &Machine,
        shards: usize,
        limits: &Limits,
    ) -> Result<(u64, super::MemorySplit), ConfigError> {
        let default = (machine.memory_bytes / 2).min(MEMORY_LIMIT_DEFAULT).to_string();
        let limit_bytes = self.value("memory_limit", &default, SIZE, size)?;
        let demand = MemoryDemand {
            limit_bytes,
            shards: shards as u16,
            max_chunk_bytes: limits.max_chunk_bytes,
            connections_max: limits.connections_max,
        };
        let minimum = format_size(MemoryDemand::minimum_bytes(demand.shards));
        let too_small = || {
            let expected = format!("at least {minimum} for {shards} shards");
            self.invalid("memory_limit", &format_size(limit_bytes), expected)
        };
        Ok((limit_bytes, demand.split().ok_or_else(too_small)?))
    }

    fn check_ports(&self, config: &Config) -> Result<(), ConfigError> {
        let clash = |a: &SocketAddr, b: &SocketAddr| {
            let same_host = a.ip() == b.ip() || a.ip().is_unspecified() || b.ip().is_unspecified();
            a.port() != 0 && a.port() == b.port() && same_host
        };
        if clash(&config.listen, &config.admin_listen) {
            return Err(self.contradiction("admin_listen", "it is the address of listen"));
        }
        if config.shard_port_base == 0 {
            return Ok(());
        }
        let first = u32::from(config.shard_port_base);
        let last = first + config.cpus.len() as u32 - 1;
        if last > u32::from(u16::MAX) {
            let reason = format!("{} shards need ports up to {last}", config.cpus.len());
            return Err(self.contradiction("shard_port_base", reason));
        }
        for (name, address) in [("listen", config.listen), ("admin_listen", config.admin_listen)] {
            if (first..=last).contains(&u32::from(address.port())) {
                let reason = format!("the shards' ports {first}-{last} hold the one of {name}");
                return Err(self.contradiction("shard_port_base", reason));
            }
        }
        Ok(())
    }
}

fn folder(text: &str) -> Option<PathBuf> {
    (!text.is_empty()).then(|| PathBuf::from(text))
}

fn switch(text: &str) -> Option<bool> {
    match text {
        "on" | "true" => Some(true),
        "off" | "false" => Some(false),
        _ => None,
    }
}

fn size(text: &str) -> Option<u64> {
    parse_size(text).filter(|&bytes| bytes > 0)
}

fn count(text: &str) -> Option<u32> {
    text.parse().ok().filter(|&count| count > 0)
}

fn timeout(text: &str) -> Option<Duration> {
    let most = Duration::from_secs(60);
    parse_duration(text).filter(|time| !time.is_zero() && *time <= most)
}

fn lifetime(text: &str) -> Option<Duration> {
    // Beyond any upload; and no sum of times overflows.
    let longest = Duration::from_secs(366 * 86_400);
    parse_duration(text).filter(|time| !time.is_zero() && *time <= longest)
}

mod s3;
#[cfg(test)]
mod tests;
