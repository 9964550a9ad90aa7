//! Objects in S3 of uploads that Redis knows: what it keeps of their parts goes with them, and comes
//! back when Redis loses it.

use sluice_test_servers::{Redis, RedisOptions};

use super::Seaweed;
use crate::harness::{
    Calls, Ended, Kind, Options, Outcome, Pace, Server, checked_chunk, eventually, noise, runtime,
    work,
};

/// Every object goes by parts of the least length: a chunk of this is more than one.
const BY_PARTS: &str = "single_put_bytes = \"0\"\n";
const CHUNK_BYTES: usize = 9_000_001;

fn start(store: &Seaweed, redis: &Redis, spool: &str) -> Server {
    let settings = settings(store, redis, spool, BY_PARTS);
    Server::start(Options { settings, ..Options::default() })
}

/// Settings of a server whose state is in Redis, and its bodies if `spool` says so.
pub(super) fn settings(store: &Seaweed, redis: &Redis, spool: &str, more: &str) -> String {
    let settings = store.settings(spool, more);
    format!("coordination = \"redis\"\n{settings}[redis]\nurl = \"{}\"\n", redis.url())
}

/// Nothing is kept of parts, nor of uploads that are over among those that aren't.
#[track_caller]
pub(super) fn assert_swept(redis: &Redis) {
    eventually(|| {
        let patterns = ["sluice:live:*", "upload:*:etags", "upload:*:lost", "upload:*:restored:*"];
        let keys = patterns.map(|pattern| redis.ask(&["--scan", "--pattern", pattern]));
        keys.iter().any(|keys| !keys.is_empty()).then(|| format!("{keys:?}"))
    });
}

#[test]
fn uploads_whose_state_is_in_redis_end_as_one_object_each() {
    let (store, redis) = (Seaweed::start(), Redis::start(RedisOptions::default()));
    let server = start(&store, &redis, "redis");
    let address = server.address();
    let seeds = (0..).zip(Kind::ALL);
    let outcomes: Vec<_> =
        seeds.map(|(seed, kind)| work(kind, &address, seed, Pace::default())).collect();
    assert_swept(&redis);
    store.audit(server, &outcomes);
}

fn put(server: &Server, upload_id: &str, chunks: &[&[u8]], numbers: &[usize]) {
    runtime().block_on(async {
        let calls = Calls::to(&server.address());
        for &number in numbers {
            let chunk = checked_chunk(upload_id, number as i32, chunks[number], 2);
            calls.upload_chunk(chunk).await.unwrap();
        }
    });
}

/// Parts that S3 has answered to.
fn stored_parts(redis: &Redis, upload_id: &str) -> usize {
    let parts = redis.ask(&["zrange", &format!("upload:{{{upload_id}}}:etags"), "0", "-1"]);
    parts.lines().filter(|part| part.split(' ').count() > 2).count()
}

/// Its owner writes the parts again, and the next process completes the upload by them.
#[test]
fn parts_that_redis_loses_are_known_to_the_next_process() {
    let (store, redis) = (Seaweed::start(), Redis::start(RedisOptions::default()));
    let mut server = start(&store, &redis, "disk");
    let bytes = noise(7, 4 * CHUNK_BYTES);
    let chunks: Vec<_> = bytes.chunks(CHUNK_BYTES).collect();
    let filename = "loses parts".to_owned();
    let address = server.address();
    let upload_id = runtime().block_on(async { Calls::to(&address).open(&filename).await });
    put(&server, &upload_id, &chunks, &[0, 1]);
    let some = |least| {
        eventually(|| {
            let parts = stored_parts(&redis, &upload_id);
            (parts < least).then(|| format!("{parts} parts of {least}"))
        });
    };
    some(2);
    redis.ask(&["flushall"]);
    redis.ask(&["client", "kill", "type", "normal"]);
    put(&server, &upload_id, &chunks, &[2]);
    some(3);
    server.kill();
    server.restart();
    put(&server, &upload_id, &chunks, &[3]);
    runtime().block_on(async {
        let calls = Calls::to(&server.address());
        while calls.complete(&upload_id, Some(4)).await.unwrap().object.is_none() {}
    });
    assert_swept(&redis);
    store.audit(server, &[Outcome { upload_id, filename, ended: Ended::Whole(bytes) }]);
}
