//! Redis goes away in every way that it can, under uploads: each ends as if nothing had happened,
//! and nothing that was acknowledged is taken back.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use sluice_proto::error::Reason;
use sluice_test_servers::{Redis, RedisOptions};

use super::{audit_all, options, start};
use crate::harness::{Calls, Pace, Server, chunk, eventually, get, runtime, work_until};

const UPLOADS_AT_ONCE: u64 = 4;
const PACE: Pace = Pace(Duration::from_millis(10));
/// Long enough that every upload runs into it.
pub(super) const OUTAGE: Duration = Duration::from_millis(1_500);
pub(super) const CALM: Duration = Duration::from_millis(400);

/// Has something happen to Redis while uploads run.
pub(super) fn through(
    options_of_redis: RedisOptions,
    happen: impl FnOnce(&mut Redis, &mut Server),
) {
    let mut redis = Redis::start(options_of_redis);
    let mut server = Server::start(options(&redis.url()));
    let stop = Arc::new(AtomicBool::new(false));
    let uploaders: Vec<_> = (0..UPLOADS_AT_ONCE)
        .map(|number| {
            let (address, stop) = (server.address(), Arc::clone(&stop));
            thread::spawn(move || work_until(&stop, &address, number << 32 | number, PACE))
        })
        .collect();
    thread::sleep(CALM);
    happen(&mut redis, &mut server);
    thread::sleep(CALM);
    stop.store(true, Ordering::Relaxed);
    let mut outcomes = Vec::new();
    for uploader in uploaders {
        outcomes.extend(uploader.join().expect("an uploader"));
    }
    println!("{} uploads", outcomes.len());
    audit_all(&[&redis], server, &outcomes);
}

#[test]
fn it_freezes() {
    through(RedisOptions::default(), |redis, _| {
        redis.freeze();
        thread::sleep(OUTAGE);
        redis.thaw();
    });
}

#[test]
fn it_is_killed_and_comes_back_with_its_log() {
    through(RedisOptions::default(), |redis, _| {
        for _ in 0..3 {
            redis.kill();
            thread::sleep(CALM);
            redis.restart();
            thread::sleep(CALM);
        }
    });
}

#[test]
fn it_comes_back_empty() {
    through(RedisOptions::default(), |redis, _| {
        for _ in 0..3 {
            redis.lose_everything();
            redis.restart();
            thread::sleep(CALM);
        }
    });
}

/// What was written since the log was copied is gone, as if the last second had been lost.
#[test]
fn it_comes_back_as_it_was_before() {
    through(RedisOptions::default(), |redis, _| {
        let log = redis.folder().join("appendonlydir");
        let before = redis.folder().join("before");
        redis.freeze();
        copy_files(&log, &before);
        redis.thaw();
        thread::sleep(CALM);
        redis.kill();
        std::fs::remove_dir_all(&log).unwrap();
        std::fs::rename(&before, &log).unwrap();
        redis.restart();
    });
}

fn copy_files(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

#[test]
fn it_is_busy_with_somebody_elses_script() {
    through(RedisOptions::default(), |redis, _| {
        redis.ask(&["config", "set", "busy-reply-threshold", "10"]);
        thread::scope(|scope| {
            let redis = &*redis;
            scope.spawn(|| redis.ask(&["eval", "while true do end", "0"]));
            thread::sleep(OUTAGE);
            assert_eq!(redis.ask(&["script", "kill"]), "OK");
        });
    });
}

#[test]
fn it_takes_no_writes_for_a_while() {
    through(RedisOptions::default(), |redis, _| {
        redis.ask(&["replicaof", "127.0.0.1", "1"]);
        thread::sleep(OUTAGE);
        redis.ask(&["replicaof", "no", "one"]);
    });
}

#[test]
fn somebody_else_fills_it() {
    let options = RedisOptions { max_memory: "20mb", ..RedisOptions::default() };
    through(options, |redis, _| {
        redis.ask(&["debug", "populate", "1", "x", "1"]);
        let fill = "for i = 1, 10000 do redis.pcall('set', 'f' .. i, string.rep('x', 10000)) end";
        redis.ask(&["eval", fill, "0"]);
        assert!(redis.ask(&["set", "k", "v"]).contains("OOM"));
        thread::sleep(OUTAGE);
    });
}

#[test]
fn the_server_dies_while_it_is_gone() {
    through(RedisOptions::default(), |redis, server| {
        redis.shut_down();
        server.kill();
        server.spawn();
        thread::sleep(CALM);
        redis.restart();
        eventually(|| {
            let page = get(&server.admin(), "/readyz");
            page.as_ref().is_none_or(|page| page.code != 200).then(|| format!("{page:?}"))
        });
    });
}

/// Whoever asks while it is gone gets an answer in time, and one that says what to do.
#[test]
fn a_call_is_answered_while_it_is_gone() {
    let (redis, server) = start();
    let runtime = runtime();
    let (calls, upload_id) = runtime.block_on(async {
        let calls = Calls::to(&server.address());
        let upload_id = calls.open("waits").await;
        (calls, upload_id)
    });
    redis.freeze();
    let status = runtime.block_on(async { calls.status(&upload_id).await });
    assert_eq!(status.unwrap().upload.unwrap().received_bytes, 0, "it is in memory");
    let unknown = runtime.block_on(async {
        // Of this node and store, and nobody's.
        let other = format!("{}{}", &upload_id[..16], "0".repeat(24));
        calls.status(&other).await.unwrap_err()
    });
    assert_eq!(unknown.reason, Some(Reason::BackendDown), "it may be one that ended");
    assert!(unknown.retry_after.is_some());
    thread::scope(|scope| {
        scope.spawn(|| {
            thread::sleep(OUTAGE);
            redis.thaw();
        });
        runtime.block_on(async {
            calls.upload_chunk(chunk(&upload_id, 0, b"some")).await.unwrap();
            calls.complete(&upload_id, Some(1)).await.unwrap();
        });
    });
}
