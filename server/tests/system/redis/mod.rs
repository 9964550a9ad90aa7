//! Servers whose uploads are known to Redis, a real one each.

mod cluster;
#[cfg(feature = "failpoints")]
mod crash_matrix;
mod cut;
mod damaged;
#[cfg(feature = "failpoints")]
mod forgets;
mod goes_away;
mod held_proxy;
mod late_writes;
mod layers;
mod loading;
mod loses_part;
mod spool;
mod starts;
mod tls;

use sluice_test_servers::{Redis, RedisOptions};

use crate::harness::{Options, Outcome, Server, audit, eventually};

/// Settings of a server that keeps its state there.
fn settings(url: &str) -> String {
    format!("coordination = \"redis\"\n[redis]\nurl = \"{url}\"\ntimeout = \"1 s\"\n")
}

/// The same of one whose bodies lie there, and its state if `coordination` says so.
fn spool_settings(coordination: &str, url: &str) -> String {
    let spool = format!("spool = \"redis\"\n{}", settings(url));
    spool.replace("coordination = \"redis\"", &format!("coordination = \"{coordination}\""))
}

fn options(url: &str) -> Options {
    Options { settings: settings(url), ..Options::default() }
}

fn start() -> (Redis, Server) {
    let redis = Redis::start(RedisOptions::default());
    let server = Server::start(options(&redis.url()));
    (redis, server)
}

/// All uploads have ended as their clients were told, and Redis knows of none that hasn't.
#[track_caller]
fn audit_all(redis: &[&Redis], server: Server, outcomes: &[Outcome]) {
    for redis in redis {
        // While it runs: what Redis lost is put right after clients were answered.
        eventually(|| {
            let live = redis.ask(&["--scan", "--pattern", "sluice:live:*"]);
            (!live.is_empty()).then(|| format!("uploads that aren't over: {live}"))
        });
    }
    audit(server, outcomes);
    for redis in redis {
        for state in redis.ask(&["--scan", "--pattern", "upload:*:state"]).lines() {
            let stands = redis.ask(&["hmget", state, "state", "cleanup_pending"]);
            let ended = ["COMPLETED", "FAILED", "ABORTED", "EXPIRED"];
            let (name, pending) = stands.split_once('\n').unwrap();
            assert!(ended.contains(&name) && pending == "0", "{state}: {stands}");
        }
    }
}

/// No body is left, nor any list of them.
#[track_caller]
fn assert_no_bodies(redis: &Redis) {
    for pattern in ["upload:*:chunks:*", "upload:*:bodies"] {
        assert_eq!(redis.ask(&["--scan", "--pattern", pattern]), "");
    }
}
