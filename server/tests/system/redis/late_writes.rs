//! A write that was given up may reach Redis long after: when its upload was swept, it does nothing.

use sluice_proto::{error::Reason, pb::AbortUploadRequest};
use sluice_test_servers::{Redis, RedisOptions};

use super::{assert_no_bodies, held_proxy::HeldProxy, spool_settings};
use crate::harness::{Calls, Options, Server, chunk, eventually, get, noise, runtime};

/// It goes with commands.
const SMALL_BYTES: usize = 1 << 10;
/// It has a connection of its own.
const LARGE_BYTES: usize = 1 << 20;
const SWEPT: &str =
    "request_duration_seconds_count{backend=\"redis\",op=\"sweep\",outcome=\"ok\"} 1";

struct Held {
    bytes: usize,
    /// What a connection has sent before anything of it is held.
    beyond_bytes: u64,
    /// Whether no body of its upload was written before.
    is_first: bool,
}

/// Holds a body until its upload was aborted and swept.
fn write_late(held: &Held) -> (Redis, Server) {
    let redis = Redis::start(RedisOptions::default());
    let proxy = HeldProxy::start(redis.address());
    let settings = spool_settings("local", &proxy.url());
    let server = Server::start(Options { settings, ..Options::default() });
    runtime().block_on(async {
        let calls = Calls::to(&server.address());
        let upload_id = calls.open("late").await;
        let bytes = noise(3, held.bytes);
        if !held.is_first {
            calls.upload_chunk(chunk(&upload_id, 1, &bytes)).await.unwrap();
        }
        proxy.hold_beyond(held.beyond_bytes);
        let failed = calls.upload_chunk(chunk(&upload_id, 2, &bytes)).await.unwrap_err();
        assert_eq!(failed.reason, Some(Reason::BackendDown), "{failed:?}");
        proxy.hold_no_more();
        let reason = String::new();
        calls.abort_upload(AbortUploadRequest { upload_id, reason }).await.unwrap();
    });
    eventually(|| {
        let page = get(&server.admin(), "/metrics").unwrap().body;
        (!page.contains(SWEPT)).then(|| format!("it isn't swept:\n{page}"))
    });
    assert_no_bodies(&redis);
    let late_bytes = proxy.release();
    assert!(late_bytes > 0, "nothing was held");
    (redis, server)
}

#[test]
fn a_small_body_that_comes_late_leaves_nothing() {
    let held = Held { bytes: SMALL_BYTES, beyond_bytes: 0, is_first: false };
    let (redis, _server) = write_late(&held);
    assert_no_bodies(&redis);
}

#[test]
fn a_large_body_that_comes_late_leaves_nothing() {
    // Its end is late, then all that has to do with it.
    for beyond_bytes in [LARGE_BYTES as u64 * 3 / 2, 0] {
        let held = Held { bytes: LARGE_BYTES, beyond_bytes, is_first: false };
        let (redis, _server) = write_late(&held);
        assert_no_bodies(&redis);
    }
}

/// What comes late then is the list itself: it holds nothing, and goes by itself.
#[test]
fn a_first_body_that_comes_late_leaves_nothing_for_long() {
    for bytes in [SMALL_BYTES, LARGE_BYTES] {
        let held = Held { bytes, beyond_bytes: 0, is_first: true };
        let (redis, _server) = write_late(&held);
        assert_eq!(redis.ask(&["--scan", "--pattern", "upload:*:chunks:*"]), "");
        eventually(|| {
            let left = redis.ask(&["--scan", "--pattern", "upload:*"]);
            (!left.is_empty()).then(|| format!("left: {left}"))
        });
    }
}
