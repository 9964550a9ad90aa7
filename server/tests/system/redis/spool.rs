//! Bodies in Redis: stored all the same, pushed back when it is full, asked for again when it has
//! lost them, and freed.

use std::{
    thread,
    time::{Duration, Instant},
};

use sluice_proto::{
    error::Reason,
    pb::{AbortUploadRequest, AckLevel, UploadState},
};
use sluice_test_servers::{Redis, RedisCluster, RedisOptions};

use super::{assert_no_bodies, audit_all, spool_settings};
use crate::harness::{
    Calls, Ended, Kind, Options, Outcome, Pace, Persist, Server, chunk, eventually, get, noise,
    runtime, work,
};

fn start(options: RedisOptions) -> (Redis, Server) {
    let redis = Redis::start(options);
    let server = Server::start(spool_options(&redis.url()));
    (redis, server)
}

fn spool_options(url: &str) -> Options {
    Options { settings: spool_settings("local", url), ..Options::default() }
}

fn every_kind(address: &str) -> Vec<Outcome> {
    let kinds = Kind::ALL.len() as u64;
    (0..2 * kinds)
        .map(|seed| work(Kind::ALL[(seed % kinds) as usize], address, seed, Pace::default()))
        .collect()
}

#[test]
fn uploads_of_every_kind_end_as_they_should_and_leave_no_body() {
    for coordination in ["local", "redis"] {
        let redis = Redis::start(RedisOptions::default());
        let settings = spool_settings(coordination, &redis.url());
        let server = Server::start(Options { settings, ..Options::default() });
        let outcomes = every_kind(&server.address());
        audit_all(&[&redis], server, &outcomes);
        assert_no_bodies(&redis);
    }
}

#[test]
fn uploads_go_through_a_cluster_slot_by_slot() {
    let cluster = RedisCluster::start(3, 0, RedisOptions::default());
    let settings = spool_settings("redis", &cluster.url());
    let server = Server::start(Options { settings, ..Options::default() });
    let outcomes = every_kind(&server.address());
    let nodes: Vec<&Redis> = cluster.nodes.iter().collect();
    audit_all(&nodes, server, &outcomes);
    nodes.into_iter().for_each(assert_no_bodies);
}

/// What is behind a hole waits in Redis, whatever becomes of the server.
#[test]
fn a_chunk_that_waits_survives_a_kill() {
    let (redis, mut server) = start(RedisOptions::default());
    let (runtime, address, bytes) = (runtime(), server.address(), noise(7, 3 << 20));
    let upload_id = runtime.block_on(async {
        let calls = Calls::to(&address);
        let upload_id = calls.open("waits").await;
        let acked = calls.upload_chunk(chunk(&upload_id, 1, &bytes[1 << 20..])).await.unwrap();
        assert_eq!(acked.ack_level(), AckLevel::Spooled);
        upload_id
    });
    assert_eq!(redis.ask(&["strlen", &format!("upload:{{{upload_id}}}:chunks:1")]), "2097152");
    server.kill();
    server.restart();
    runtime.block_on(async {
        let calls = Calls::to(&address);
        calls.upload_chunk(chunk(&upload_id, 0, &bytes[..1 << 20])).await.unwrap();
        let done = calls.complete(&upload_id, Some(2)).await.unwrap();
        assert_eq!(done.state(), UploadState::Completed);
    });
    let outcome = Outcome { upload_id, filename: "waits".into(), ended: Ended::Whole(bytes) };
    audit_all(&[&redis], server, &[outcome]);
    assert_no_bodies(&redis);
}

