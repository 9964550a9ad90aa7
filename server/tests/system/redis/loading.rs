//! Redis comes back and loads what it has for a long time, saying `LOADING` meanwhile.

use std::thread;

use sluice_proto::error::Reason;
use sluice_test_servers::{Redis, RedisOptions};

use super::{
    audit_all,
    goes_away::{CALM, OUTAGE, through},
    options, spool_settings,
};
use crate::harness::{
    Calls, Ended, Options, Outcome, Persist, Server, chunk, eventually, get, noise, runtime,
};

/// Keys of somebody else. At 10 ms each it loads for minutes, unless it is told to hurry.
const KEYS: u32 = 20_000;
const KEY_DELAY_US: &str = "10000";

/// One whose loading can be held up: it answers a key or two after another meanwhile.
fn redis_options() -> RedisOptions {
    let settings = "loading-process-events-interval-bytes 1024\n".to_owned();
    RedisOptions { settings, ..RedisOptions::default() }
}

/// Kills it, and has it come back to where it loads.
fn come_back_loading(redis: &mut Redis) {
    let fill = format!("for i = 1, {KEYS} do redis.call('set', 'f' .. i, string.rep('x', 99)) end");
    redis.ask(&["eval", &fill, "0"]);
    // All of them in one file, as its log would have been read before it answers.
    redis.ask(&["bgrewriteaof"]);
    eventually(|| {
        (redis.info("aof_rewrite_in_progress") != "0" || redis.info("aof_rewrite_scheduled") != "0")
            .then(|| "it rewrites its log".into())
    });
    redis.kill();
    redis.set("key-load-delay", KEY_DELAY_US);
    redis.spawn();
    eventually(|| {
        let answer = redis.ask(&["ping"]);
        (!answer.starts_with("LOADING")).then(|| format!("it says {answer}"))
    });
}

fn hurry(redis: &Redis) {
    assert_eq!(redis.ask(&["config", "set", "key-load-delay", "0"]), "OK");
}

#[test]
fn a_start_waits_for_it() {
    let mut redis = Redis::start(redis_options());
    come_back_loading(&mut redis);
    let mut server = Server::prepare(options(&redis.url()));
    server.spawn();
    eventually(|| {
        let log = server.log();
        let says = log.contains("waiting for redis") && log.contains("LOADING");
        (!says).then(|| format!("it says {log}"))
    });
    assert_eq!(get(&server.admin(), "/readyz").expect("it answers").code, 503);
    assert!(redis.ask(&["ping"]).starts_with("LOADING"), "it loads all the time");
    hurry(&redis);
    eventually(|| {
        let page = get(&server.admin(), "/readyz");
        page.as_ref().is_none_or(|page| page.code != 200).then(|| format!("{page:?}"))
    });
}

#[test]
fn uploads_go_on_when_it_has_loaded() {
    through(redis_options(), |redis, _| {
        come_back_loading(redis);
        thread::sleep(OUTAGE);
        hurry(redis);
        eventually(|| {
            let answer = redis.ask(&["ping"]);
            (answer != "PONG").then(|| format!("it says {answer}"))
        });
        thread::sleep(CALM);
    });
}

#[test]
fn who_sends_meanwhile_is_told_to_come_back() {
    let mut redis = Redis::start(redis_options());
    let settings = spool_settings("redis", &redis.url());
    let server = Server::start(Options { settings, ..Options::default() });
    let (runtime, bytes) = (runtime(), noise(4, 300_000));
    let upload_id = runtime.block_on(async {
        let calls = Calls::to(&server.address());
        let upload_id = calls.open("waits").await;
        calls.upload_chunk(chunk(&upload_id, 1, &bytes[200_000..])).await.unwrap();
        upload_id
    });
    come_back_loading(&mut redis);
    let first = chunk(&upload_id, 0, &bytes[..200_000]);
    runtime.block_on(async {
        let calls = Calls::to(&server.address());
        let told = calls.upload_chunk(first.clone()).await.unwrap_err();
        assert_eq!(told.reason, Some(Reason::BackendDown), "{told:?}");
        assert!(told.retry_after.is_some(), "{told:?}");
    });
    assert!(redis.ask(&["ping"]).starts_with("LOADING"), "it loads all the time");
    hurry(&redis);
    runtime.block_on(async {
        let calls = Calls::to(&server.address());
        let persist = Persist::new();
        persist.call(async || calls.upload_chunk(first.clone()).await).await.unwrap();
        persist.call(async || calls.complete(&upload_id, Some(2)).await).await.unwrap();
    });
    let ended = Ended::Whole(bytes);
    audit_all(&[&redis], server, &[Outcome { upload_id, filename: "waits".into(), ended }]);
}
