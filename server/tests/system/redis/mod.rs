//! Servers whose uploads are known to Redis, a real one each.

mod cluster;
#[cfg(feature = "failpoints")]
mod crash_matrix;
mod damaged;
mod goes_away;
mod layers;
mod loses_part;
mod spool;
mod starts;
mod tls;

use sluice_test_servers::{Redis, RedisOptions};

use crate::harness::{Options, Outcome, Server, audit};

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
    audit(server, outcomes);
    for redis in redis {
        let live = redis.ask(&["--scan", "--pattern", "sluice:live:*"]);
        assert_eq!(live, "", "uploads that aren't over");
        for state in redis.ask(&["--scan", "--pattern", "upload:*:state"]).lines() {
            let stands = redis.ask(&["hmget", state, "state", "cleanup_pending"]);
            let ended = ["COMPLETED", "FAILED", "ABORTED", "EXPIRED"];
            let (name, pending) = stands.split_once('\n').unwrap();
            assert!(ended.contains(&name) && pending == "0", "{state}: {stands}");
        }
    }
}