#[test]
fn a_chunk_that_redis_lost_is_asked_for_again() {
    let (mut redis, server) = start(RedisOptions::default());
    let (runtime, bytes) = (runtime(), noise(8, 600_000));
    let outcome = runtime.block_on(async {
        let calls = Calls::to(&server.address());
        let upload_id = calls.open("lost").await;
        calls.upload_chunk(chunk(&upload_id, 1, &bytes[200_000..])).await.unwrap();
        redis.lose_everything();
        redis.restart();
        let first = async || calls.upload_chunk(chunk(&upload_id, 0, &bytes[..200_000])).await;
        Persist::new().call(first).await.unwrap();
        // The first goes to its place, the second can't.
        let complete = async || calls.complete(&upload_id, Some(2)).await;
        let missing = Persist::new().call(complete).await.unwrap_err();
        assert_eq!(missing.reason, Some(Reason::MissingChunks), "{missing:?}");
        let status = calls.status(&upload_id).await.unwrap();
        assert_eq!(status.upload.unwrap().received_bytes, 200_000);
        calls.upload_chunk(chunk(&upload_id, 1, &bytes[200_000..])).await.unwrap();
        let done = calls.complete(&upload_id, Some(2)).await.unwrap();
        assert_eq!(done.state(), UploadState::Completed);
        Outcome { upload_id, filename: "lost".into(), ended: Ended::Whole(bytes.clone()) }
    });
    audit_all(&[&redis], server, &[outcome]);
    assert_no_bodies(&redis);
}

/// 80 % of its memory is for bodies; the rest is for recording, so that it drains.
#[test]
fn a_full_redis_pushes_back_and_drains() {
    let options = RedisOptions { max_memory: "32mb", ..RedisOptions::default() };
    let (redis, server) = start(options);
    let (runtime, bytes) = (runtime(), noise(9, 1 << 20));
    runtime.block_on(async {
        let calls = Calls::to(&server.address());
        let upload_id = calls.open("fills").await;
        // Behind a hole, so that nothing goes to its place.
        let mut taken = 0;
        let refused = loop {
            match calls.upload_chunk(chunk(&upload_id, 1 + taken, &bytes)).await {
                Ok(_) => taken += 1,
                Err(refused) => break refused,
            }
            assert!(taken < 32, "it is never full");
        };
        assert_eq!(refused.reason, Some(Reason::SpoolFull), "{refused:?}");
        assert!(refused.retry_after.is_some());
        assert!(taken >= 3, "{taken}");
        // The one that fills the hole gets in, and all go to their place.
        calls.upload_chunk(chunk(&upload_id, 0, &bytes)).await.unwrap();
        let done = calls.complete(&upload_id, Some(taken + 1)).await.unwrap();
        assert_eq!(done.state(), UploadState::Completed);
    });
    eventually(|| {
        let left = redis.ask(&["--scan", "--pattern", "upload:*:chunks:*"]);
        (!left.is_empty()).then(|| format!("left: {left}"))
    });
    // Filled by others, it takes no body, and all goes on once it has room.
    let fill = "for i = 1, 4000 do redis.pcall('set', 'f' .. i, string.rep('x', 10000)) end";
    redis.ask(&["eval", fill, "0"]);
    runtime.block_on(async {
        let calls = Calls::to(&server.address());
        let upload_id = calls.open("full").await;
        let refused = calls.upload_chunk(chunk(&upload_id, 0, &bytes)).await.unwrap_err();
        assert_eq!(refused.reason, Some(Reason::SpoolFull), "{refused:?}");
        redis.ask(&["flushall"]);
        let began = Instant::now();
        while calls.upload_chunk(chunk(&upload_id, 0, &bytes)).await.is_err() {
            assert!(began.elapsed() < Duration::from_secs(60), "it stays full");
        }
        calls.complete(&upload_id, Some(1)).await.unwrap();
    });
    for sample in [
        "sluice_backend_up{backend=\"redis\"} 1",
        "sluice_redis_memory_limit_bytes 33554432",
        "sluice_spool_used_bytes{kind=\"redis\"} 0",
        "sluice_queue_oldest_age_seconds 0",
        "sluice_refusals_total{reason=\"SPOOL_FULL\"}",
        "op=\"put\",outcome=\"ok\"",
    ] {
        eventually(|| {
            let page = get(&server.admin(), "/metrics").unwrap().body;
            (!page.contains(sample)).then(|| format!("{sample} isn't in\n{page}"))
        });
    }
}

