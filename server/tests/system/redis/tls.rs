//! Over TLS, with certificates on both sides, as an ACL user who may do what Sluice needs and no more.

use sluice_test_servers::{Redis, RedisOptions, RedisTls};

use super::{audit_all, spool_settings};
use crate::harness::{Kind, Options, Pace, Server, work};

/// As `docs/layers/redis.md` has it.
const RIGHTS: &str = "~upload:* ~sluice:* +@read +@write -@dangerous +eval +evalsha +info \
                      +config|get +cluster|slots +client|setname +asking";

#[test]
fn uploads_of_every_kind_go_over_tls_as_a_user_with_few_rights() {
    let page =
        std::fs::read_to_string(crate::harness::root().join("docs/layers/redis.md")).unwrap();
    assert!(page.contains(RIGHTS), "the page names other rights");
    let tls = RedisTls { asks_clients: true, ..RedisTls::new("IP:127.0.0.1") };
    let client = tls.authority.issue("client", "DNS:client");
    let redis = Redis::start(RedisOptions {
        settings: format!("user sluice on >secret {RIGHTS}"),
        tls: Some(tls.clone()),
        ..RedisOptions::default()
    });
    let url = format!("rediss://sluice:secret@{}", redis.address());
    let files = format!(
        "ca_file = {:?}\ncert_file = {:?}\nkey_file = {:?}\n",
        tls.authority.file(),
        client.certificate,
        client.key
    );
    let settings = spool_settings("redis", &url) + &files;
    let server = Server::start(Options { settings, ..Options::default() });
    let kinds = Kind::ALL.len() as u64;
    let outcomes: Vec<_> = (0..kinds)
        .map(|seed| work(Kind::ALL[seed as usize], &server.address(), seed, Pace::default()))
        .collect();
    assert!(
        !server.log().contains("secret") && !server.log().contains("NOPERM"),
        "{}",
        server.log()
    );
    audit_all(&[&redis], server, &outcomes);
}

#[test]
fn a_server_that_isnt_signed_ends_the_start() {
    let tls = RedisTls::new("IP:127.0.0.1");
    let redis = Redis::start(RedisOptions { tls: Some(tls), ..RedisOptions::default() });
    let settings = spool_settings("redis", &format!("rediss://{}", redis.address()));
    let mut server = Server::prepare(Options { settings, ..Options::default() });
    let ended = server.try_restart().expect("it must not start");
    assert!(!ended.success() && server.log().contains("UnknownIssuer"), "{}", server.log());
}
