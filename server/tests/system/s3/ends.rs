//! Uploads of every kind become one object each, whatever they wait in.

use sluice_proto::pb::{AckLevel, CompleteUploadResponse, InitiateUploadRequest};
use sluice_test_servers::{Redis, RedisOptions};

use super::Seaweed;
use crate::harness::{
    Calls, Ended, Kind, Options, Outcome, Pace, Server, checked_chunk, eventually, noise, runtime,
    sha256, work,
};

/// Chunks of a large object: parts straddle them, and they straddle parts.
const CHUNK_BYTES: usize = 3_000_001;

fn every_kind(address: &str) -> Vec<Outcome> {
    let kinds = Kind::ALL.len() as u64;
    (0..2 * kinds)
        .map(|seed| work(Kind::ALL[(seed % kinds) as usize], address, seed, Pace::default()))
        .collect()
}

/// Of many parts, its chunks in the order given by `order`. `promised`: the client says all before.
fn large(address: &str, seed: u64, promised: bool, order: impl Fn(&mut Vec<usize>)) -> Outcome {
    let bytes = noise(seed, 30 << 20);
    let filename = format!("large-{seed}");
    let (id, done) = runtime().block_on(async {
        let calls = Calls::to(address);
        let request = InitiateUploadRequest {
            filename: filename.clone(),
            expected_size_bytes: promised.then_some(bytes.len() as i64),
            chunk_size_bytes: if promised { CHUNK_BYTES as i64 } else { 0 },
            ..Default::default()
        };
        let id = calls.initiate_upload(request).await.unwrap().upload_id;
        let chunks: Vec<_> = bytes.chunks(CHUNK_BYTES).collect();
        let mut numbers: Vec<usize> = (0..chunks.len()).collect();
        order(&mut numbers);
        for number in numbers {
            let chunk = checked_chunk(&id, number as i32, chunks[number], 2);
            let acked = calls.upload_chunk(chunk).await.unwrap();
            assert_ne!(acked.ack_level(), AckLevel::Unspecified);
        }
        let done = loop {
            let done = calls.complete(&id, Some(chunks.len() as i32)).await.unwrap();
            if done.object.is_some() {
                break done;
            }
        };
        (id, done)
    });
    assert_stored(&done, &id, &bytes);
    Outcome { upload_id: id, filename, ended: Ended::Whole(bytes) }
}

#[track_caller]
fn assert_stored(done: &CompleteUploadResponse, id: &str, bytes: &[u8]) {
    let object = done.object.as_ref().unwrap();
    assert_eq!(object.size_bytes, bytes.len() as i64);
    assert_eq!(object.sha256, sha256(bytes)[..]);
    assert!(!object.etag.is_empty() && object.bucket == "sluice-test", "{object:?}");
    assert!(object.key.ends_with(id), "{object:?}");
}

/// What came was lost with the memory that it lay in, before a part was full; S3 makes nothing of no part.
#[test]
fn an_upload_that_turns_out_empty_after_it_was_begun_by_parts_is_an_empty_object() {
    let store = Seaweed::start();
    let settings = store.settings("memory", "single_put_bytes = \"0\"\n");
    let mut server = Server::start(Options { settings, ..Options::default() });
    let filename = "lost".to_owned();
    let upload_id = runtime().block_on(async {
        let calls = Calls::to(&server.address());
        let upload_id = calls.open(&filename).await;
        calls.upload_chunk(checked_chunk(&upload_id, 0, &noise(3, 1_000_000), 2)).await.unwrap();
        upload_id
    });
    let (stock, bucket) = (&store.stock, store.server.bucket());
    eventually(|| {
        let open = stock.open_multiparts(bucket);
        open.is_empty().then(|| "no multipart upload is begun".to_owned())
    });
    server.kill();
    server.restart();
    let done = runtime().block_on(async {
        Calls::to(&server.address()).complete(&upload_id, Some(0)).await.unwrap()
    });
    assert_stored(&done, &upload_id, b"");
    store.audit(server, &[Outcome { upload_id, filename, ended: Ended::Whole(Vec::new()) }]);
}

fn all_ends(spool: &str, section: &str, redis: Option<&Redis>) {
    let store = Seaweed::start();
    let mut settings = store.settings(spool, section);
    if let Some(redis) = redis {
        settings.push_str(&format!("[redis]\nurl = \"{}\"\n", redis.url()));
    }
    let server = Server::start(Options { settings, ..Options::default() });
    let address = server.address();
    let mut outcomes = every_kind(&address);
    outcomes.push(large(&address, 100, false, |_| {}));
    outcomes.push(large(&address, 101, true, |numbers| numbers.reverse()));
    store.audit(server, &outcomes);
}

/// What is small goes in one PUT.
#[test]
fn uploads_that_wait_on_disk_end_as_one_object_each() {
    all_ends("disk", "", None);
}

/// Everything goes by parts.
#[test]
fn uploads_that_wait_on_disk_end_as_one_object_each_by_parts() {
    all_ends("disk", "single_put_bytes = \"0\"\n", None);
}

#[test]
fn uploads_that_wait_in_memory_end_as_one_object_each() {
    all_ends("memory", "", None);
}

#[test]
fn uploads_that_wait_in_memory_end_as_one_object_each_by_parts() {
    all_ends("memory", "single_put_bytes = \"0\"\n", None);
}

#[test]
fn uploads_that_wait_in_redis_end_as_one_object_each() {
    let redis = Redis::start(RedisOptions::default());
    all_ends("redis", "", Some(&redis));
    assert_eq!(redis.ask(&["--scan", "--pattern", "upload:*"]), "");
}

#[test]
fn uploads_that_wait_in_redis_end_as_one_object_each_by_parts() {
    let redis = Redis::start(RedisOptions::default());
    all_ends("redis", "single_put_bytes = \"0\"\n", Some(&redis));
    assert_eq!(redis.ask(&["--scan", "--pattern", "upload:*"]), "");
}
