//! Uploads go on while a master of Redis Cluster dies, and while slots move.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use sluice_proto::pb::UploadState;
use sluice_test_servers::{Redis, RedisCluster, RedisOptions};

use super::{assert_no_bodies, audit_all, options, spool_settings};
use crate::harness::{
    Calls, Ended, Options, Outcome, Pace, Persist, Server, chunk, eventually, noise, runtime,
    work_until,
};

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

/// What is there of an upload lies at one master, what comes to be at another.
#[test]
fn bodies_of_every_length_are_written_while_their_slot_moves() {
    let cluster = RedisCluster::start(3, 0, RedisOptions::default());
    let settings = spool_settings("local", &cluster.url());
    let server = Server::start(Options { settings, ..Options::default() });
    let parts: Vec<_> = [100, 1_000, 200_000, 1_000, 200_000]
        .into_iter()
        .enumerate()
        .map(|(nth, bytes)| noise(nth as u64, bytes))
        .collect();
    let upload_id = runtime().block_on(async {
        let calls = Calls::to(&server.address());
        let upload_id = calls.open("moves").await;
        let put = async |number: usize| {
            let again =
                async || calls.upload_chunk(chunk(&upload_id, number as i32, &parts[number])).await;
            Persist::new().call(again).await.unwrap();
        };
        let list = format!("upload:{{{upload_id}}}:bodies");
        let next = (cluster.master_of(&list) + 1) % 3;
        put(1).await;
        cluster.begin_to_move_slot(&list, next);
        put(2).await;
        put(3).await;
        cluster.move_slot(&list, next);
        put(4).await;
        put(0).await;
        let done = Persist::new().call(async || calls.complete(&upload_id, Some(5)).await).await;
        assert_eq!(done.unwrap().state(), UploadState::Completed);
        upload_id
    });
    let ended = Ended::Whole(parts.concat());
    let nodes: Vec<&Redis> = cluster.nodes.iter().collect();
    audit_all(&nodes, server, &[Outcome { upload_id, filename: "moves".into(), ended }]);
    nodes.into_iter().for_each(assert_no_bodies);
}
