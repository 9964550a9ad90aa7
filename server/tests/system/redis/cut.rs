//! The link to Redis is cut: no reset, no end, only silence; and then it is mended.

use std::{
    thread,
    time::{Duration, Instant},
};

use sluice_proto::error::Reason;
use sluice_test_servers::{Place, Redis, RedisOptions};

use super::{audit_all, goes_away::through, spool_settings};
use crate::harness::{
    Calls, Ended, Link, Options, Outcome, Persist, Server, chunk, noise, runtime,
};

/// Longer than the lease of the node lasts.
const OUTAGE: Duration = Duration::from_secs(12);

fn behind(link: &Link) -> RedisOptions {
    let place = Place { namespace: link.namespace, ip: link.there.parse().unwrap() };
    RedisOptions { place: Some(place), ..RedisOptions::default() }
}

#[test]
fn uploads_go_on_when_it_is_mended() {
    let Some(link) = Link::or_skip("sluice-redis", "10.213.47.5", "10.213.47.6") else { return };
    through(behind(&link), |_, _| {
        link.cut();
        thread::sleep(OUTAGE);
        link.mend();
    });
}

#[test]
fn whoever_sends_meanwhile_is_told_to_come_back() {
    let Some(link) = Link::or_skip("sluice-redis2", "10.213.47.9", "10.213.47.10") else { return };
    let redis = Redis::start(behind(&link));
    let settings = spool_settings("redis", &redis.url());
    let server = Server::start(Options { settings, ..Options::default() });
    let (runtime, bytes) = (runtime(), noise(4, 300_000));
    let (calls, upload_id) = runtime.block_on(async {
        let calls = Calls::to(&server.address());
        let upload_id = calls.open("waits").await;
        calls.upload_chunk(chunk(&upload_id, 1, &bytes[200_000..])).await.unwrap();
        (calls, upload_id)
    });
    let first = chunk(&upload_id, 0, &bytes[..200_000]);
    link.cut();
    // The first finds the connection that there was, the next none.
    for _ in 0..2 {
        let began = Instant::now();
        let told = runtime.block_on(calls.upload_chunk(first.clone())).unwrap_err();
        println!("told {:?} after {:?}", told.reason, began.elapsed());
        assert_eq!(told.reason, Some(Reason::BackendDown), "{told:?}");
        assert!(told.retry_after.is_some(), "{told:?}");
    }
    let status = runtime.block_on(calls.status(&upload_id)).unwrap();
    assert_eq!(status.upload.unwrap().received_bytes, 100_000, "it is in memory");
    link.mend();
    runtime.block_on(async {
        let persist = Persist::new();
        persist.call(async || calls.upload_chunk(first.clone()).await).await.unwrap();
        persist.call(async || calls.complete(&upload_id, Some(2)).await).await.unwrap();
    });
    let ended = Ended::Whole(bytes);
    audit_all(&[&redis], server, &[Outcome { upload_id, filename: "waits".into(), ended }]);
}
