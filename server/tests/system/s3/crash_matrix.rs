//! The crash matrix with objects in S3: each upload ends as one object there, and leaves nothing.

use sluice_server::boundary::{BOUNDARIES, REDIS_BOUNDARIES, S3_BOUNDARIES};
use sluice_test_servers::{Redis, RedisOptions};

use super::{Seaweed, shared_state};
use crate::crash_matrix::each_boundary_with;

/// What only comes by with files that objects are gathered in.
const ON_DISK: [&str; 3] = ["place.", "seal.", "remove."];
/// What small objects don't come by that go in one PUT.
const OF_PARTS: [&str; 4] = ["s3.begin.", "s3.part.", "s3.complete.", "s3.unstore."];
const BY_PARTS: &str = "single_put_bytes = \"0\"\n";
/// What objects don't come by that go by parts.
const OF_PUTS: [&str; 1] = ["s3.put."];

fn but(boundaries: &[&'static str], without: &[&str]) -> Vec<&'static str> {
    let is_there = |boundary: &&str| !without.iter().any(|begin| boundary.starts_with(begin));
    boundaries.iter().copied().filter(is_there).collect()
}

fn each(store: &Seaweed, name: &str, boundaries: &[&'static str], settings: &str) {
    let audit = |server, outcomes: &[_]| store.audit(server, outcomes);
    each_boundary_with(name, boundaries, settings, &audit);
}

#[test]
fn a_server_dies_at_each_boundary_and_again_while_it_recovers() {
    let boundaries = [but(BOUNDARIES, &ON_DISK), but(S3_BOUNDARIES, &OF_PARTS)].concat();
    let store = Seaweed::start();
    each(&store, "crash_matrix, s3", &boundaries, &store.settings("disk", ""));
}

#[test]
fn with_objects_by_parts_no_part_is_left() {
    let boundaries = but(S3_BOUNDARIES, &OF_PUTS);
    let store = Seaweed::start();
    each(&store, "crash_matrix, s3 by parts", &boundaries, &store.settings("disk", BY_PARTS));
}

#[test]
fn with_state_in_redis_too_nothing_is_left_there() {
    let boundaries = [but(BOUNDARIES, &ON_DISK), but(S3_BOUNDARIES, &OF_PUTS)].concat();
    let (store, redis) = (Seaweed::start(), Redis::start(RedisOptions::default()));
    let settings = shared_state::settings(&store, &redis, "disk", BY_PARTS);
    each(&store, "crash_matrix, s3 and redis", &boundaries, &settings);
    shared_state::assert_swept(&redis);
}

#[test]
fn with_all_that_waits_in_redis_nothing_is_left_there() {
    let boundaries = [REDIS_BOUNDARIES, &but(S3_BOUNDARIES, &OF_PUTS)].concat();
    let (store, redis) = (Seaweed::start(), Redis::start(RedisOptions::default()));
    let settings = shared_state::settings(&store, &redis, "redis", BY_PARTS);
    each(&store, "crash_matrix, s3 and redis alone", &boundaries, &settings);
    shared_state::assert_swept(&redis);
    for pattern in ["upload:*:chunks:*", "upload:*:bodies"] {
        assert_eq!(redis.ask(&["--scan", "--pattern", pattern]), "");
    }
}
