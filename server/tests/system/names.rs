//! A filename is the client's own: it comes back byte for byte and never becomes a path.

use sluice_proto::error::Reason;
use sluice_proto::pb;

use crate::harness::{Calls, Ended, Options, Outcome, Server, audit, chunk, noise, runtime};

#[test]
fn any_name_comes_back_as_it_was_sent_and_leaves_its_folder_alone() {
    let server = Server::start(Options::default());
    let runtime = runtime();
    let longest = "\u{1f600}".repeat(256);
    let names = [
        "../../../../etc/passwd",
        "..",
        ".",
        "/",
        "/etc/passwd",
        "a/../b",
        "C:\\con",
        "%2e%2e%2f",
        "-rf",
        "$(reboot)'\";--",
        " ",
        "a\u{202e}fdp.exe",
        "\u{200b}\u{feff}",
        "\u{2028}",
        "\u{1f468}\u{200d}\u{1f469}\u{200d}\u{1f467}",
        // The same letter, composed and not: two names.
        "\u{e9}",
        "e\u{301}",
        &longest,
    ];
    let outcomes = runtime.block_on(async {
        let calls = Calls::to(&server.address());
        let mut outcomes = Vec::new();
        for name in names {
            outcomes.push(round_trip(&calls, name).await);
        }
        outcomes
    });
    audit(server, &outcomes);
}

async fn round_trip(calls: &Calls, name: &str) -> Outcome {
    let metadata =
        [("name".to_owned(), name.to_owned()), (name.chars().take(30).collect(), "v".into())];
    let request = pb::InitiateUploadRequest {
        filename: name.into(),
        metadata: metadata.into(),
        if_not_exists: true,
        payload: Some(name.as_bytes().to_vec().into()),
        ..Default::default()
    };
    let stored = calls.initiate_upload(request.clone()).await.unwrap();
    assert_eq!(stored.state(), pb::UploadState::Completed, "{name:?}");
    let upload = calls.status(&stored.upload_id).await.unwrap().upload.unwrap();
    assert_eq!((upload.filename.as_str(), &upload.metadata), (name, &request.metadata));
    let again = calls.initiate_upload(request).await.unwrap_err();
    assert_eq!(again.reason, Some(Reason::NameExists), "{name:?}");
    let ended = Ended::Whole(name.as_bytes().to_vec());
    Outcome { upload_id: stored.upload_id, filename: name.into(), ended }
}

#[test]
fn a_node_id_is_the_clients_own_and_taken_once() {
    let server = Server::start(Options::default());
    let runtime = runtime();
    let longest = "z".repeat(128);
    let ids = [".", "..", "...", "-", "_", "A", "a", &longest];
    let outcomes = runtime.block_on(async {
        let calls = Calls::to(&server.address());
        let mut outcomes = Vec::new();
        for id in ids {
            let request = pb::InitiateUploadRequest {
                filename: "same".into(),
                node_id: id.into(),
                payload: Some(id.as_bytes().to_vec().into()),
                ..Default::default()
            };
            let stored = calls.initiate_upload(request.clone()).await.unwrap();
            assert_eq!(stored.node_id, id);
            let again = calls.initiate_upload(request).await.unwrap_err();
            assert_eq!(again.reason, Some(Reason::NodeExists), "{id}");
            let ended = Ended::Whole(id.as_bytes().to_vec());
            outcomes.push(Outcome { upload_id: stored.upload_id, filename: "same".into(), ended });
        }
        outcomes
    });
    audit(server, &outcomes);
}

/// An upload that becomes nothing gives node, name and request back before anybody hears of it.
#[test]
fn what_an_upload_held_is_free_as_soon_as_its_end_is_told() {
    let server = Server::start(Options::default());
    let runtime = runtime();
    let outcomes = runtime.block_on(async {
        let calls = Calls::to(&server.address());
        let request = pb::InitiateUploadRequest {
            filename: "name".into(),
            node_id: "node".into(),
            request_id: "request".into(),
            if_not_exists: true,
            sha256: vec![0; 32].into(),
            ..Default::default()
        };
        let mut outcomes = Vec::new();
        for round in 0..40 {
            let opened = calls.initiate_upload(request.clone()).await.unwrap();
            assert!(!opened.duplicate, "round {round}");
            let upload_id = opened.upload_id.clone();
            // Something to sweep up, on the way and arrived.
            calls.upload_chunk(chunk(&upload_id, 1, &noise(round, 30_000))).await.unwrap();
            let ended = if round % 2 == 0 {
                let reason = String::new();
                let abort = pb::AbortUploadRequest { upload_id: upload_id.clone(), reason };
                calls.abort_upload(abort).await.unwrap();
                pb::UploadState::Aborted
            } else {
                let acked = calls.upload_chunk(chunk(&upload_id, 0, b"x")).await.unwrap();
                assert_eq!(acked.state(), pb::UploadState::Uploading);
                let refused = calls.complete(&upload_id, Some(2)).await.unwrap_err();
                assert_eq!(refused.reason, Some(Reason::ObjectMismatch));
                pb::UploadState::Failed
            };
            let filename = "name".into();
            outcomes.push(Outcome { upload_id, filename, ended: Ended::As(ended) });
        }
        outcomes
    });
    audit(server, &outcomes);
}

/// The same, if the process dies between the end and the release.
#[cfg(feature = "failpoints")]
#[test]
fn what_an_upload_held_is_free_to_the_next_process() {
    let failpoints = "release.before=panic".to_owned();
    let mut server = Server::start(Options { failpoints, ..Options::default() });
    let runtime = runtime();
    let request = pb::InitiateUploadRequest {
        filename: "name".into(),
        node_id: "node".into(),
        request_id: "request".into(),
        if_not_exists: true,
        ..Default::default()
    };
    let first = runtime.block_on(async {
        let calls = Calls::to(&server.address());
        let upload_id = calls.initiate_upload(request.clone()).await.unwrap().upload_id;
        let reason = String::new();
        let abort = pb::AbortUploadRequest { upload_id: upload_id.clone(), reason };
        calls.abort_upload(abort).await.unwrap_err();
        upload_id
    });
    assert!(!server.wait().success(), "it died");
    server.options.failpoints.clear();
    server.restart();
    let second = runtime.block_on(async {
        let calls = Calls::to(&server.address());
        let request = pb::InitiateUploadRequest { payload: Some(b"x".to_vec().into()), ..request };
        let opened = calls.initiate_upload(request).await.unwrap();
        assert!(!opened.duplicate);
        opened.upload_id
    });
    let outcome = |upload_id, ended| Outcome { upload_id, filename: "name".into(), ended };
    let aborted = outcome(first, Ended::As(pb::UploadState::Aborted));
    audit(server, &[aborted, outcome(second, Ended::Whole(b"x".to_vec()))]);
}
