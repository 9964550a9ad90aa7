use std::path::Path;

use sluice_io::s3::CredentialsSource;

use super::*;
use crate::config::raw::variable_of;

fn machine() -> Machine {
    Machine { cpus: vec![0, 1], memory_bytes: 16 << 30 }
}

fn read(settings: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let env = settings.iter().map(|&(key, value)| (variable_of(key), value.to_owned()));
    let raw = RawConfig::load(Some(Path::new("/dev/null")), env, []).unwrap();
    Config::try_from((raw, &machine()))
}

#[test]
fn with_no_setting_the_server_needs_nothing_installed() {
    let config = read(&[]).unwrap();
    assert_eq!(config.listen.to_string(), "127.0.0.1:7070");
    assert_eq!((config.cpus.as_slice(), config.shards()), (&[0, 1][..], 2));
    assert_eq!((config.layers.objects, config.layers.spool), (Objects::Fs, Spool::Disk));
    assert_eq!(config.memory_limit_bytes, 4 << 30);
    assert_eq!(config.memory.max_chunk_bytes, 128 << 20);
    assert!(config.sha256 && config.layers.gives_spooled_acks());
}

#[test]
fn half_of_a_small_machine_is_the_default_budget() {
    let small = Machine { cpus: vec![3], memory_bytes: 1 << 30 };
    let config = Config::try_from((RawConfig::default(), &small)).unwrap();
    assert_eq!((config.memory_limit_bytes, config.cpus), (512 << 20, vec![3]));
}

#[test]
fn every_setting_arrives_in_its_unit() {
    let config = read(&[
        ("listen", "[::]:7000"),
        ("cpus", "1"),
        ("memory_limit", "256M"),
        ("limits.admission_wait", "250 ms"),
        ("limits.min_chunk_rate", "1 MiB/s"),
        ("limits.upload_lifetime", "2 d"),
        ("integrity.sha256", "off"),
    ])
    .unwrap();
    assert_eq!((config.listen.port(), config.cpus), (7000, vec![1]));
    assert_eq!(config.limits.admission_wait, Duration::from_millis(250));
    assert_eq!(config.limits.min_chunk_rate_bytes, 1 << 20);
    assert_eq!(config.limits.upload_lifetime, Duration::from_secs(172_800));
    assert!(!config.sha256 && config.memory.max_chunk_bytes < 128 << 20);
}

#[test]
fn what_this_build_lacks_is_said_so() {
    for (key, value) in [("events", "kafka"), ("metadata", "mysql")] {
        let error = read(&[(key, value)]).unwrap_err();
        assert!(matches!(error, ConfigError::NotBuilt { .. }), "{error}");
        assert!(error.to_string().starts_with(&format!("`{key}` (environment SLUICE_")), "{error}");
    }
}

#[test]
fn contradictions_name_their_key() {
    let refused: &[(&str, &[(&str, &str)])] = &[
        ("spool", &[("objects", "discard"), ("spool", "disk")]),
        ("integrity.crc", &[("integrity.crc", "off")]),
        ("integrity.crc", &[("objects", "fs"), ("spool", "memory"), ("integrity.crc", "off")]),
        ("discard.whole_chunks", &[("discard.whole_chunks", "on")]),
        ("durability", &[("spool", "memory"), ("durability", "power")]),
        ("s3.bucket", &[("s3.bucket", "b")]),
        ("redis.url", &[("redis.url", "redis://secret@x")]),
        ("coordination", &[("coordination", "redis")]),
        ("objects", &[("objects", "s3")]),
        ("spool", &[("spool", "redis")]),
        (
            "redis.ca_file",
            &[("spool", "redis"), ("redis.url", "redis://x"), ("redis.ca_file", "/ca.pem")],
        ),
        (
            "redis.key_file",
            &[("spool", "redis"), ("redis.url", "rediss://x"), ("redis.key_file", "/key.pem")],
        ),
        (
            "redis.password",
            &[
                ("coordination", "redis"),
                ("redis.url", "redis://:secret@x"),
                ("redis.password", "secret"),
            ],
        ),
        ("admin_listen", &[("listen", "0.0.0.0:7080")]),
        ("shard_port_base", &[("shard_port_base", "7069")]),
        ("shard_port_base", &[("shard_port_base", "65535")]),
    ];
    for (key, settings) in refused {
        let error = read(settings).unwrap_err();
        assert!(matches!(error, ConfigError::Contradiction { .. }), "{error}");
        assert!(error.to_string().starts_with(&format!("`{key}`")), "{error}");
        assert!(!error.to_string().contains("secret"), "{error}");
    }
    let discard = read(&[("objects", "discard")]).unwrap();
    assert_eq!(discard.layers.spool, Spool::Memory);
    assert!(discard.crc && !discard.discards_whole);
    let defaults = read(&[("integrity.crc", "on"), ("discard.whole_chunks", "off")]).unwrap();
    assert_eq!(defaults.layers.objects, Objects::Fs);
}

