//! What a server is short of, or can't do just now.

use std::fs;
use std::net::TcpStream;

use futures_util::future::join_all;
use prost::Message as _;
use rusqlite::Connection;
use sluice_proto::error::Reason;
use sluice_proto::pb::{self, UploadState};

use super::{Row, Scene, assert_all, row};
use crate::harness::{
    Calls, Options, RawCall, Server, chunk, eventually, get, message, noise, runtime,
};

/// On one shard, so that all uploads have one owner.
fn start(memory_limit: &'static str, settings: &str) -> Server {
    let cpus = Options::default().cpus.split(',').next().unwrap().to_owned();
    Server::start(Options { cpus, memory_limit, settings: settings.into(), ..Options::default() })
}

fn named(filename: &str) -> pb::InitiateUploadRequest {
    pb::InitiateUploadRequest { filename: filename.into(), ..Default::default() }
}

async fn provoke_all(server: &Server, scene: Scene, rows: &[Row]) {
    assert_all(scene, rows);
    for row in rows {
        row.provoke(&server.address()).await;
    }
}

#[test]
fn too_little_memory_is_told_in_full() {
    let settings = "spool = \"memory\"\nlimits.admission_wait = \"50 ms\"";
    let server = start("80M", settings);
    runtime().block_on(async {
        let calls = Calls::to(&server.address());
        let upload_id = calls.open("ahead").await;
        // Bytes ahead of the front may take half of what there is for chunks: 7.5 MiB.
        calls.upload_chunk(chunk(&upload_id, 1, &noise(1, 4 << 20))).await.unwrap();
        let safe =
            pb::InitiateUploadRequest { ack_level: pb::AckLevel::Spooled.into(), ..named("safe") };
        let rows = [
            row(
                "UploadChunk",
                &chunk(&upload_id, 2, &noise(2, 4 << 20)),
                (Reason::Budget, ""),
                &[],
            ),
            row("InitiateUpload", &safe, (Reason::AckUnavailable, "ack_level"), &[]),
        ];
        provoke_all(&server, Scene::LittleMemory, &rows).await;
        // The chunk at the front gets in.
        calls.upload_chunk(chunk(&upload_id, 0, b"front")).await.unwrap();
    });
}

#[test]
fn too_little_room_is_told_in_full() {
    let server = start("512M", "limits.uploads_max = 1\nlimits.spool_limit_bytes = \"1M\"");
    runtime().block_on(async {
        let calls = Calls::to(&server.address());
        let upload_id = calls.open("ahead").await;
        // A store has a sixteenth of it.
        calls.upload_chunk(chunk(&upload_id, 1, &noise(1, 60_000))).await.unwrap();
        let rows = [
            row(
                "UploadChunk",
                &chunk(&upload_id, 2, &noise(2, 60_000)),
                (Reason::SpoolFull, ""),
                &[],
            ),
            row("InitiateUpload", &named("more"), (Reason::TooManyUploads, ""), &[("limit", "1")]),
        ];
        provoke_all(&server, Scene::LittleRoom, &rows).await;
    });
}

#[test]
fn a_disk_that_refuses_is_told_in_full() {
    let server = Server::start(Options::default());
    runtime().block_on(async {
        let calls = Calls::to(&server.address());
        let address = server.address();
        let (whole, open) = (calls.open("whole").await, calls.open("open").await);
        calls.upload_chunk(chunk(&whole, 0, b"some")).await.unwrap();
        // A file where a folder belongs: whatever user runs this, nothing can be made in it.
        let root = server.data().root().to_owned();
        fs::remove_dir(root.join("objects")).unwrap();
        fs::write(root.join("objects"), "in the way").unwrap();
        let stores: Vec<_> = fs::read_dir(root.join("partial")).unwrap().collect();
        for store in stores {
            let store = store.unwrap().path();
            fs::remove_dir_all(&store).unwrap();
            fs::write(store, "in the way").unwrap();
        }
        let last = pb::UploadChunkRequest { is_last: true, ..chunk(&whole, 0, b"some") };
        let call = RawCall::open(&address, "UploadChunk", &[("grpc-timeout", "500m")]).await;
        call.send(message(0, &last.encode_to_vec()));
        assert_eq!(call.end().await.refusal.code, 0, "it is in, whatever becomes of the end");
        let upload = calls.status(&whole).await.unwrap().upload.unwrap();
        assert_eq!(upload.state(), UploadState::Completing);
        let abort = pb::AbortUploadRequest { upload_id: whole, reason: String::new() };
        let rows = [
            row("AbortUpload", &abort, (Reason::UploadCompleting, ""), &[]),
            row("UploadChunk", &chunk(&open, 0, b"some"), (Reason::BackendDown, ""), &[]),
        ];
        provoke_all(&server, Scene::BrokenDisk, &rows).await;
    });
}

