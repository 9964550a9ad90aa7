//! Promises that a client makes and breaks, and numbers of chunks that contradict each other.

use sluice_proto::error::Reason;
use sluice_proto::pb;

use super::{Scene, assert_refused};
use crate::harness::chunk;

#[test]
fn the_number_of_chunks_is_fixed_once() {
    let mut scene = Scene::start();
    let upload_id = scene.open();
    let last = |number| pb::UploadChunkRequest { is_last: true, ..chunk(&upload_id, number, b"x") };
    scene.send(last(4));
    for number in [2, 5, 999_999] {
        let refusal = scene.refused(last(number));
        assert_refused(&refusal, Reason::LastConflict, "chunk_number", "5");
    }
    let refusal = scene.refused(chunk(&upload_id, 5, b"x"));
    assert_refused(&refusal, Reason::LastConflict, "chunk_number", "5");
    for total in [0, 4, 6] {
        let refusal = scene.complete_refused(&upload_id, Some(total));
        assert_refused(&refusal, Reason::LastConflict, "total_chunks", "5");
    }
    let refusal = scene.complete_refused(&upload_id, Some(5));
    assert_refused(&refusal, Reason::MissingChunks, "", "0-3");
    assert_eq!(scene.received(&upload_id), (1, 1));
    scene.end();
}

#[test]
fn a_chunk_below_one_that_is_in_can_not_be_the_last() {
    let mut scene = Scene::start();
    let upload_id = scene.open();
    scene.send(chunk(&upload_id, 7, b"x"));
    let last = pb::UploadChunkRequest { is_last: true, ..chunk(&upload_id, 3, b"x") };
    assert_refused(&scene.refused(last), Reason::LastConflict, "chunk_number", "8");
    let refusal = scene.complete_refused(&upload_id, Some(7));
    assert_refused(&refusal, Reason::LastConflict, "total_chunks", "8");
    assert_eq!(scene.received(&upload_id), (1, 1));
    scene.end();
}

#[test]
fn a_promised_size_is_kept_by_every_chunk() {
    let mut scene = Scene::start();
    let whole = pb::InitiateUploadRequest {
        expected_size_bytes: Some(1_000),
        chunk_size_bytes: 300,
        ..Default::default()
    };
    let upload_id = scene.open_as(whole);
    for (number, bytes, promised) in [(0, 299, "300"), (1, 301, "300"), (3, 300, "100")] {
        let refusal = scene.refused(chunk(&upload_id, number, &vec![0; bytes]));
        assert_refused(&refusal, Reason::ChunkSizeBroken, "data", promised);
    }
    // The size and the length of a chunk promise their number too.
    let refusal = scene.refused(chunk(&upload_id, 4, b"x"));
    assert_refused(&refusal, Reason::LastConflict, "chunk_number", "4");
    assert_eq!(scene.received(&upload_id), (0, 0));

    let chunked = pb::InitiateUploadRequest { chunk_size_bytes: 300, ..Default::default() };
    let upload_id = scene.open_as(chunked);
    let refusal = scene.refused(chunk(&upload_id, 0, &[0; 301]));
    assert_refused(&refusal, Reason::ChunkSizeBroken, "data", "300");
    // A shorter one is the last.
    scene.send(chunk(&upload_id, 2, &[0; 10]));
    let refusal = scene.refused(chunk(&upload_id, 3, &[0; 300]));
    assert_refused(&refusal, Reason::LastConflict, "chunk_number", "3");
    scene.end();
}

#[test]
fn more_bytes_than_were_declared_are_refused() {
    let mut scene = Scene::start();
    let declared =
        pb::InitiateUploadRequest { expected_size_bytes: Some(100), ..Default::default() };
    let upload_id = scene.open_as(declared);
    scene.send(chunk(&upload_id, 1, &[0; 60]));
    let refusal = scene.refused(chunk(&upload_id, 0, &[0; 41]));
    assert_refused(&refusal, Reason::SizeMismatch, "data", "100");
    let capped = pb::InitiateUploadRequest { max_size_bytes: 50, ..Default::default() };
    let upload_id = scene.open_as(capped);
    let refusal = scene.refused(chunk(&upload_id, 0, &[0; 51]));
    assert_refused(&refusal, Reason::SizeMismatch, "data", "50");
    assert_eq!(scene.received(&upload_id), (0, 0));
    let payload = pb::InitiateUploadRequest {
        filename: "a".into(),
        expected_size_bytes: Some(4),
        payload: Some(vec![0; 5].into()),
        ..Default::default()
    };
    let refusal = scene.initiate(payload);
    assert_refused(&refusal, Reason::SizeMismatch, "expected_size_bytes", "4");
    scene.end();
}
