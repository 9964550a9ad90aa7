//! Uploads go on while a master of Redis Cluster dies, and while slots move.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use sluice_test_servers::{Redis, RedisCluster, RedisOptions};

use super::{audit_all, options};
use crate::harness::{Pace, Server, eventually, work_until};

const CALM: Duration = Duration::from_millis(500);
const PACE: Pace = Pace(Duration::from_millis(10));

#[test]
fn a_master_dies_amid_uploads() {
    let mut cluster = RedisCluster::start(3, 1, RedisOptions::default());
    let server = Server::start(options(&cluster.url()));
    let stop = Arc::new(AtomicBool::new(false));
    let uploaders: Vec<_> = (0..4_u64)
        .map(|number| {
            let (address, stop) = (server.address(), Arc::clone(&stop));
            thread::spawn(move || work_until(&stop, &address, number << 32 | number, PACE))
        })
        .collect();
    thread::sleep(CALM);
    let dead = cluster.master_of("{a}");
    cluster.nodes[dead].kill();
    let masters = || -> Vec<&Redis> {
        let alive = cluster.nodes.iter().enumerate().filter(|(nth, _)| *nth != dead);
        let alive = alive.map(|(_, node)| node);
        alive.filter(|node| node.ask(&["role"]).starts_with("master")).collect()
    };
    // Its replica takes over after some seconds.
    eventually(|| (masters().len() < 3).then(|| "no replica has taken over".to_owned()));
    thread::sleep(CALM);
    stop.store(true, Ordering::Relaxed);
    let mut outcomes = Vec::new();
    for uploader in uploaders {
        outcomes.extend(uploader.join().expect("an uploader"));
    }
    println!("{} uploads", outcomes.len());
    audit_all(&masters(), server, &outcomes);
}