/// Somebody else holds its lock for longer than it is waited for: five seconds.
#[test]
fn a_database_that_refuses_is_told_in_full_and_asked_again() {
    let server = Server::start(Options::default());
    runtime().block_on(async {
        let calls = Calls::to(&server.address());
        let address = server.address();
        let node_id = "node".to_owned();
        let request = pb::InitiateUploadRequest { node_id, ..named("open") };
        let upload_id = calls.initiate_upload(request.clone()).await.unwrap().upload_id;
        let lock = Connection::open(server.data().root().join("metadata.db")).unwrap();
        lock.execute_batch("BEGIN IMMEDIATE").unwrap();
        let drive = pb::CreateDriveRequest { drive_id: "d".into(), ..Default::default() };
        let abort = pb::AbortUploadRequest { upload_id, reason: String::new() };
        let down = (Reason::BackendDown, "");
        let rows = [
            row("NodeService/ListNodes", &pb::ListNodesRequest::default(), down, &[]),
            row("ListUploads", &pb::ListUploadsRequest::default(), down, &[]),
            row("DriveService/CreateDrive", &drive, down, &[]),
            row("InitiateUpload", &named("new"), down, &[]),
            row("AbortUpload", &abort, down, &[]),
        ];
        join_all(rows.iter().map(|row| row.provoke(&address))).await;
        lock.execute_batch("ROLLBACK").unwrap();
        calls.abort_upload(abort.clone()).await.unwrap();
        calls.create_drive(drive).await.unwrap();
        let again = calls.initiate_upload(request).await.unwrap();
        assert_ne!(again.upload_id, abort.upload_id);
    });
}

#[test]
fn a_server_that_ends_tells_so_in_full() {
    let mut server = start("512M", "");
    let runtime = runtime();
    let late = row("InitiateUpload", &named("late"), (Reason::Draining, ""), &[]);
    assert_all(Scene::Ending, std::slice::from_ref(&late));
    // It was there before the end began, so it is answered; but nothing new begins.
    let call = runtime.block_on(RawCall::open(&server.address(), "InitiateUpload", &[]));
    let body = message(0, &late.request);
    call.send(body[..body.len() - 1].to_vec());
    eventually(|| {
        let metrics = get(&server.admin(), "/metrics")?.body;
        let in_flight = "sluice_rpc_server_in_flight{method=\"InitiateUpload\"} 1";
        (!metrics.contains(in_flight)).then(|| "the call hasn't begun".to_owned())
    });
    server.signal_terminate();
    // Its shard stops to listen as it begins to drain.
    eventually(|| {
        let connected = TcpStream::connect(server.address());
        connected.is_ok().then(|| "it listens still".to_owned())
    });
    call.send(body[body.len() - 1..].to_vec());
    late.assert_told(&runtime.block_on(call.end()));
    assert!(server.wait().success());
}

/// Ten looks at the sender, one a second.
#[test]
fn a_sender_that_stalls_is_told_in_full() {
    let server = start("512M", "limits.min_chunk_rate = \"1M\"");
    runtime().block_on(async {
        let calls = Calls::to(&server.address());
        let upload_id = calls.open("stalled").await;
        let stalled = row(
            "UploadChunk",
            &chunk(&upload_id, 0, &noise(1, 1 << 20)),
            (Reason::Rate, ""),
            &[("min_bytes_per_second", "1048576")],
        );
        assert_all(Scene::Stalled, std::slice::from_ref(&stalled));
        let call = RawCall::open(&server.address(), stalled.method, &[]).await;
        call.send(message(0, &stalled.request)[..1_000].to_vec());
        stalled.assert_told(&call.refused().await);
    });
}
