//! With state in Redis all is as it is with state in the data directory.

use sluice_proto::pb::{AckLevel, ListUploadsRequest};

use super::{audit_all, settings, start};
use crate::harness::{Calls, Kind, Options, Pace, Server, chunk, runtime, work};

fn every_kind(address: &str) -> Vec<crate::harness::Outcome> {
    let kinds = Kind::ALL.len() as u64;
    (0..2 * kinds)
        .map(|seed| work(Kind::ALL[(seed % kinds) as usize], address, seed, Pace::default()))
        .collect()
}

#[test]
fn uploads_of_every_kind_end_as_they_should() {
    let (redis, server) = start();
    let outcomes = every_kind(&server.address());
    audit_all(&[&redis], server, &outcomes);
}

#[test]
fn an_upload_goes_on_after_a_kill() {
    let (redis, mut server) = start();
    let (runtime, address) = (runtime(), server.address());
    let upload_id = runtime.block_on(async {
        let calls = Calls::to(&address);
        let upload_id = calls.open("killed").await;
        let acked = calls.upload_chunk(chunk(&upload_id, 1, b"second")).await.unwrap();
        assert_eq!(acked.ack_level(), AckLevel::Spooled);
        upload_id
    });
    server.kill();
    server.restart();
    runtime.block_on(async {
        let calls = Calls::to(&address);
        let status = calls.status(&upload_id).await.unwrap();
        assert_eq!(status.upload.unwrap().received_bytes, 6);
        calls.upload_chunk(chunk(&upload_id, 0, b"first")).await.unwrap();
        let whole = calls.complete(&upload_id, Some(2)).await.unwrap();
        assert_eq!(whole.object.unwrap().size_bytes, 11);
        // One that ended is read again.
        let listed = calls.list_uploads(ListUploadsRequest::default()).await.unwrap();
        assert_eq!(listed.uploads.len(), 1);
    });
    server.terminate();
    server.restart();
    let status = runtime.block_on(async { Calls::to(&address).status(&upload_id).await.unwrap() });
    assert_eq!(status.upload.unwrap().stored_bytes, 11);
    drop(redis);
}

/// Who knows of uploads can't be changed while they have bytes here.
#[test]
fn nobody_takes_bytes_for_leftovers_whose_uploads_redis_knows() {
    let (_redis, mut server) = start();
    runtime().block_on(async {
        let calls = Calls::to(&server.address());
        let upload_id = calls.open("kept").await;
        calls.upload_chunk(chunk(&upload_id, 0, b"some")).await.unwrap();
    });
    server.terminate();
    let with_redis = std::mem::take(&mut server.options.settings);
    let ended = server.try_restart().expect("it doesn't start");
    assert!(!ended.success() && server.log().contains("known to redis"), "{}", server.log());
    server.options.settings = with_redis;
    server.restart();
    assert!(!server.data().leftovers().is_empty());
}

#[test]
fn a_password_comes_from_its_file() {
    let redis = sluice_test_servers::Redis::start(sluice_test_servers::RedisOptions {
        password: "open sesame",
        ..Default::default()
    });
    let mut server = Server::prepare(Options {
        settings: settings(&format!("redis://{}", redis.address())),
        ..Options::default()
    });
    let path = server.scratch().join("password");
    std::fs::write(&path, "open sesame\n").unwrap();
    let ended = server.try_restart().expect("it isn't let in");
    let log = server.log();
    assert!(!ended.success() && log.contains("NOAUTH"), "{log}");
    server.environment.push(("SLUICE_REDIS__PASSWORD_FILE".into(), path.display().to_string()));
    server.restart();
    assert!(!server.log().contains("sesame"));
}
