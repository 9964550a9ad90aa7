//! Numbers that are negative or huge.

use sluice_proto::error::Reason;
use sluice_proto::pb;

use super::{Scene, assert_refused};
use crate::harness::chunk;

#[test]
fn a_chunk_number_is_0_to_999_999() {
    let mut scene = Scene::start();
    let upload_id = scene.open();
    for number in [-1, i32::MIN, 1_000_000, i32::MAX] {
        let refusal = scene.refused(chunk(&upload_id, number, b"x"));
        assert_refused(&refusal, Reason::FieldInvalid, "chunk_number", "999999");
    }
    scene.send(chunk(&upload_id, 999_999, b"x"));
    assert_eq!(scene.received(&upload_id), (1, 1));
    scene.end();
}

#[test]
fn a_number_of_chunks_is_0_to_1_000_000() {
    let mut scene = Scene::start();
    let upload_id = scene.open();
    for total in [-1, i32::MIN, 1_000_001, i32::MAX] {
        let refusal = scene.complete_refused(&upload_id, Some(total));
        assert_refused(&refusal, Reason::FieldInvalid, "total_chunks", "1000000");
    }
    // Nothing was received, so there is no highest chunk to go by.
    let refusal = scene.complete_refused(&upload_id, None);
    assert_refused(&refusal, Reason::FieldInvalid, "total_chunks", "");
    scene.end();
}

#[test]
fn sizes_are_neither_negative_nor_near_2_to_the_63() {
    let mut scene = Scene::start();
    let max_chunk_bytes = scene.max_chunk_bytes();
    let named = || pb::InitiateUploadRequest { filename: "a".into(), ..Default::default() };
    for size in [-1, i64::MIN] {
        let expected = pb::InitiateUploadRequest { expected_size_bytes: Some(size), ..named() };
        let refusal = scene.initiate(expected);
        assert_refused(&refusal, Reason::FieldInvalid, "expected_size_bytes", "0");
        let chunked = pb::InitiateUploadRequest { chunk_size_bytes: size, ..named() };
        assert_refused(&scene.initiate(chunked), Reason::FieldInvalid, "chunk_size_bytes", "0");
        let capped = pb::InitiateUploadRequest { max_size_bytes: size, ..named() };
        assert_refused(&scene.initiate(capped), Reason::FieldInvalid, "max_size_bytes", "0");
    }
    let limit = (5_u64 << 40).to_string();
    for size in [(5 << 40) + 1, i64::MAX - 1, i64::MAX] {
        let expected = pb::InitiateUploadRequest { expected_size_bytes: Some(size), ..named() };
        let refusal = scene.initiate(expected);
        assert_refused(&refusal, Reason::SizeMismatch, "expected_size_bytes", &limit);
    }
    for size in [max_chunk_bytes as i64 + 1, i64::MAX] {
        let chunked = pb::InitiateUploadRequest { chunk_size_bytes: size, ..named() };
        let refusal = scene.initiate(chunked);
        let limit = max_chunk_bytes.to_string();
        assert_refused(&refusal, Reason::ChunkTooLarge, "chunk_size_bytes", &limit);
    }
    // More chunks than there are numbers.
    let crumbs = pb::InitiateUploadRequest {
        expected_size_bytes: Some(5 << 40),
        chunk_size_bytes: 1,
        ..named()
    };
    let refusal = scene.initiate(crumbs);
    assert_refused(&refusal, Reason::FieldInvalid, "chunk_size_bytes", "1000000");
    scene.end();
}

#[test]
fn a_page_has_a_size_and_a_token_of_ours() {
    let scene = Scene::start();
    let ask = |page_size, page_token: &str| {
        let (upload_id, page_token) = (scene.honest.clone(), page_token.to_owned());
        let request = pb::GetUploadStatusRequest { upload_id, page_size, page_token };
        scene.runtime.block_on(scene.calls.get_upload_status(request))
    };
    for size in [-1, i32::MIN] {
        let refusal = ask(size, "").unwrap_err();
        assert_refused(&refusal, Reason::FieldInvalid, "page_size", "");
    }
    for token in ["x", "-1", "\u{202e}", &"9".repeat(100)] {
        let refusal = ask(0, token).unwrap_err();
        assert_refused(&refusal, Reason::FieldInvalid, "page_token", "");
    }
    assert_eq!(ask(i32::MAX, "").unwrap().received_ranges.len(), 1);
    scene.end();
}
