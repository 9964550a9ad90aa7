//! Redis over TLS: all as without, nobody believed who isn't who they should be, and nothing ever
//! sent as it is.

mod redis_support;

use std::{slice, sync::Arc, time::Duration};

use bytes::Bytes;
use redis_support::{WITHIN, answered, ask, client, client_with, put, run, text};
use sluice_io::redis::{Client, RedisError};
use sluice_io::tls::{ClientFiles, Tls, TlsError, TlsFile, TlsFiles};
use sluice_test_servers::{Authority, Issued, Redis, RedisCluster, RedisOptions, RedisTls};

const NAMES: &str = "IP:127.0.0.1,DNS:localhost";

fn start(tls: &RedisTls) -> Redis {
    Redis::start(RedisOptions { tls: Some(tls.clone()), ..RedisOptions::default() })
}

fn load(authority: &Authority, client: Option<Issued>) -> Tls {
    let client = client.map(|Issued { certificate, key }| ClientFiles { certificate, key });
    Tls::load(&TlsFiles { ca: Some(authority.file()), client }).unwrap()
}

fn by_name(redis: &Redis, host: &str) -> String {
    format!("rediss://{host}:{}", redis.address().port())
}

/// How both kinds of connections are refused.
#[track_caller]
fn assert_refused(client: &Client, word: &str) -> impl Future<Output = ()> {
    let (client, word) = (client.clone(), word.to_owned());
    async move {
        let by_command = ask(&client, &["GET", "k"]).await.unwrap_err();
        let by_body = client.get_range("k", 0, 9).await.unwrap_err();
        for error in [by_command, by_body] {
            assert!(matches!(error, RedisError::Tls(_)), "{error:?}");
            assert!(error.to_string().contains(word.as_str()), "{error}");
        }
    }
}

#[test]
fn commands_and_bodies_go_as_they_do_without() {
    let tls = RedisTls::new(NAMES);
    let redis = start(&tls);
    run(async move || {
        let ours = load(&tls.authority, None);
        for host in ["127.0.0.1", "localhost"] {
            let client = client_with(&by_name(&redis, host), Some(ours.clone()), WITHIN);
            client.connect().await.unwrap();
            assert_eq!(ask(&client, &["ECHO", "pong"]).await.unwrap(), text("pong"));
            // Longer than one record, and than what TLS holds back at a time.
            let body: Vec<_> = (0..9_u8).map(|nth| Bytes::from(vec![nth; 700_001])).collect();
            put(&client, host, &body).await.unwrap();
            let (whole, mut read) = (body.concat(), Vec::new());
            while read.len() < whole.len() {
                read.extend(client.get_range(host, read.len() as u64, 1 << 20).await.unwrap());
            }
            assert!(read == whole, "as it was sent");
            put(&client, &format!("{host} empty"), &[]).await.unwrap();
            assert_eq!(redis.ask(&["strlen", host]), whole.len().to_string());
        }
    });
}

#[test]
fn who_isnt_signed_or_called_as_it_should_is_refused() {
    let tls = RedisTls::new("DNS:localhost");
    let redis = start(&tls);
    run(async move || {
        let stranger = load(&Authority::new(), None);
        let strange = client_with(&by_name(&redis, "localhost"), Some(stranger), WITHIN);
        assert_refused(&strange, "UnknownIssuer").await;
        let ours = load(&tls.authority, None);
        let misnamed = client_with(&redis.url(), Some(ours.clone()), WITHIN);
        assert_refused(&misnamed, "not valid for").await;
        let well_named = client_with(&by_name(&redis, "localhost"), Some(ours), WITHIN);
        ask(&well_named, &["SET", "k", "v"]).await.unwrap();
    });
}

