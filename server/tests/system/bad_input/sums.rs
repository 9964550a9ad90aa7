//! Checksums that are wrong, or none at all.

use bytes::Bytes;
use sluice_proto::error::Reason;
use sluice_proto::pb;

use super::{Scene, assert_refused};
use crate::harness::{checked_chunk, chunk};

fn set(request: &mut pb::UploadChunkRequest, field: &str, sum: Vec<u8>) {
    let sum = Bytes::from(sum);
    match field {
        "crc32c" => request.crc32c = sum,
        "crc64nvme" => request.crc64nvme = sum,
        _ => request.sha256 = sum,
    }
}

#[test]
fn a_wrong_checksum_is_a_reason_to_send_the_chunk_again() {
    let mut scene = Scene::start();
    let upload_id = scene.open();
    for (field, length) in [("crc32c", 4), ("crc64nvme", 8), ("sha256", 32)] {
        for data in [&[1; 100][..], &[2; 200_000]] {
            // The other sums are right, so one alone is wrong.
            let mut request = checked_chunk(&upload_id, 0, data, 7);
            set(&mut request, field, vec![0xab; length]);
            let refusal = scene.refused(request);
            assert_refused(&refusal, Reason::ChecksumMismatch, field, field);
        }
    }
    assert_eq!(scene.received(&upload_id), (0, 0));
    scene.send(checked_chunk(&upload_id, 0, &[1; 100], 7));
    scene.end();
}

#[test]
fn a_checksum_has_its_length() {
    let mut scene = Scene::start();
    let upload_id = scene.open();
    for (field, length) in [("crc32c", 4), ("crc64nvme", 8), ("sha256", 32)] {
        for wrong in [1, length - 1, length + 1, 5_000] {
            let mut request = chunk(&upload_id, 0, b"some");
            set(&mut request, field, vec![0; wrong]);
            let refusal = scene.refused(request);
            assert_refused(&refusal, Reason::FieldInvalid, field, &length.to_string());
        }
    }
    let declared = pb::InitiateUploadRequest {
        filename: "a".into(),
        sha256: vec![0; 31].into(),
        ..Default::default()
    };
    assert_refused(&scene.initiate(declared), Reason::FieldInvalid, "sha256", "32");
    let request = pb::CompleteUploadRequest {
        upload_id: upload_id.clone(),
        total_chunks: Some(1),
        sha256: vec![0; 33].into(),
    };
    let refusal = scene.runtime.block_on(scene.calls.complete_upload(request)).unwrap_err();
    assert_refused(&refusal, Reason::FieldInvalid, "sha256", "32");
    scene.end();
}

#[test]
fn a_chunk_has_bytes() {
    let mut scene = Scene::start();
    let upload_id = scene.open();
    let refusal = scene.refused(chunk(&upload_id, 0, b""));
    assert_refused(&refusal, Reason::FieldInvalid, "data", "1");
    assert_eq!(scene.received(&upload_id), (0, 0));
    scene.end();
}

#[test]
fn a_declared_sum_that_the_whole_does_not_have_fails_the_upload() {
    let mut scene = Scene::start();
    let declared = pb::InitiateUploadRequest { sha256: vec![7; 32].into(), ..Default::default() };
    let upload_id = scene.open_as(declared);
    let last = pb::UploadChunkRequest { is_last: true, ..chunk(&upload_id, 0, b"some") };
    let acked = scene.runtime.block_on(scene.calls.upload_chunk(last)).unwrap();
    assert_eq!(acked.state(), pb::UploadState::Failed, "its own bytes were right");
    let refusal = scene.complete_refused(&upload_id, None);
    assert_refused(&refusal, Reason::ObjectMismatch, "", "");
    scene.end();
}
