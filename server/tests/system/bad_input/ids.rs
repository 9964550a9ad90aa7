//! Ids that are unknown, malformed or another node's.

use sluice_proto::error::{Reason, ReceivedRefusal};
use sluice_proto::ids::UploadId;
use sluice_proto::pb;

use super::{Scene, assert_refused};
use crate::harness::chunk;

/// The refusals of every call that names an upload.
fn refusals(scene: &Scene, upload_id: &str) -> Vec<ReceivedRefusal> {
    let Scene { calls, runtime, .. } = scene;
    let abort = pb::AbortUploadRequest { upload_id: upload_id.into(), reason: String::new() };
    runtime.block_on(async {
        vec![
            *calls.upload_chunk(chunk(upload_id, 0, b"x")).await.unwrap_err(),
            *calls.complete(upload_id, Some(1)).await.unwrap_err(),
            *calls.abort_upload(abort).await.unwrap_err(),
            *calls.status(upload_id).await.unwrap_err(),
        ]
    })
}

#[test]
fn an_upload_id_that_is_not_ours_is_unknown_whatever_it_looks_like() {
    let scene = Scene::start();
    let ours = UploadId::parse(&scene.honest).unwrap();
    let other_random = UploadId::new(ours.node(), ours.store(), [9; 15]);
    let other_node = UploadId::new(ours.node() ^ 1, ours.store(), [9; 15]);
    let mut no_store = *ours.as_bytes();
    no_store[8..10].copy_from_slice(&u16::MAX.to_be_bytes());
    for upload_id in [
        other_random.to_string(),
        other_node.to_string(),
        UploadId::from_bytes(no_store).to_string(),
        scene.honest.to_uppercase() + "x",
        "x".into(),
        "../../etc/passwd".into(),
        "\u{202e}\u{1f600}".into(),
        "9".repeat(40),
        "a".repeat(129),
        "a".repeat(8_000),
    ] {
        for refusal in refusals(&scene, &upload_id) {
            assert_refused(&refusal, Reason::UploadUnknown, "", "");
        }
    }
    for refusal in refusals(&scene, "") {
        assert_refused(&refusal, Reason::FieldInvalid, "upload_id", "empty");
    }
    scene.end();
}

#[test]
fn ids_of_the_client_have_their_form() {
    let scene = Scene::start();
    let named = || pb::InitiateUploadRequest { filename: "a".into(), ..Default::default() };
    let too_long = "a".repeat(129);
    for bad in ["a/b", "a b", "\u{e9}", "a\0", &*too_long] {
        let node = scene.initiate(pb::InitiateUploadRequest { node_id: bad.into(), ..named() });
        assert_refused(&node, Reason::FieldInvalid, "node_id", "128");
        let drive = scene.initiate(pb::InitiateUploadRequest { drive_id: bad.into(), ..named() });
        assert_refused(&drive, Reason::FieldInvalid, "drive_id", "128");
    }
    for bad in ["a\nb", "\u{e9}", &*too_long] {
        let request_id = bad.to_owned();
        let refusal = scene.initiate(pb::InitiateUploadRequest { request_id, ..named() });
        assert_refused(&refusal, Reason::FieldInvalid, "request_id", "128");
    }
    let nowhere = pb::InitiateUploadRequest { drive_id: "nowhere".into(), ..named() };
    assert_refused(&scene.initiate(nowhere), Reason::DriveUnknown, "drive_id", "nowhere");
    scene.end();
}
