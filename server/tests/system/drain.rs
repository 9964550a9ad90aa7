//! SIGTERM: no new work, what is under way ends, state is on disk, exit 0; a restart goes on.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use prost::Message as _;
use sluice_proto::error::Reason;
use sluice_proto::pb;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::harness::{
    Calls, Ended, Kind, Options, Outcome, Pace, RawCall, Server, audit, chunk, eventually, get,
    message, noise, runtime, work,
};

const GOAWAY: u8 = 7;
const CHUNK_BYTES: usize = 300_000;

#[test]
fn a_chunk_under_way_is_acked_and_nothing_new_begins() {
    let mut server = Server::start(Options::default());
    let (runtime, bytes) = (runtime(), noise(1, 2 * CHUNK_BYTES));
    let address = server.address();
    let calls = {
        let _in_runtime = runtime.enter();
        Calls::to(&address)
    };
    let upload_id = runtime.block_on(calls.open("drained"));
    let body = message(0, &chunk(&upload_id, 0, &bytes[..CHUNK_BYTES]).encode_to_vec());
    let half = runtime.block_on(RawCall::open(&address, "UploadChunk", &[]));
    half.send(body[..body.len() / 2].to_vec());
    eventually(|| {
        let page = get(&server.admin(), "/status.json")?.body;
        let status: serde_json::Value = serde_json::from_str(&page).unwrap();
        let received = status["chunks"]["received_bytes"].as_u64().unwrap();
        (received == 0).then(|| "the first half isn't there".to_owned())
    });

    let mut watcher = Watcher::connect(&address);
    server.signal_terminate();
    watcher.wait_for(GOAWAY);
    let ready = get(&server.admin(), "/readyz").expect("the admin page answers while it drains");
    assert_eq!((ready.code, ready.body.as_str()), (503, "draining\n"));
    let refused = runtime.block_on(calls.initiate_upload(pb::InitiateUploadRequest {
        filename: "late".into(),
        ..Default::default()
    }));
    // Or nobody answers any more, which says the same.
    let refused = refused.expect_err("nothing new begins");
    assert!(matches!(refused.reason, Some(Reason::Draining) | None), "{refused:?}");

    half.send(body[body.len() / 2..].to_vec());
    let acked = runtime.block_on(half.end());
    assert_eq!(acked.refusal.code, tonic::Code::Ok as i32, "{:?}", acked.refusal);
    let ended = server.wait();
    assert!(ended.success(), "{ended}");

    server.restart();
    let last =
        pb::UploadChunkRequest { is_last: true, ..chunk(&upload_id, 1, &bytes[CHUNK_BYTES..]) };
    let calls = {
        let _in_runtime = runtime.enter();
        Calls::to(&address)
    };
    let acked = runtime.block_on(calls.upload_chunk(last)).unwrap();
    assert_eq!((acked.received_count, acked.state()), (2, pb::UploadState::Completed));
    let ended = Ended::Whole(bytes);
    audit(server, &[Outcome { upload_id, filename: "drained".into(), ended }]);
}

#[test]
fn restarts_under_load_lose_nothing() {
    let mut server = Server::start(Options::default());
    let pace = Pace(Duration::from_millis(10));
    let uploads: Vec<_> = (0..24)
        .map(|seed| {
            let address = server.address();
            let kind = Kind::ALL[seed as usize % Kind::ALL.len()];
            thread::spawn(move || work(kind, &address, seed, pace))
        })
        .collect();
    for _ in 0..5 {
        thread::sleep(Duration::from_millis(150));
        server.terminate();
        server.restart();
    }
    let outcomes: Vec<Outcome> = uploads.into_iter().map(|upload| upload.join().unwrap()).collect();
    audit(server, &outcomes);
}