fn read_s3(settings: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let base = [("objects", "s3"), ("s3.bucket", "bucket")];
    let chosen = base.iter().filter(|(key, _)| settings.iter().all(|(other, _)| other != key));
    read(&chosen.chain(settings).copied().collect::<Vec<_>>())
}

#[test]
fn a_store_needs_its_bucket_alone() {
    let config = read_s3(&[]).unwrap();
    let s3 = config.s3.as_ref().unwrap();
    assert_eq!(
        (s3.endpoint.host.as_str(), s3.endpoint.is_tls),
        ("s3.us-east-1.amazonaws.com", true)
    );
    assert!(!s3.is_path_style && s3.tls.is_some() && s3.credentials == CredentialsSource::Chain);
    assert_eq!(config.layers.spool, Spool::Disk);
    let private = [
        ("s3.endpoint", "http://127.0.0.1:8333"),
        ("s3.access_key_id", "id"),
        ("s3.secret_access_key", "hidden"),
        ("s3.tags", "a=b,c=d e"),
        ("s3.sse", "aws:kms"),
        ("s3.sse_kms_key_id", "k"),
        ("s3.denied", "90 s"),
    ];
    let config = read_s3(&private).unwrap();
    let s3 = config.s3.as_ref().unwrap();
    assert!(s3.is_path_style && s3.tls.is_none() && s3.tags.len() == 2);
    assert!(matches!(s3.credentials, CredentialsSource::Keys { .. }));
    assert_eq!(s3.denied, Duration::from_secs(90));
    let printed = config.to_toml(true);
    assert!(!printed.contains("hidden") && printed.contains("credentials = \"static\""));
    assert!(printed.contains("tags = \"a=b,c=d e\""), "{printed}");
}

#[test]
fn contradictions_of_a_store_name_their_key() {
    let http = ("s3.endpoint", "http://x");
    let refused: &[(&str, &[(&str, &str)])] = &[
        ("s3.access_key_id", &[("s3.access_key_id", "a")]),
        ("s3.secret_access_key", &[("s3.secret_access_key", "a")]),
        ("s3.session_token", &[("s3.session_token", "a")]),
        ("s3.access_key_id", &[("s3.access_key_id", "a"), ("s3.credentials", "chain")]),
        ("s3.credentials", &[("s3.credentials", "static")]),
        ("s3.profile", &[("s3.profile", "p"), ("s3.credentials", "instance")]),
        ("s3.ca_file", &[http, ("s3.ca_file", "/ca.pem")]),
        ("s3.sse_kms_key_id", &[("s3.sse_kms_key_id", "k")]),
        ("s3.sse_kms_key_id", &[("s3.sse", "AES256"), ("s3.sse_kms_key_id", "k")]),
    ];
    for (key, settings) in refused {
        let error = read_s3(settings).unwrap_err();
        assert!(matches!(error, ConfigError::Contradiction { .. }), "{error}");
        assert!(error.to_string().starts_with(&format!("`{key}`")), "{error}");
    }
    for (key, value) in [
        ("s3.bucket", "a/b"),
        ("s3.endpoint", "ftp://x"),
        ("s3.region", "a b"),
        ("s3.credentials", "found"),
        ("s3.path_style", "maybe"),
        ("s3.timeout", "0 s"),
        ("s3.connections_max", "0"),
        ("s3.parts_in_flight", "1000"),
        ("s3.single_put_bytes", "6 GiB"),
        ("s3.tags", "a"),
        ("s3.sse", "rot13"),
    ] {
        let error = read_s3(&[(key, value)]).unwrap_err();
        assert!(matches!(error, ConfigError::Invalid { .. }), "{error}");
        assert!(error.to_string().starts_with(&format!("`{key}`")), "{error}");
    }
}

