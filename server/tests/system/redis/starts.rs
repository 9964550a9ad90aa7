//! What must hold of a Redis before a server trusts it, and of the server beside others.

use std::{fs, process::Command};

use sluice_test_servers::{Redis, RedisOptions};

use super::{options, settings, start};
use crate::harness::{Calls, Options, Server, chunk, eventually, get, runtime};

/// Starts a server that must not start; its last words.
fn refused(options: Options) -> String {
    let mut server = Server::prepare(options);
    let ended = server.try_restart().expect("it must not start");
    assert!(!ended.success());
    server.log()
}

#[test]
fn a_redis_that_evicts_is_refused_by_name() {
    let redis = Redis::start(RedisOptions { policy: "allkeys-lru", ..RedisOptions::default() });
    let log = refused(options(&redis.url()));
    assert!(log.contains("allkeys-lru") && log.contains("noeviction"), "{log}");
    assert_eq!(redis.ask(&["dbsize"]), "0", "before anything is written");
}

#[test]
fn doctor_says_what_is_wrong_with_it() {
    let doctor = |url: &str| {
        let told = Command::new(env!("CARGO_BIN_EXE_sluice"))
            .args(["doctor", "--json"])
            .env("SLUICE_COORDINATION", "redis")
            .env("SLUICE_REDIS__URL", url)
            .output()
            .unwrap();
        let told = String::from_utf8(told.stdout).unwrap();
        let check = told.split('{').find(|check| check.contains("\"redis\""));
        check.unwrap_or_else(|| panic!("{told}")).to_owned()
    };
    let mut redis = Redis::start(RedisOptions::default());
    let well = doctor(&redis.url());
    assert!(well.contains("\"OK\"") && well.contains("1073741824"), "{well}");
    redis.ask(&["config", "set", "maxmemory-policy", "allkeys-lru"]);
    let evicts = doctor(&redis.url());
    assert!(evicts.contains("\"FAIL\"") && evicts.contains("noeviction"), "{evicts}");
    let url = redis.url();
    redis.kill();
    let gone = doctor(&url);
    assert!(gone.contains("\"FAIL\"") && gone.contains("no connection"), "{gone}");
}

#[test]
fn power_durability_needs_a_redis_that_has_it() {
    let mut redis = Redis::start(RedisOptions::default());
    let power = format!("durability = \"power\"\n{}", settings(&redis.url()));
    let options = Options { settings: power, ..Options::default() };
    let log = refused(options.clone());
    assert!(log.contains("appendfsync is everysec") && log.contains("always"), "{log}");
    redis.ask(&["config", "set", "appendfsync", "always"]);
    let server = Server::start(options);
    assert!(server.log().contains("loses nothing that it has acknowledged"), "{}", server.log());
    drop(server);
    redis.kill();
}

#[test]
fn a_server_waits_for_redis_and_says_so() {
    let mut redis = Redis::start(RedisOptions::default());
    redis.shut_down();
    let mut server = Server::prepare(options(&redis.url()));
    server.spawn();
    eventually(|| {
        (!server.log().contains("waiting for redis")).then(|| format!("it says {}", server.log()))
    });
    let page = get(&server.admin(), "/readyz").expect("it answers");
    assert_eq!(page.code, 503);
    redis.restart();
    eventually(|| {
        let page = get(&server.admin(), "/readyz");
        (page.as_ref().is_none_or(|page| page.code != 200)).then(|| format!("{page:?}"))
    });
    server.signal_terminate();
    assert!(server.wait().success());
}

/// The one that runs finds itself succeeded, and ends: two owners would each lose what the other
/// takes in.
#[test]
fn of_two_that_run_as_one_node_the_first_ends() {
    let (redis, mut first) = start();
    let upload_id = runtime().block_on(async {
        let calls = Calls::to(&first.address());
        let upload_id = calls.open("shared").await;
        calls.upload_chunk(chunk(&upload_id, 0, b"some")).await.unwrap();
        upload_id
    });
    let second = Server::prepare(options(&redis.url()));
    copy_folder(first.data().root(), second.data().root());
    let mut second = second;
    second.restart();
    // It may not even know yet.
    let late = runtime().block_on(async {
        Calls::to(&first.address()).upload_chunk(chunk(&upload_id, 1, b"late")).await
    });
    assert!(late.is_err(), "it owns nothing any more");
    let ended = first.wait();
    assert!(!ended.success(), "{ended}");
    assert!(first.log().contains("another process runs as this node"), "{}", first.log());
    let status = runtime().block_on(async {
        let calls = Calls::to(&second.address());
        calls.upload_chunk(chunk(&upload_id, 1, b"late")).await.unwrap();
        calls.status(&upload_id).await.unwrap()
    });
    assert_eq!(status.upload.unwrap().received_bytes, 8);
}

fn copy_folder(from: &std::path::Path, to: &std::path::Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (entry, to) =
            (entry.as_ref().unwrap().path(), to.join(entry.as_ref().unwrap().file_name()));
        if entry.is_dir() {
            copy_folder(&entry, &to);
        } else {
            fs::copy(&entry, &to).unwrap();
        }
    }
}