#[test]
fn a_chunk_that_never_ends_does_not_hold_up_the_end() {
    let mut server = Server::start(Options::default());
    let (runtime, address, bytes) = (runtime(), server.address(), noise(2, CHUNK_BYTES));
    let upload_id = runtime.block_on(async { Calls::to(&address).open("stuck").await });
    let body = message(0, &chunk(&upload_id, 0, &bytes).encode_to_vec());
    let stuck = runtime.block_on(RawCall::open(&address, "UploadChunk", &[]));
    stuck.send(body[..body.len() / 2].to_vec());
    server.terminate();
    server.restart();
    runtime.block_on(async {
        let calls = Calls::to(&address);
        let upload = calls.status(&upload_id).await.unwrap().upload.unwrap();
        assert_eq!((upload.received_count, upload.received_bytes), (0, 0));
        let last = pb::UploadChunkRequest { is_last: true, ..chunk(&upload_id, 0, &bytes) };
        calls.upload_chunk(last).await.unwrap();
    });
    drop(stuck);
    let ended = Ended::Whole(bytes);
    audit(server, &[Outcome { upload_id, filename: "stuck".into(), ended }]);
}

#[test]
fn a_second_signal_does_not_wait() {
    let mut server = Server::start(Options::default());
    let (runtime, address) = (runtime(), server.address());
    let upload_id = runtime.block_on(async { Calls::to(&address).open("stuck").await });
    // A chunk that never comes to its end.
    let body = message(0, &chunk(&upload_id, 0, &[0; CHUNK_BYTES]).encode_to_vec());
    let stuck = runtime.block_on(RawCall::open(&address, "UploadChunk", &[]));
    stuck.send(body[..body.len() / 2].to_vec());
    let mut watcher = Watcher::connect(&address);
    server.signal_terminate();
    watcher.wait_for(GOAWAY);
    assert!(server.try_wait().is_none(), "it waits for the chunk");
    server.signal_terminate();
    server.wait();
}

/// An HTTP/2 connection of which only the frames' types are read.
struct Watcher(TcpStream);

impl Watcher {
    fn connect(address: &str) -> Self {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        // The preface and empty settings.
        stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").unwrap();
        let mut watcher = Self(stream);
        assert_eq!(watcher.next_frame(), Some(4), "settings come first");
        watcher
    }

    fn wait_for(&mut self, kind: u8) {
        while let Some(next) = self.next_frame() {
            if next == kind {
                return;
            }
        }
        panic!("the connection ended without a frame of type {kind}");
    }

    fn next_frame(&mut self) -> Option<u8> {
        let mut head = [0; 9];
        self.0.read_exact(&mut head).ok()?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        self.0.read_exact(&mut vec![0; length as usize]).ok()?;
        Some(head[3])
    }
}

/// Calls of services that aren't the contract's, and have ended.
fn other_calls_ended(server: &Server) -> u64 {
    let page = get(&server.admin(), "/status.json").unwrap().body;
    let status: serde_json::Value = serde_json::from_str(&page).unwrap();
    status["rpc"]["other"]["count"].as_u64().unwrap_or(0)
}

/// It would outlive its client, and an open one would hold up every end.
#[test]
fn a_health_watch_ends_with_its_client_and_with_the_server() {
    let mut server = Server::start(Options::default());
    let runtime = runtime();
    let url = format!("http://{}", server.address());
    let watch = || {
        runtime.block_on(async {
            let channel = tonic::transport::Endpoint::from_shared(url.clone()).unwrap();
            let mut health = HealthClient::new(channel.connect_lazy());
            let request = HealthCheckRequest { service: String::new() };
            let mut watched = health.watch(request).await.unwrap().into_inner();
            let first = watched.message().await.unwrap().unwrap();
            assert_eq!(first.status(), ServingStatus::Serving);
            watched
        })
    };
    drop(watch());
    drop(watch());
    eventually(|| {
        let ended = other_calls_ended(&server);
        (ended < 2).then(|| format!("{ended} of two watches ended whose clients are gone"))
    });

    let mut watched = watch();
    server.signal_terminate();
    let last = runtime.block_on(async {
        let mut last = None;
        while let Ok(Some(told)) = watched.message().await {
            last = Some(told.status());
        }
        last
    });
    assert_eq!(last, Some(ServingStatus::NotServing));
    assert!(server.wait().success());
}
