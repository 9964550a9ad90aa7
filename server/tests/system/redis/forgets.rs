//! Redis forgets by itself what nobody looks after any more, and nothing else; days are seconds here.

use std::time::{SystemTime, UNIX_EPOCH};

use sluice_proto::{error::Reason, pb::UploadState};
use sluice_test_servers::{Redis, RedisOptions};

use super::{assert_no_bodies, audit_all, spool_settings};
use crate::harness::{Calls, Ended, Options, Outcome, Server, chunk, eventually, noise, runtime};

/// After so long what isn't renewed is forgotten: many times what a machine stands still.
const FORGETS_MS: i64 = 20_000;
const RENEWS_MS: i64 = 1_000;
const BYTES: usize = 300_000;
const HALF: usize = BYTES / 2;

fn options(redis: &Redis, failpoints: String) -> Options {
    let settings = spool_settings("redis", &redis.url());
    Options { settings, failpoints, ..Options::default() }
}

fn wall_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64
}

/// An upload whose first chunk never came, so that the second lies in Redis.
fn begin(server: &Server, bytes: &[u8]) -> String {
    runtime().block_on(async {
        let calls = Calls::to(&server.address());
        let upload_id = calls.open("begun").await;
        calls.upload_chunk(chunk(&upload_id, 1, &bytes[HALF..])).await.unwrap();
        upload_id
    })
}

/// Its keys, each with when Redis forgets it, Unix ms.
fn keys(redis: &Redis, upload_id: &str) -> Vec<(String, i64)> {
    let all = redis.ask(&["--scan", "--pattern", &format!("upload:{{{upload_id}}}:*")]);
    let until = |key: &str| redis.ask(&["pexpiretime", key]).parse().unwrap();
    all.lines().map(|key| (key.to_owned(), until(key))).collect()
}

#[test]
fn every_key_of_an_upload_has_a_time_to_live_of_days_beyond_its_own() {
    const HOUR_MS: i64 = 3_600_000;
    let redis = Redis::start(RedisOptions::default());
    let server = Server::start(options(&redis, String::new()));
    let upload_id = begin(&server, &noise(1, BYTES));
    let now_ms = wall_ms();
    let keys = keys(&redis, &upload_id);
    // State, metadata, records, the body and the list of bodies.
    assert_eq!(keys.len(), 5, "{keys:?}");
    for (key, until_ms) in keys {
        // A day that it may take, and two more.
        let hours = (until_ms - now_ms) / HOUR_MS;
        assert!((71..=72).contains(&hours), "{key} for {hours} hours");
    }
}

#[test]
fn what_was_abandoned_vanishes_and_what_its_owner_renews_stays() {
    let redis = Redis::start(RedisOptions::default());
    let failpoints = format!("redis.forgets=return({FORGETS_MS});redis.renews=return({RENEWS_MS})");
    let owner = Server::start(options(&redis, failpoints.clone()));
    let mut goes = Server::start(options(&redis, failpoints));
    let bytes = noise(2, BYTES);
    let renewed = begin(&owner, &bytes);
    // Later, and forgotten all the same once nobody is there.
    let abandoned = begin(&goes, &bytes);
    goes.kill();
    for (key, until_ms) in keys(&redis, &abandoned) {
        assert!((0..=wall_ms() + FORGETS_MS).contains(&until_ms), "{key} until {until_ms}");
    }
    eventually(|| {
        let left = keys(&redis, &abandoned);
        (!left.is_empty()).then(|| format!("still there: {left:?}"))
    });
    assert_eq!(keys(&redis, &renewed).len(), 5, "its owner looks after it");
    let ended = runtime().block_on(async {
        let calls = Calls::to(&owner.address());
        calls.upload_chunk(chunk(&renewed, 0, &bytes[..HALF])).await.unwrap();
        let done = calls.complete(&renewed, Some(2)).await.unwrap();
        assert_eq!(done.state(), UploadState::Completed);
        Ended::Whole(bytes)
    });
    // Its name outlives it, until its owner comes back and finds nothing to it.
    goes.restart();
    let unknown = runtime()
        .block_on(async { Calls::to(&goes.address()).status(&abandoned).await.unwrap_err() });
    assert_eq!(unknown.reason, Some(Reason::UploadUnknown), "{unknown:?}");
    audit_all(&[], goes, &[]);
    let filename = "begun".into();
    audit_all(&[&redis], owner, &[Outcome { upload_id: renewed, filename, ended }]);
    assert_no_bodies(&redis);
}
