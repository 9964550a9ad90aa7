//! The SHA-256 of an upload is made while its bytes are in memory, in whatever order they come.

use futures_util::{StreamExt as _, stream};
use sluice_proto::pb::{self, UploadState};

use crate::harness::{
    Calls, Ended, Options, Outcome, Random, Server, audit, chunk, get, noise, runtime, sha256,
};

/// What one step of reading back takes, at most.
const STEP_BYTES: usize = 4 << 20;
const CHUNKS: usize = 8;
/// A chunk that is whole waits 2 s for its turn to be hashed, at most: a busy machine may spoil a try,
/// hardly all.
const TRIES: u64 = 10;

/// How often bytes were read back from the disk for a SHA-256.
fn reads_back(server: &Server) -> u64 {
    let page = get(&server.admin(), "/metrics").unwrap().body;
    let samples = page.lines().filter_map(|line| {
        let labels = line.strip_prefix("sluice_backend_request_duration_seconds_count")?;
        labels.contains("op=\"hash\"").then(|| labels.rsplit(' ').next().unwrap())
    });
    samples.map(|count| count.parse::<u64>().unwrap()).sum()
}

/// Sends chunks in this order, so many at a time; the object has the SHA-256 of what was sent.
async fn upload(calls: &Calls, bytes: &[u8], order: &[usize], parallel: usize) -> Outcome {
    let upload_id = initiate(calls, bytes).await;
    send(calls, &upload_id, bytes, order, parallel).await;
    complete(calls, upload_id, bytes).await
}

async fn initiate(calls: &Calls, bytes: &[u8]) -> String {
    let request = pb::InitiateUploadRequest {
        filename: "hashed".into(),
        expected_size_bytes: Some(bytes.len() as i64),
        chunk_size_bytes: (bytes.len() / CHUNKS) as i64,
        ..Default::default()
    };
    calls.initiate_upload(request).await.unwrap().upload_id
}

async fn send(calls: &Calls, upload_id: &str, bytes: &[u8], order: &[usize], parallel: usize) {
    let chunk_bytes = bytes.len() / CHUNKS;
    let sending = order.iter().map(|&number| {
        let data = &bytes[number * chunk_bytes..][..chunk_bytes];
        calls.upload_chunk(chunk(upload_id, number as i32, data))
    });
    let sent: Vec<_> = stream::iter(sending).buffer_unordered(parallel).collect().await;
    for acked in sent {
        acked.unwrap();
    }
}

/// What it became is told the same by the answer and by the status.
async fn complete(calls: &Calls, upload_id: String, bytes: &[u8]) -> Outcome {
    let completed = calls.complete(&upload_id, Some(CHUNKS as i32)).await.unwrap();
    assert_eq!(completed.state(), UploadState::Completed);
    let object = completed.object.unwrap();
    assert_eq!(object.sha256, sha256(bytes)[..]);
    let status = calls.status(&upload_id).await.unwrap().upload.unwrap();
    assert_eq!(status.object, Some(object));
    Outcome { upload_id, filename: "hashed".into(), ended: Ended::Whole(bytes.to_vec()) }
}

fn shuffled(seed: u64) -> Vec<usize> {
    let mut order: Vec<_> = (0..CHUNKS).collect();
    Random::new(seed).shuffle(&mut order);
    order
}

/// Uploads once more; how often bytes were read back meanwhile.
fn try_upload(
    server: &Server,
    outcomes: &mut Vec<Outcome>,
    order: &[usize],
    parallel: usize,
) -> u64 {
    let bytes = noise(outcomes.len() as u64, CHUNKS * STEP_BYTES);
    let before = reads_back(server);
    let uploading = async { upload(&Calls::to(&server.address()), &bytes, order, parallel).await };
    outcomes.push(runtime().block_on(uploading));
    reads_back(server) - before
}

#[test]
fn in_order_nothing_is_read_back() {
    let server = Server::start(Options::default());
    let (mut outcomes, in_order) = (Vec::new(), (0..CHUNKS).collect::<Vec<_>>());
    let mut tries = (0..TRIES).map(|_| try_upload(&server, &mut outcomes, &in_order, 1));
    assert!(tries.any(|steps| steps == 0), "some is read back each time");
    audit(server, &outcomes);
}

#[test]
fn of_chunks_that_come_beside_each_other_hardly_any_is_read_back() {
    let server = Server::start(Options { memory_limit: "2G", ..Options::default() });
    let mut outcomes = Vec::new();
    let tried = (0..TRIES).map(|seed| try_upload(&server, &mut outcomes, &shuffled(seed), CHUNKS));
    let mut read_back: Vec<_> = tried.collect();
    read_back.sort_unstable();
    // Each chunk would be a step of its own.
    assert!(read_back[TRIES as usize / 4] <= CHUNKS as u64 / 4, "{read_back:?} of {CHUNKS}");
    audit(server, &outcomes);
}

/// What was in memory went with the process; this also shows that reading back is counted.
#[test]
fn what_a_kill_left_unhashed_is_read_back() {
    let mut server = Server::start(Options::default());
    let (runtime, bytes) = (runtime(), noise(3, CHUNKS * STEP_BYTES));
    let address = server.address();
    let all_but_the_first: Vec<_> = (1..CHUNKS).collect();
    let upload_id = runtime.block_on(async {
        let calls = Calls::to(&address);
        let upload_id = initiate(&calls, &bytes).await;
        send(&calls, &upload_id, &bytes, &all_but_the_first, 2).await;
        upload_id
    });
    server.kill();
    server.restart();
    assert_eq!(reads_back(&server), 0, "nothing is known yet of the first");
    let outcome = runtime.block_on(async {
        let calls = Calls::to(&address);
        send(&calls, &upload_id, &bytes, &[0], 1).await;
        complete(&calls, upload_id, &bytes).await
    });
    assert!(reads_back(&server) >= CHUNKS as u64 - 1, "{} of {CHUNKS}", reads_back(&server));
    audit(server, &[outcome]);
}

#[test]
fn with_the_least_memory_the_hash_is_right_all_the_same() {
    let server = Server::start(Options { memory_limit: "112M", ..Options::default() });
    let runtime = runtime();
    let outcomes: Vec<Outcome> = (0..4)
        .map(|seed| {
            let bytes = noise(seed, CHUNKS * (1 << 20));
            let calls = async { Calls::to(&server.address()) };
            runtime.block_on(async { upload(&calls.await, &bytes, &shuffled(seed), 8).await })
        })
        .collect();
    audit(server, &outcomes);
}
