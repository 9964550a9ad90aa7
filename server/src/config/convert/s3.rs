//! The settings of the object store.

use std::{path::PathBuf, time::Duration};

use sluice_io::{
    s3::{CredentialsSource, Encryption, Endpoint},
    tls::{Tls, TlsFiles},
};
use sluice_proto::units::{parse_duration, parse_size};

use super::{COUNT, DURATION, Reader, switch, timeout};
use crate::config::{ConfigError, Layer as _, Objects, S3};

const REGION_DEFAULT: &str = "us-east-1";
/// S3: no larger object in one PUT.
const PUT_BYTES_MAX: u64 = 5 << 30;
/// S3: tags of an object, and the characters of their keys and values.
const TAGS_MAX: usize = 10;
const TAG_KEY_MAX: usize = 128;
const TAG_VALUE_MAX: usize = 256;
const CONNECTIONS_MAX: u32 = 1024;
const PARTS_IN_FLIGHT_MAX: u32 = 64;

const CREDENTIALS: &str =
    "static, environment, profile, web_identity, container, instance or chain";

impl Reader<'_> {
    pub(super) fn s3(&self, objects: Objects) -> Result<Option<S3>, ConfigError> {
        if objects != Objects::S3 {
            return Ok(None);
        }
        let Some(bucket) = self.text("s3.bucket") else {
            return Err(self.contradiction(Objects::KEY, "s3.bucket doesn't say where"));
        };
        let bucket = bucket_name(bucket).ok_or_else(|| {
            self.invalid("s3.bucket", bucket, "a bucket: 3 to 63 letters, digits, - and .")
        })?;
        let region = self.value("s3.region", REGION_DEFAULT, "a region such as eu-west-1", word)?;
        let endpoint = self.endpoint(&region)?;
        let tls = self.s3_tls(&endpoint)?;
        let path_style = if self.text("s3.endpoint").is_some() { "on" } else { "off" };
        let count = |most| move |text: &str| text.parse().ok().filter(|n| (1..=most).contains(n));
        Ok(Some(S3 {
            endpoint,
            tls,
            bucket,
            region,
            credentials: self.credentials()?,
            is_path_style: self.value("s3.path_style", path_style, "on or off", switch)?,
            timeout: self.value("s3.timeout", "30 s", DURATION, long_timeout)?,
            stall: self.value("s3.stall", "20 s", DURATION, timeout)?,
            connections_max: self.value(
                "s3.connections_max",
                "32",
                COUNT,
                count(CONNECTIONS_MAX),
            )?,
            parts_in_flight: self.value(
                "s3.parts_in_flight",
                "4",
                COUNT,
                count(PARTS_IN_FLIGHT_MAX),
            )?,
            single_put_bytes: self.value(
                "s3.single_put_bytes",
                "16 MiB",
                "a size from 0 to 5 GiB",
                |text| parse_size(text).filter(|bytes| *bytes <= PUT_BYTES_MAX),
            )?,
            denied: self.value("s3.denied", "5 min", DURATION, parse_duration)?,
            storage_class: self.optional(
                "s3.storage_class",
                "a class such as STANDARD_IA",
                word,
            )?,
            encryption: self.encryption()?,
            tags: self
                .optional("s3.tags", "at most 10 of key=value, by commas", tags)?
                .unwrap_or_default(),
            cache_control: self.optional("s3.cache_control", "visible ASCII", header)?,
            aborts_orphans: self.value("s3.orphans", "abort", "abort or report", orphans)?,
        }))
    }

    fn optional<T>(
        &self,
        key: &'static str,
        expected: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, ConfigError> {
        let Some(text) = self.text(key) else { return Ok(None) };
        parse(text.trim()).map(Some).ok_or_else(|| self.invalid(key, text, expected))
    }

    fn endpoint(&self, region: &str) -> Result<Endpoint, ConfigError> {
        let Some(text) = self.text("s3.endpoint") else { return Ok(Endpoint::aws(region)) };
        Endpoint::parse(text.trim()).map_err(|problem| {
            // It may hold a password where none should be.
            let (key, value) = ("s3.endpoint", "what is there".to_owned());
            let expected = format!("http(s)://host[:port]: {problem}");
            ConfigError::Invalid { key, origin: self.0.origin(key), value, expected }
        })
    }

    fn s3_tls(&self, endpoint: &Endpoint) -> Result<Option<Tls>, ConfigError> {
        let ca = self.text("s3.ca_file");
        if !endpoint.is_tls {
            return match ca {
                Some(_) => Err(self.contradiction("s3.ca_file", "s3.endpoint isn't https://")),
                None => Ok(None),
            };
        }
        let loaded = Tls::load(&TlsFiles { ca: ca.map(PathBuf::from), client: None });
        loaded.map(Some).map_err(|error| match ca {
            Some(ca) => self.invalid("s3.ca_file", ca, format!("a PEM file: {error}")),
            None => self.contradiction("s3.endpoint", format!("it is https://, and {error}")),
        })
    }

    fn credentials(&self) -> Result<CredentialsSource, ConfigError> {
        const KEYS: [&str; 3] = ["s3.access_key_id", "s3.secret_access_key", "s3.session_token"];
        let [access_key, secret_key, session_token] =
            KEYS.map(|key| self.text(key).map(str::to_owned));
        let given = KEYS.into_iter().find(|key| self.text(key).is_some());
        let profile = self.text("s3.profile").map(str::to_owned);
        let default = match (given, &profile) {
            (Some(_), _) => "static",
            (None, Some(_)) => "profile",
            (None, None) => "chain",
        };
        let source = self.text("s3.credentials").unwrap_or(default);
        if let Some(key) = given.filter(|_| source != "static") {
            return Err(self.contradiction(key, format!("s3.credentials is {source}")));
        }
        if profile.is_some() && source != "profile" {
            return Err(self.contradiction("s3.profile", format!("s3.credentials is {source}")));
        }
        Ok(match source {
            "static" => match (access_key, secret_key) {
                (Some(access_key), Some(secret_key)) => {
                    CredentialsSource::Keys { access_key, secret_key, session_token }
                }
                (None, _) => return Err(self.no_key(given, KEYS[0])),
                (_, None) => return Err(self.no_key(given, KEYS[1])),
            },
            "environment" => CredentialsSource::Environment,
            "profile" => CredentialsSource::Profile { file: None, name: profile },
            "web_identity" => CredentialsSource::WebIdentity,
            "container" => CredentialsSource::Container,
            "instance" => CredentialsSource::InstanceMetadata,
            "chain" => CredentialsSource::Chain,
            other => return Err(self.invalid("s3.credentials", other, CREDENTIALS)),
        })
    }

    fn no_key(&self, given: Option<&'static str>, missing: &str) -> ConfigError {
        self.contradiction(given.unwrap_or("s3.credentials"), format!("{missing} isn't set"))
    }

    fn encryption(&self) -> Result<Option<Encryption>, ConfigError> {
        let key_id = self.optional("s3.sse_kms_key_id", "a key's id", word)?;
        match (self.text("s3.sse"), key_id) {
            (Some("aws:kms"), key_id) => Ok(Some(Encryption::Kms { key_id })),
            (_, Some(_)) => Err(self.contradiction("s3.sse_kms_key_id", "s3.sse isn't aws:kms")),
            (Some("AES256"), None) => Ok(Some(Encryption::Aes256)),
            (Some(other), None) => Err(self.invalid("s3.sse", other, "AES256 or aws:kms")),
            (None, None) => Ok(None),
        }
    }
}

