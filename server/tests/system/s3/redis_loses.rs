//! Bodies that wait in Redis and are lost while they are sent: the client is asked for them again.

use sluice_proto::{
    error::Reason,
    pb::{CompleteUploadResponse, UploadState},
};
use sluice_test_servers::{
    Redis, RedisOptions,
    s3_faulty::{Act, Fault, FaultyS3, Operation},
};

use super::faulty::{BY_PARTS, CHUNK_BYTES, LARGE_BYTES, audit_by_stock, send, start, whole};
use crate::harness::{Calls, Persist, Server, checked_chunk, eventually, noise, runtime};

fn start_with_redis() -> (Redis, FaultyS3, Server) {
    let redis = Redis::start(RedisOptions::default());
    let (s3, server) = start("redis", &format!("{BY_PARTS}[redis]\nurl = \"{}\"\n", redis.url()));
    (redis, s3, server)
}

/// Sends again what the server asks for, until it asks for nothing more. How many chunks those were.
async fn send_again(calls: &Calls, id: &str, bytes: &[u8]) -> usize {
    let chunks: Vec<_> = bytes.chunks(CHUNK_BYTES).collect();
    let mut sent = 0;
    loop {
        let complete = async || calls.complete(id, Some(chunks.len() as i32)).await;
        let refused = match Persist::new().call(complete).await {
            Ok(done) if is_over(&done) => return sent,
            Ok(_) => continue,
            Err(refused) => refused,
        };
        assert_eq!(refused.reason, Some(Reason::MissingChunks), "{refused:?}");
        let status = calls.status(id).await.unwrap();
        let missing = status.missing_ranges.iter().flat_map(|range| range.first..=range.last);
        for number in missing {
            let chunk = checked_chunk(id, number, chunks[number as usize], 2);
            Persist::new().call(async || calls.upload_chunk(chunk.clone()).await).await.unwrap();
            sent += 1;
        }
    }
}

fn is_over(done: &CompleteUploadResponse) -> bool {
    done.state() == UploadState::Completed
}

/// `lose` takes something out of Redis while the store reads nothing of the first part.
fn loses(name: &str, lose: impl Fn(&Redis, &str)) {
    let (redis, s3, server) = start_with_redis();
    let held = s3.inject(Fault::new(Act::Hold).on(Operation::UploadPart).part(1).always());
    let bytes = noise(1, LARGE_BYTES);
    let runtime = runtime();
    let _inside = runtime.enter();
    let calls = Calls::to(&server.address());
    let (id, _) = runtime.block_on(send(&calls, name, &bytes));
    s3.until_struck(held, 1);
    lose(&redis, &id);
    s3.heal(held);
    let again = runtime.block_on(send_again(&calls, &id, &bytes));
    assert!(again > 0, "nothing was asked for again");
    audit_by_stock(&s3, server, &[whole(id, name, bytes)]);
    eventually(|| {
        let left = redis.ask(&["--scan", "--pattern", "upload:*"]);
        (!left.is_empty()).then(|| format!("left: {left}"))
    });
}

/// Of the first part only its end is gone, which is read last.
#[test]
fn one_body_that_is_lost_while_its_part_is_sent_comes_again() {
    loses("one", |redis, id| {
        let key = format!("upload:{{{id}}}:chunks:2");
        assert_eq!(redis.ask(&["del", &key]), "1");
    });
}

#[test]
fn all_bodies_that_are_lost_while_parts_are_sent_come_again() {
    loses("all", |redis, _| {
        assert_eq!(redis.ask(&["flushall"]), "OK");
    });
}
