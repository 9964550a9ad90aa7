//! What can't be the terms of an upload.

use std::collections::HashMap;

use sluice_proto::error::Reason;
use sluice_proto::pb;

use super::{Scene, assert_refused};

fn named() -> pb::InitiateUploadRequest {
    pb::InitiateUploadRequest { filename: "a".into(), ..Default::default() }
}

#[test]
fn names_have_no_control_characters_and_1024_bytes_at_most() {
    let scene = Scene::start();
    for (filename, limit) in [
        ("a\0b".to_owned(), "control"),
        ("a\nb".into(), "control"),
        ("\u{7f}".into(), "control"),
        ("\u{85}".into(), "control"),
        ("a".repeat(1_025), "1024"),
        // 1,026 bytes of 342 characters.
        ("\u{20ac}".repeat(342), "1024"),
    ] {
        let refusal = scene.initiate(pb::InitiateUploadRequest { filename, ..named() });
        assert_refused(&refusal, Reason::FieldInvalid, "filename", limit);
    }
    scene.end();
}

#[test]
fn metadata_and_type_have_their_limits() {
    let scene = Scene::start();
    let pairs = |count: usize, key: usize, value: usize| -> HashMap<String, String> {
        let pair = |number| (format!("{number:0>key$}"), "v".repeat(value));
        (0..count).map(pair).collect()
    };
    let empty_key = [(String::new(), "v".to_owned())].into();
    for (metadata, limit) in [
        (pairs(65, 3, 1), "64"),
        (pairs(1, 129, 1), "128"),
        (pairs(1, 1, 2_049), "2048"),
        (pairs(17, 3, 1_000), "16384"),
        (empty_key, "128"),
    ] {
        let refusal = scene.initiate(pb::InitiateUploadRequest { metadata, ..named() });
        assert_refused(&refusal, Reason::FieldInvalid, "metadata", limit);
    }
    for mime_type in ["a".repeat(256), "text/\u{e9}".into(), "a\nb".into()] {
        let refusal = scene.initiate(pb::InitiateUploadRequest { mime_type, ..named() });
        assert_refused(&refusal, Reason::FieldInvalid, "mime_type", "255");
    }
    scene.end();
}

#[test]
fn an_ack_level_is_one_that_there_is() {
    let scene = Scene::start();
    for ack_level in [-1, 3, i32::MAX] {
        let refusal = scene.initiate(pb::InitiateUploadRequest { ack_level, ..named() });
        assert_refused(&refusal, Reason::FieldInvalid, "ack_level", "");
    }
    scene.end();
}

#[test]
fn one_request_id_is_one_set_of_parameters() {
    let mut scene = Scene::start();
    let request = pb::InitiateUploadRequest { request_id: "r".into(), ..named() };
    let opened = scene.runtime.block_on(scene.calls.initiate_upload(request.clone())).unwrap();
    let again = scene.runtime.block_on(scene.calls.initiate_upload(request.clone())).unwrap();
    assert_eq!((&again.upload_id, again.duplicate), (&opened.upload_id, true));
    let other = pb::InitiateUploadRequest { filename: "b".into(), ..request };
    assert_refused(&scene.initiate(other), Reason::RequestIdReused, "request_id", "");
    scene.opened.push(opened.upload_id);
    scene.end();
}