/// A bucket's name, if S3 or a store like it can have it.
fn bucket_name(text: &str) -> Option<String> {
    let text = text.trim();
    let is_fit = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    let is_name = (3..=63).contains(&text.len()) && text.bytes().all(is_fit);
    is_name.then(|| text.to_owned())
}

fn word(text: &str) -> Option<String> {
    let is_word = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
    is_word.then(|| text.to_owned())
}

fn header(text: &str) -> Option<String> {
    let is_fit = !text.is_empty() && text.bytes().all(|byte| (0x20..0x7f).contains(&byte));
    is_fit.then(|| text.to_owned())
}

/// Whether they are given up, or told alone.
fn orphans(text: &str) -> Option<bool> {
    match text {
        "abort" => Some(true),
        "report" => Some(false),
        _ => None,
    }
}

fn tags(text: &str) -> Option<Vec<(String, String)>> {
    let tag = |pair: &str| {
        let (key, value) = pair.split_once('=')?;
        let (key, value) = (key.trim(), value.trim());
        let is_fit = (1..=TAG_KEY_MAX).contains(&key.chars().count())
            && value.chars().count() <= TAG_VALUE_MAX;
        is_fit.then(|| (key.to_owned(), value.to_owned()))
    };
    let tags: Vec<_> = text.split(',').map(tag).collect::<Option<_>>()?;
    (tags.len() <= TAGS_MAX).then_some(tags)
}

fn long_timeout(text: &str) -> Option<Duration> {
    let most = Duration::from_secs(3600);
    parse_duration(text).filter(|time| !time.is_zero() && *time <= most)
}
