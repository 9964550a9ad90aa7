//! The SHA-256 of an upload is made while its bytes are in memory, in whatever order they come.

use futures_util::{StreamExt as _, stream};
use sluice_proto::pb::{self, UploadState};

use crate::harness::{
    Calls, Ended, Options, Outcome, Random, Server, audit, chunk, get, noise, runtime, sha256,
};

/// What one step of reading back takes, at most.
const STEP_BYTES: usize = 4 << 20;
const CHUNKS: usize = 8;

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
    let chunk_bytes = bytes.len() / CHUNKS;
    let request = pb::InitiateUploadRequest {
        filename: "hashed".into(),
        expected_size_bytes: Some(bytes.len() as i64),
        chunk_size_bytes: chunk_bytes as i64,
        ..Default::default()
    };
    let upload_id = calls.initiate_upload(request).await.unwrap().upload_id;
    let sending = order.iter().map(|&number| {
        let data = &bytes[number * chunk_bytes..][..chunk_bytes];
        calls.upload_chunk(chunk(&upload_id, number as i32, data))
    });
    let sent: Vec<_> = stream::iter(sending).buffer_unordered(parallel).collect().await;
    for acked in sent {
        acked.unwrap();
    }
    let completed = calls.complete(&upload_id, Some(CHUNKS as i32)).await.unwrap();
    assert_eq!(completed.state(), UploadState::Completed);
    assert_eq!(completed.object.unwrap().sha256, sha256(bytes)[..]);
    Outcome { upload_id, filename: "hashed".into(), ended: Ended::Whole(bytes.to_vec()) }
}

fn shuffled(seed: u64) -> Vec<usize> {
    let mut order: Vec<_> = (0..CHUNKS).collect();
    Random::new(seed).shuffle(&mut order);
    order
}

#[test]
fn in_order_nothing_is_read_back() {
    let server = Server::start(Options::default());
    let bytes = noise(1, CHUNKS * STEP_BYTES);
    let in_order: Vec<_> = (0..CHUNKS).collect();
    let outcome = runtime()
        .block_on(async { upload(&Calls::to(&server.address()), &bytes, &in_order, 1).await });
    assert_eq!(reads_back(&server), 0);
    audit(server, &[outcome]);
}

#[test]
fn of_chunks_that_come_beside_each_other_hardly_any_is_read_back() {
    let server = Server::start(Options { memory_limit: "2G", ..Options::default() });
    let bytes = noise(2, CHUNKS * STEP_BYTES);
    let outcome = runtime().block_on(async {
        upload(&Calls::to(&server.address()), &bytes, &shuffled(2), CHUNKS).await
    });
    // Each chunk would be a step of its own. A machine that stands still for two seconds may cost some.
    let steps = reads_back(&server);
    assert!(steps <= CHUNKS as u64 / 4, "{steps} of {CHUNKS}");
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
