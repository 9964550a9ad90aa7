//! Every set of layers takes the same uploads; what differs is what survives.

use std::sync::Arc;

use sluice_proto::client::{Client, Source, UploadOptions, UploadReport};
use sluice_proto::pb::{self, AckLevel};

use crate::harness::{
    Calls, Kind, Options, Outcome, Pace, Server, audit, chunk, noise, runtime, work,
};

fn server(settings: &str) -> Server {
    Server::start(Options { settings: settings.to_owned(), ..Options::default() })
}

/// Uploads of every kind, one after the other.
fn every_kind(server: &Server) -> Vec<Outcome> {
    let address = server.address();
    (0..14)
        .map(|seed| {
            work(Kind::ALL[seed as usize % Kind::ALL.len()], &address, seed, Pace::default())
        })
        .collect()
}

/// What an ack of this server says that the chunk survives.
fn ack_level(server: &Server) -> AckLevel {
    let acked = runtime().block_on(async {
        let calls = Calls::to(&server.address());
        let upload_id = calls.open("acked").await;
        let acked = calls.upload_chunk(chunk(&upload_id, 0, b"some")).await.unwrap();
        let reason = String::new();
        calls.abort_upload(pb::AbortUploadRequest { upload_id, reason }).await.unwrap();
        acked
    });
    acked.ack_level()
}

#[test]
fn with_power_durability_all_is_stored() {
    let server = server("durability = \"power\"");
    let outcomes = every_kind(&server);
    assert_eq!(ack_level(&server), AckLevel::Spooled);
    audit(server, &outcomes);
}

#[test]
fn with_a_spool_in_memory_all_is_stored_and_acks_say_so() {
    let mut server = server("spool = \"memory\"");
    let outcomes = every_kind(&server);
    assert_eq!(ack_level(&server), AckLevel::Received);
    runtime().block_on(async {
        let request = pb::InitiateUploadRequest {
            filename: "a".into(),
            ack_level: AckLevel::Spooled.into(),
            ..Default::default()
        };
        let refused = Calls::to(&server.address()).initiate_upload(request).await.unwrap_err();
        assert_eq!(refused.reason, Some(sluice_proto::error::Reason::AckUnavailable));
        assert_eq!(refused.field.as_deref(), Some("ack_level"));
    });
    // An orderly end takes nothing of what is stored along.
    server.terminate();
    server.restart();
    audit(server, &outcomes);
}

#[test]
fn without_a_sha256_the_crc_of_the_whole_is_left() {
    let server = server("[integrity]\nsha256 = \"off\"");
    let bytes = noise(3, 700_000);
    let object = put(&server, &bytes);
    assert!(object.sha256.is_empty(), "{object:?}");
    assert_eq!(object.size_bytes as usize, bytes.len());
    let stored = server.data().objects();
    assert!(std::fs::read(&stored[0].path).unwrap() == bytes);
}

#[test]
fn with_discard_the_bytes_are_summed_and_dropped() {
    let server = server("objects = \"discard\"");
    let object = put(&server, &noise(4, 700_000));
    assert_eq!(object.size_bytes, 700_000);
    assert_eq!(ack_level(&server), AckLevel::Received);
    assert!(server.data().objects().is_empty());
    assert_eq!(server.data().leftovers(), Vec::<String>::new());
}

/// With nothing summed, and each chunk held whole before it is dropped.
#[test]
fn with_discard_nothing_has_to_be_summed() {
    let settings =
        "objects = \"discard\"\n[integrity]\ncrc = \"off\"\n[discard]\nwhole_chunks = \"on\"";
    let mut server = server(settings);
    let object = stored(&server, &noise(4, 700_000)).object;
    assert_eq!((object.size_bytes, object.crc64nvme.len()), (700_000, 0));
    let refused = runtime().block_on(async {
        let calls = Calls::to(&server.address());
        let upload_id = calls.open("wrong").await;
        let mut wrong = chunk(&upload_id, 0, b"some");
        wrong.crc64nvme = vec![1; 8].into();
        calls.upload_chunk(wrong).await.unwrap();
        let again = calls.upload_chunk(chunk(&upload_id, 0, b"same")).await.unwrap();
        assert!(again.duplicate, "it is as long");
        calls.upload_chunk(chunk(&upload_id, 0, b"other")).await.unwrap_err()
    });
    assert_eq!(refused.reason, Some(sluice_proto::error::Reason::ChunkConflict));
    server.terminate();
    assert_eq!(server.data().leftovers(), Vec::<String>::new());
}

/// What was acked is gone with the process; that N was said isn't.
#[test]
fn with_discard_a_killed_server_asks_for_all_chunks_again() {
    let mut server = server("objects = \"discard\"");
    let upload_id = runtime().block_on(async {
        let calls = Calls::to(&server.address());
        let upload_id = calls.open("killed").await;
        calls.upload_chunk(chunk(&upload_id, 0, b"some")).await.unwrap();
        let last = pb::UploadChunkRequest { is_last: true, ..chunk(&upload_id, 2, b"last") };
        calls.upload_chunk(last).await.unwrap();
        upload_id
    });
    server.kill();
    server.restart();
    runtime().block_on(async {
        let calls = Calls::to(&server.address());
        let status = calls.status(&upload_id).await.unwrap();
        assert_eq!(status.missing_ranges.len(), 1, "{status:?}");
        for number in 0..3 {
            calls.upload_chunk(chunk(&upload_id, number, b"again")).await.unwrap();
        }
        let done = calls.complete(&upload_id, None).await.unwrap();
        assert_eq!(done.object.unwrap().size_bytes, 15);
    });
}

/// By the client library, which compares the CRC of what it sent with the server's.
fn put(server: &Server, bytes: &[u8]) -> pb::ObjectInfo {
    let report = stored(server, bytes);
    assert_eq!(report.object.crc64nvme, report.crc64nvme.to_be_bytes()[..]);
    report.object
}

fn stored(server: &Server, bytes: &[u8]) -> UploadReport {
    let path = server.scratch().join("source");
    std::fs::write(&path, bytes).unwrap();
    let file = Arc::new(std::fs::File::open(&path).unwrap());
    let source = Source::File { file, size_bytes: bytes.len() as u64 };
    let options = UploadOptions {
        filename: "put".into(),
        chunk_bytes: Some(100_003),
        ..UploadOptions::default()
    };
    runtime().block_on(async {
        let client = Client::connect(&server.address()).await.unwrap();
        client.upload(source, options, |_| ()).await.unwrap()
    })
}
