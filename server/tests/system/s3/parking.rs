//! A store that is down for longer than there is room for what waits: intake pushes back, nothing
//! fails, and all of it is stored once the store is back.

use std::{
    thread::{self, JoinHandle},
    time::Instant,
};

use sluice_proto::pb::{InitiateUploadRequest, UploadState};
use sluice_test_servers::{
    Redis, RedisOptions,
    s3_faulty::{Act, Fault, FaultyS3, Operation, Refusal},
};

use super::{
    Seaweed,
    faulty::{self, BY_PARTS, audit_by_stock, whole},
};
use crate::harness::{
    Calls, Options, Outcome, Persist, Server, checked_chunk, eventually, get, noise, runtime,
};

const UPLOADS: u64 = 4;
/// Each is more than there is room for in the store that has it; together they are more than there
/// is in memory, or in Redis.
const UPLOAD_BYTES: usize = 30 << 20;
const CHUNK_BYTES: usize = 500_003;
/// For the smallest parts in each of 16 stores.
const DISK_ROOM: &str = "384 MiB";
const REDIS_ROOM: &str = "64 MiB";
/// The same of a spool in memory.
const MEMORY_LIMIT: &str = "160M";
/// Failures in a row, and a shard takes the store for down.
const FAILURES_MAX: u64 = 3;
const SHARDS_MAX: u64 = 2;

/// An upload that is gone on with through every refusal that says so, as a client should.
fn upload(address: &str, seed: u64) -> Outcome {
    let (bytes, filename) = (noise(seed, UPLOAD_BYTES), format!("parked-{seed}"));
    let id = runtime().block_on(async {
        let (calls, persist) = (Calls::to(address), Persist::new());
        let request = InitiateUploadRequest {
            filename: filename.clone(),
            request_id: filename.clone(),
            ..Default::default()
        };
        let initiated = persist.call(async || calls.initiate_upload(request.clone()).await).await;
        let id = initiated.unwrap().upload_id;
        let mut count = 0;
        for data in bytes.chunks(CHUNK_BYTES) {
            let chunk = checked_chunk(&id, count, data, 2);
            let acked = persist.call(async || calls.upload_chunk(chunk.clone()).await).await;
            acked.unwrap_or_else(|error| panic!("chunk {count} of {filename}: {error:?}"));
            count += 1;
        }
        let complete = async || calls.complete(&id, Some(count)).await;
        while persist.call(complete).await.unwrap().state() != UploadState::Completed {}
        id
    });
    whole(id, &filename, bytes)
}

fn upload_all(server: &Server) -> Vec<JoinHandle<Outcome>> {
    let one = |seed| {
        let address = server.address();
        thread::spawn(move || upload(&address, seed))
    };
    (0..UPLOADS).map(one).collect()
}

/// Waits until chunks are refused for want of room, and it is told why.
fn until_pushed_back(server: &Server, reason: &str) {
    eventually(|| {
        let page = get(&server.admin(), "/metrics").unwrap().body;
        let refusals = format!("sluice_refusals_total{{reason=\"{reason}\"}}");
        let is_down = page.contains("sluice_backend_up{backend=\"s3\"} 0");
        (!(page.contains(&refusals) && is_down)).then(|| format!("no {refusals} in {page}"))
    });
}

/// While nothing is stored: each shard has one who looks, and everybody else waits.
fn assert_calm(s3: &FaultyS3, began: Instant) {
    s3.until_asked(Operation::HeadBucket, 2);
    let requests = s3.requests();
    let looks = s3.count(Operation::HeadBucket) as u64;
    let others = requests.len() as u64 - looks;
    // What each upload had begun before its shard knew.
    assert!(others <= UPLOADS + SHARDS_MAX * FAILURES_MAX, "{others} requests: {requests:#?}");
    // The first eight take a shard some ten seconds at least, all others two each.
    let looks_max = SHARDS_MAX * (8 + began.elapsed().as_secs() / 2);
    assert!(looks <= looks_max, "{looks} looks of {looks_max}");
}

/// Lines of a server's settings that leave so much room in the spool.
fn with_room(room: &str) -> String {
    format!("{BY_PARTS}[limits]\nspool_limit_bytes = \"{room}\"\nadmission_wait = \"100 ms\"\n")
}

fn parks(spool: &str, more: &str, memory_limit: &'static str, reason: &str) {
    let s3 = FaultyS3::start(Default::default());
    let server = Server::start(Options { memory_limit, ..faulty::options(&s3, spool, more) });
    s3.forget_requests();
    s3.inject(Fault::new(Act::Answer(Refusal::unavailable())).always());
    let (began, uploads) = (Instant::now(), upload_all(&server));
    until_pushed_back(&server, reason);
    assert_calm(&s3, began);
    assert!(!uploads.iter().any(JoinHandle::is_finished), "without a store nothing ends");
    s3.heal_all();
    let outcomes: Vec<_> = uploads.into_iter().map(|one| one.join().unwrap()).collect();
    audit_by_stock(&s3, server, &outcomes);
}

#[test]
fn a_full_disk_spool_pushes_back_and_drains() {
    parks("disk", &with_room(DISK_ROOM), Options::default().memory_limit, "SPOOL_FULL");
}

#[test]
fn a_full_memory_spool_pushes_back_and_drains() {
    parks("memory", &with_room(DISK_ROOM), MEMORY_LIMIT, "BUDGET");
}

#[test]
fn a_full_spool_in_redis_pushes_back_and_drains() {
    let redis = Redis::start(RedisOptions::default());
    let more = format!("{}[redis]\nurl = \"{}\"\n", with_room(REDIS_ROOM), redis.url());
    parks("redis", &more, Options::default().memory_limit, "SPOOL_FULL");
    assert_eq!(redis.ask(&["--scan", "--pattern", "upload:*"]), "");
}

/// What it was asked before it froze, it may do afterwards: nothing of that is left, either.
#[test]
fn a_store_that_freezes_thaws_to_a_full_spool() {
    let store = Seaweed::start();
    let settings = store.settings("disk", &with_room(DISK_ROOM)).replace("\"5 s\"", "\"1 s\"");
    let server = Server::start(Options { settings, ..Options::default() });
    store.server.freeze();
    let uploads = upload_all(&server);
    until_pushed_back(&server, "SPOOL_FULL");
    store.server.thaw();
    let outcomes: Vec<_> = uploads.into_iter().map(|one| one.join().unwrap()).collect();
    store.audit(server, &outcomes);
}
