//! The crash matrix with state in Redis: whatever was recorded is found again.

use sluice_server::boundary::{BOUNDARIES, REDIS_BOUNDARIES};
use sluice_test_servers::Redis;

use super::{settings, spool_settings};
use crate::crash_matrix::each_boundary;

#[test]
fn a_server_dies_at_each_boundary_and_again_while_it_recovers() {
    let redis = Redis::start(Default::default());
    each_boundary("crash_matrix, redis", BOUNDARIES, &settings(&redis.url()));
    let live = redis.ask(&["--scan", "--pattern", "sluice:live:*"]);
    assert_eq!(live, "", "uploads that aren't over");
}

#[test]
fn with_bodies_there_too_none_is_left() {
    let redis = Redis::start(Default::default());
    let boundaries = [BOUNDARIES, REDIS_BOUNDARIES].concat();
    each_boundary("crash_matrix, spool", &boundaries, &spool_settings("redis", &redis.url()));
    for pattern in ["sluice:live:*", "upload:*:chunks:*", "upload:*:bodies"] {
        assert_eq!(redis.ask(&["--scan", "--pattern", pattern]), "");
    }
}