#[test]
fn a_redis_that_asks_for_a_certificate_lets_in_who_has_one() {
    let tls = RedisTls { asks_clients: true, ..RedisTls::new(NAMES) };
    let redis = start(&tls);
    run(async move || {
        let without = client_with(&redis.url(), Some(load(&tls.authority, None)), WITHIN);
        for _ in 0..5 {
            assert_refused(&without, "CertificateRequired").await;
            without_pause().await;
        }
        let issued = tls.authority.issue("client", "DNS:client");
        let client = client_with(&redis.url(), Some(load(&tls.authority, Some(issued))), WITHIN);
        ask(&client, &["SET", "k", "v"]).await.unwrap();
        assert_eq!(&client.get_range("k", 0, 9).await.unwrap()[..], b"v");
        // Its files go with it.
        let foreign = Authority::new();
        let stranger = foreign.issue("client", "DNS:client");
        let strange = client_with(&redis.url(), Some(load(&tls.authority, Some(stranger))), WITHIN);
        assert_refused(&strange, "UnknownCA").await;
    });
}

/// After a failed try the next isn't just the same again.
async fn without_pause() {
    sluice_io::reactor::timer::sleep(Duration::from_millis(120)).await;
}

/// The server that doesn't speak TLS sees no command.
#[test]
fn without_tls_at_the_other_end_nothing_is_said() {
    let redis = Redis::start(RedisOptions { password: "p", ..RedisOptions::default() });
    run(async move || {
        let ours = load(&Authority::new(), None);
        let url = format!("rediss://:p@{}", redis.address());
        let within = Duration::from_millis(500);
        let error = client_with(&url, Some(ours), within).connect().await.unwrap_err();
        assert!(
            matches!(
                error,
                RedisError::Tls(_) | RedisError::Connection(_) | RedisError::Deadline { .. }
            ),
            "{error:?}"
        );
        assert!(!redis.ask(&["info", "commandstats"]).contains("cmdstat_client|setname"));
    });
}

#[test]
#[should_panic(expected = "what is to be secret isn't sent as it is")]
fn a_url_with_tls_and_nothing_to_speak_it_with_is_a_bug() {
    client("rediss://localhost", WITHIN);
}

#[test]
fn a_handshake_has_the_deadline_of_what_waits_for_it() {
    let tls = RedisTls::new(NAMES);
    let redis = start(&tls);
    run(async move || {
        redis.freeze();
        let within = Duration::from_millis(200);
        let hasty = client_with(&redis.url(), Some(load(&tls.authority, None)), within);
        let late = RedisError::Deadline { within_ms: 200 };
        assert_eq!(ask(&hasty, &["GET", "k"]).await.unwrap_err(), late);
        assert_eq!(hasty.get_range("k", 0, 9).await.unwrap_err(), late);
        redis.thaw();
        answered(&hasty, &["SET", "k", "v"]).await;
    });
}

#[test]
fn every_node_of_a_cluster_is_spoken_to_over_tls() {
    let tls = RedisTls::new(NAMES);
    let options = RedisOptions { tls: Some(tls.clone()), ..RedisOptions::default() };
    let cluster = RedisCluster::start(3, 0, options);
    run(async move || {
        let url = cluster.url();
        let client = client_with(&url, Some(load(&tls.authority, None)), WITHIN);
        client.connect().await.unwrap();
        assert!(client.is_cluster());
        for nth in 0..20 {
            let key = format!("{{{nth}}}k");
            let body = Bytes::from(vec![nth; 100_000]);
            put(&client, &key, slice::from_ref(&body)).await.unwrap();
            assert!(client.get_range(&key, 0, 1 << 20).await.unwrap() == body);
        }
    });
}

#[test]
fn a_key_that_doesnt_fit_is_named() {
    let authority = Arc::new(Authority::new());
    let certificate = authority.issue("one", "DNS:one").certificate;
    let key = authority.issue("other", "DNS:other").key;
    let files = |certificate, key| TlsFiles {
        ca: Some(authority.file()),
        client: Some(ClientFiles { certificate, key }),
    };
    let unfit = Tls::load(&files(certificate.clone(), key.clone())).unwrap_err();
    assert!(matches!(unfit, TlsError::File { file: TlsFile::Key, .. }), "{unfit:?}");
    let swapped = Tls::load(&files(key, certificate)).unwrap_err();
    assert!(matches!(swapped, TlsError::File { file: TlsFile::Certificate, .. }), "{swapped:?}");
    assert!(swapped.to_string().contains("no certificate is in it"), "{swapped}");
}
