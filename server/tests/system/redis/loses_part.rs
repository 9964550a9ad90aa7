//! Redis loses some keys and keeps others, as when one master of a cluster comes up without its last
//! second: nothing that was acknowledged is taken back.

use sluice_proto::pb::UploadState;
use sluice_test_servers::Redis;

use super::start;
use crate::harness::{Calls, Server, chunk, eventually, runtime};

/// As whoever loses its server does: connections break.
fn break_connections(redis: &Redis) {
    redis.ask(&["client", "kill", "type", "normal"]);
}

fn status(server: &Server, upload_id: &str) -> (UploadState, i64) {
    let upload = runtime().block_on(async {
        Calls::to(&server.address()).status(upload_id).await.unwrap().upload.unwrap()
    });
    (upload.state(), upload.received_bytes)
}

fn begin(server: &Server) -> String {
    runtime().block_on(async {
        let calls = Calls::to(&server.address());
        let upload_id = calls.open("stays").await;
        calls.upload_chunk(chunk(&upload_id, 0, b"some")).await.unwrap();
        upload_id
    })
}

#[test]
fn the_next_process_finds_an_upload_whose_name_was_lost() {
    let (redis, mut server) = start();
    let upload_id = begin(&server);
    let live = || redis.ask(&["keys", "sluice:live:*"]);
    assert_ne!(live(), "", "{}", redis.ask(&["keys", "*"]));
    live().lines().for_each(|set| drop(redis.ask(&["del", set])));
    break_connections(&redis);
    eventually(|| live().is_empty().then(|| "nothing is live".to_owned()));
    server.kill();
    server.restart();
    assert_eq!(status(&server, &upload_id), (UploadState::Uploading, 4));
    runtime().block_on(async {
        let calls = Calls::to(&server.address());
        let done = calls.complete(&upload_id, Some(1)).await.unwrap();
        assert_eq!(done.state(), UploadState::Completed);
    });
}

#[test]
fn an_upload_that_was_told_to_be_complete_stays_so() {
    let (redis, mut server) = start();
    let upload_id = begin(&server);
    let state = format!("upload:{{{upload_id}}}:state");
    let before: Vec<_> = redis.ask(&["hgetall", &state]).lines().map(str::to_owned).collect();
    runtime().block_on(async {
        Calls::to(&server.address()).complete(&upload_id, Some(1)).await.unwrap();
    });
    eventually(|| {
        let live = redis.ask(&["--scan", "--pattern", "sluice:live:*"]);
        (!live.is_empty()).then(|| "it is live".to_owned())
    });
    // The steps of its end are lost, and that it is live no more isn't.
    redis.ask(&["del", &state]);
    let restore: Vec<&str> =
        ["hset", &state].into_iter().chain(before.iter().map(String::as_str)).collect();
    redis.ask(&restore);
    break_connections(&redis);
    eventually(|| {
        let name = redis.ask(&["hget", &state, "state"]);
        (name != "COMPLETED").then(|| format!("it is {name}"))
    });
    server.kill();
    server.restart();
    assert_eq!(status(&server, &upload_id), (UploadState::Completed, 4));
}

/// As the hash that names its state was, and is again.
fn go_back(redis: &Redis, upload_id: &str, before: &str) {
    let state = format!("upload:{{{upload_id}}}:state");
    redis.ask(&["del", &state]);
    redis.ask(&["hset", &state].into_iter().chain(before.lines()).collect::<Vec<_>>());
}

/// Its end is lost while nobody has it in memory: nothing tells of it but its node.
#[test]
fn an_upload_that_is_a_node_isnt_open_again_whenever_its_end_is_lost() {
    let (redis, mut server) = start();
    for is_live in [true, false] {
        let upload_id = begin(&server);
        let state = format!("upload:{{{upload_id}}}:state");
        let before = redis.ask(&["hgetall", &state]);
        let live = redis.ask(&["--scan", "--pattern", "sluice:live:*"]);
        runtime().block_on(async {
            Calls::to(&server.address()).complete(&upload_id, Some(1)).await.unwrap();
        });
        eventually(|| {
            let live = redis.ask(&["--scan", "--pattern", "sluice:live:*"]);
            (!live.is_empty()).then(|| "it is live".to_owned())
        });
        server.kill();
        // Found by the next process when it begins, or by whoever asks.
        if is_live {
            go_back(&redis, &upload_id, &before);
            redis.ask(&["sadd", &live, &upload_id]);
        }
        server.restart();
        if !is_live {
            go_back(&redis, &upload_id, &before);
        }
        assert_eq!(status(&server, &upload_id), (UploadState::Completed, 4));
        eventually(|| {
            let name = redis.ask(&["hmget", &state, "state", "cleanup_pending"]);
            (name != "COMPLETED\n0").then(|| format!("it is {name}"))
        });
        let late = runtime().block_on(async {
            Calls::to(&server.address()).upload_chunk(chunk(&upload_id, 1, b"more")).await
        });
        assert!(late.is_err(), "{late:?}");
    }
    assert_eq!(server.data().objects().len(), 2);
}

/// More than are looked for at a time, on every shard.
#[test]
fn all_uploads_are_written_again_where_redis_lost_them_all() {
    let (redis, mut server) = start();
    let uploads: Vec<String> = (0..100).map(|_| begin(&server)).collect();
    redis.ask(&["flushall"]);
    break_connections(&redis);
    eventually(|| {
        let states = redis.ask(&["keys", "upload:*:state"]).lines().count();
        (states < uploads.len()).then(|| format!("{states} are there"))
    });
    server.kill();
    server.restart();
    for upload_id in &uploads {
        assert_eq!(status(&server, upload_id), (UploadState::Uploading, 4));
    }
}