#[test]
fn redis_is_reached_as_it_is_written() {
    let settings = [
        ("coordination", "redis"),
        ("redis.url", "redis://a,b:7000"),
        ("redis.user", "u"),
        ("redis.password", "p"),
        ("redis.timeout", "500 ms"),
    ];
    let redis = read(&settings).unwrap().redis.unwrap();
    assert_eq!((redis.url.user.as_str(), redis.url.password.as_str()), ("u", "p"));
    assert_eq!((redis.url.hosts.len(), redis.within.as_millis()), (2, 500));
    assert!(!read(&settings).unwrap().to_toml(true).contains("\"p\""));
    assert!(read(&[]).unwrap().redis.is_none());
}

#[test]
fn what_measures_intake_alone_can_be_had_with_discard() {
    let off = [("objects", "discard"), ("integrity.crc", "off"), ("discard.whole_chunks", "on")];
    let config = read(&off).unwrap();
    assert!(!config.crc && config.discards_whole);
    let text = config.to_toml(true);
    assert!(text.contains("crc = \"off\""), "{text}");
    assert!(text.contains("\n[discard]\nwhole_chunks = \"on\""), "{text}");
    let mut raw = RawConfig::default();
    raw.add_toml(&text, Path::new("printed")).unwrap();
    let again = Config::try_from((raw, &machine())).unwrap();
    assert_eq!(config.settings(), again.settings());
}

#[test]
fn values_out_of_range_are_refused_with_what_is_needed() {
    for (key, value) in [
        ("listen", "localhost"),
        ("cpus", "0-2"),
        ("cpus", "all"),
        ("memory_limit", "64M"),
        ("memory_limit", "lots"),
        ("spool", "tape"),
        ("limits.max_chunk_bytes", "1 TiB"),
        ("limits.uploads_max", "0"),
        ("limits.admission_wait", "5"),
        ("limits.upload_lifetime", "0 s"),
        ("integrity.sha256", "maybe"),
        ("integrity.crc", "maybe"),
    ] {
        let error = read(&[(key, value)]).unwrap_err();
        assert!(matches!(error, ConfigError::Invalid { .. }), "{key}: {error}");
        assert!(error.to_string().contains("needed is "), "{error}");
    }
    for redis in [
        ("redis.url", "http://secret@x"),
        ("redis.timeout", "2 h"),
        ("redis.ca_file", "/nowhere.pem"),
    ] {
        let url = ("redis.url", "rediss://x");
        let error = read(&[("coordination", "redis"), url, redis]).unwrap_err();
        assert!(matches!(error, ConfigError::Invalid { key, .. } if key == redis.0), "{error}");
        assert!(!error.to_string().contains("secret"), "{error}");
    }
    let error = read(&[("memory_limit", "64M")]).unwrap_err().to_string();
    assert!(error.contains("at least 112.0 MiB for 2 shards"), "{error}");
}

#[test]
fn what_is_printed_reads_back_to_the_same() {
    let config = read(&[("listen", "0.0.0.0:1"), ("limits.uploads_max", "9")]).unwrap();
    let mut raw = RawConfig::default();
    raw.add_toml(&config.to_toml(true), Path::new("printed")).unwrap();
    let again = Config::try_from((raw, &machine())).unwrap();
    assert_eq!(config.settings(), again.settings());
    assert!(config.to_toml(true).contains("listen = \"0.0.0.0:1\"  # environment SLUICE_LISTEN\n"));
    assert!(config.to_toml(true).contains("\n[limits]\n") && !config.to_toml(false).contains('#'));
}