#[test]
fn an_abort_frees_what_waits() {
    let (redis, server) = start(RedisOptions::default());
    runtime().block_on(async {
        let calls = Calls::to(&server.address());
        let upload_id = calls.open("aborted").await;
        for number in 1..5 {
            calls.upload_chunk(chunk(&upload_id, number, b"some")).await.unwrap();
        }
        let reason = String::new();
        calls.abort_upload(AbortUploadRequest { upload_id, reason }).await.unwrap();
    });
    eventually(|| {
        let left = redis.ask(&["--scan", "--pattern", "upload:*"]);
        (!left.is_empty()).then(|| format!("left: {left}"))
    });
    drop(server);
}

/// With nowhere to go after it, Redis is all that is measured.
#[test]
fn with_discard_bodies_go_through_redis_and_are_dropped() {
    let redis = Redis::start(RedisOptions::default());
    let settings = format!("objects = \"discard\"\n{}", spool_settings("redis", &redis.url()));
    let server = Server::start(Options { settings, ..Options::default() });
    runtime().block_on(async {
        let calls = Calls::to(&server.address());
        let upload_id = calls.open("dropped").await;
        for number in 0..8 {
            calls.upload_chunk(chunk(&upload_id, number, &noise(1, 300_000))).await.unwrap();
        }
        let done = calls.complete(&upload_id, Some(8)).await.unwrap();
        assert_eq!(done.object.unwrap().size_bytes, 2_400_000);
    });
    let sets: Vec<String> =
        redis.info("cmdstat_set").split([':', ',', '=']).map(str::to_owned).collect();
    assert!(sets[1].parse::<u32>().unwrap() >= 8, "{sets:?}");
    eventually(|| {
        let left = redis.ask(&["--scan", "--pattern", "upload:*:chunks:*"]);
        (!left.is_empty()).then(|| format!("left: {left}"))
    });
}

/// Bodies in Redis would be found by nobody.
#[test]
fn a_start_without_the_spool_that_holds_chunks_is_refused() {
    let (_redis, mut server) = start(RedisOptions::default());
    runtime().block_on(async {
        let calls = Calls::to(&server.address());
        let upload_id = calls.open("left").await;
        calls.upload_chunk(chunk(&upload_id, 1, b"some")).await.unwrap();
    });
    server.terminate();
    let with_redis = std::mem::take(&mut server.options.settings);
    let ended = server.try_restart().expect("it doesn't start");
    assert!(!ended.success() && server.log().contains("start with spool = redis"));
    server.options.settings = with_redis;
    server.restart();
}

#[test]
fn it_goes_away_under_uploads() {
    let (mut redis, server) = start(RedisOptions::default());
    let address = server.address();
    let uploading: Vec<_> = (0..4_u64)
        .map(|number| {
            let address = address.clone();
            thread::spawn(move || {
                let kinds = Kind::ALL.len() as u64;
                (0..2 * kinds)
                    .map(|nth| {
                        let kind = Kind::ALL[((number + nth) % kinds) as usize];
                        work(kind, &address, number << 32 | nth, Pace(Duration::from_millis(15)))
                    })
                    .collect::<Vec<_>>()
            })
        })
        .collect();
    for round in 0..4 {
        thread::sleep(Duration::from_millis(300));
        if round % 2 == 0 {
            redis.freeze();
            thread::sleep(Duration::from_millis(1_200));
            redis.thaw();
        } else {
            // Its log has all that it acknowledged: the machine didn't die.
            redis.kill();
            redis.restart();
        }
    }
    let outcomes: Vec<_> = uploading.into_iter().flat_map(|one| one.join().unwrap()).collect();
    audit_all(&[&redis], server, &outcomes);
    assert_no_bodies(&redis);
}
