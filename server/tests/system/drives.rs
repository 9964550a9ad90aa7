//! Drives: made once, kept for ever, and full when they say so.

use sluice_proto::error::Reason;
use sluice_proto::pb;

use crate::harness::{
    Calls, Ended, Options, Outcome, Server, assert_refused, audit, noise, runtime,
};

fn asked(drive_id: &str) -> pb::CreateDriveRequest {
    pb::CreateDriveRequest {
        drive_id: drive_id.into(),
        bucket: "b".into(),
        prefix: "in/\u{e9}/".into(),
        credentials_ref: "c".into(),
        quota_bytes: 1 << 40,
    }
}

fn file(drive_id: &str, node_id: &str, bytes: Option<Vec<u8>>) -> pb::InitiateUploadRequest {
    pb::InitiateUploadRequest {
        drive_id: drive_id.into(),
        node_id: node_id.into(),
        filename: "file".into(),
        payload: bytes.map(Into::into),
        ..Default::default()
    }
}

async fn get(calls: &Calls, drive_id: &str) -> pb::Drive {
    let request = pb::GetDriveRequest { drive_id: drive_id.into() };
    calls.get_drive(request).await.unwrap().drive.unwrap()
}

#[test]
fn a_drive_is_made_once_and_survives_the_process() {
    let mut server = Server::start(Options::default());
    let runtime = runtime();
    let made = runtime.block_on(async {
        let calls = Calls::to(&server.address());
        let made = calls.create_drive(asked("d")).await.unwrap().drive.unwrap();
        let again = calls.create_drive(asked("d")).await.unwrap().drive.unwrap();
        assert_eq!(again, made);
        let told = asked(&made.drive_id);
        assert_eq!(
            (&made.bucket, &made.prefix, &made.credentials_ref, made.quota_bytes),
            (&told.bucket, &told.prefix, &told.credentials_ref, told.quota_bytes)
        );
        assert!(made.create_time.is_some());
        for other in [
            pb::CreateDriveRequest { bucket: String::new(), ..asked("d") },
            pb::CreateDriveRequest { prefix: String::new(), ..asked("d") },
            pb::CreateDriveRequest { credentials_ref: String::new(), ..asked("d") },
            pb::CreateDriveRequest { quota_bytes: 0, ..asked("d") },
        ] {
            let refusal = calls.create_drive(other).await.unwrap_err();
            assert_refused(&refusal, Reason::DriveExists, "drive_id", "d");
        }
        made
    });
    server.kill();
    server.restart();
    runtime.block_on(async {
        let calls = Calls::to(&server.address());
        assert_eq!(get(&calls, "d").await, made);
        let default = get(&calls, "").await;
        assert_eq!((default.drive_id.as_str(), default.quota_bytes), ("default", 0));
        let unset = pb::CreateDriveRequest::default();
        let again = calls.create_drive(unset).await.unwrap().drive.unwrap();
        assert_eq!(again, default, "the default drive is there");
        let all = calls.list_drives(pb::ListDrivesRequest::default()).await.unwrap();
        assert_eq!(all.drives, [made, default]);
        assert!(all.next_page_token.is_empty());
    });
}

#[test]
fn each_field_of_a_drive_has_its_rule() {
    let server = Server::start(Options::default());
    runtime().block_on(async {
        let calls = Calls::to(&server.address());
        let long = |bytes| "x".repeat(bytes);
        for (bad, field, limit) in [
            (pb::CreateDriveRequest { drive_id: "a/b".into(), ..asked("") }, "drive_id", "128"),
            (asked(&long(129)), "drive_id", "128"),
            (pb::CreateDriveRequest { bucket: long(256), ..asked("x") }, "bucket", "255"),
            (pb::CreateDriveRequest { bucket: "a b".into(), ..asked("x") }, "bucket", "255"),
            (pb::CreateDriveRequest { prefix: long(513), ..asked("x") }, "prefix", "512"),
            (pb::CreateDriveRequest { prefix: "a\n".into(), ..asked("x") }, "prefix", "512"),
            (
                pb::CreateDriveRequest { credentials_ref: long(129), ..asked("x") },
                "credentials_ref",
                "128",
            ),
            (
                pb::CreateDriveRequest { credentials_ref: "\u{e9}".into(), ..asked("x") },
                "credentials_ref",
                "128",
            ),
            (pb::CreateDriveRequest { quota_bytes: -1, ..asked("x") }, "quota_bytes", "negative"),
        ] {
            let refusal = calls.create_drive(bad).await.unwrap_err();
            assert_refused(&refusal, Reason::FieldInvalid, field, limit);
        }
        let longest = pb::CreateDriveRequest {
            bucket: long(255),
            prefix: long(512),
            credentials_ref: long(128),
            quota_bytes: i64::MAX,
            ..asked(&long(128))
        };
        calls.create_drive(longest).await.unwrap();
        let all = calls.list_drives(pb::ListDrivesRequest::default()).await.unwrap();
        assert_eq!(all.drives.len(), 2, "a refused drive isn't made");
    });
}

#[test]
fn ids_and_names_are_each_drives_own() {
    let server = Server::start(Options::default());
    let outcomes = runtime().block_on(async {
        let calls = Calls::to(&server.address());
        let mut outcomes = Vec::new();
        for (seed, drive_id) in ["", "a", ".."].into_iter().enumerate() {
            if !drive_id.is_empty() {
                calls.create_drive(asked(drive_id)).await.unwrap();
            }
            let bytes = noise(seed as u64, 1_000);
            let request = pb::InitiateUploadRequest {
                if_not_exists: true,
                ..file(drive_id, "node", Some(bytes.clone()))
            };
            let stored = calls.initiate_upload(request.clone()).await.unwrap();
            assert_eq!(stored.state(), pb::UploadState::Completed);
            let taken = calls.initiate_upload(request).await.unwrap_err();
            assert_refused(&taken, Reason::NodeExists, "node_id", "node");
            let ended = Ended::Whole(bytes);
            let filename = "file".into();
            outcomes.push(Outcome { upload_id: stored.upload_id, filename, ended });
        }
        outcomes
    });
    audit(server, &outcomes);
}

#[test]
fn a_drive_that_there_is_not_is_unknown_to_every_call() {
    let server = Server::start(Options::default());
    runtime().block_on(async {
        let calls = Calls::to(&server.address());
        let drive_id = "nowhere".to_owned();
        let node = pb::GetNodeRequest { drive_id: drive_id.clone(), node_id: "n".into() };
        let nodes = pb::ListNodesRequest { drive_id: drive_id.clone(), ..Default::default() };
        let uploads = pb::ListUploadsRequest { drive_id: drive_id.clone(), ..Default::default() };
        for refusal in [
            calls.initiate_upload(file(&drive_id, "", None)).await.unwrap_err(),
            calls.list_uploads(uploads).await.unwrap_err(),
            calls.list_nodes(nodes).await.unwrap_err(),
            calls.get_node(node).await.unwrap_err(),
            calls.get_drive(pb::GetDriveRequest { drive_id }).await.unwrap_err(),
        ] {
            assert_refused(&refusal, Reason::DriveUnknown, "drive_id", "nowhere");
        }
        let bad = "a/b".to_owned();
        let uploads = pb::ListUploadsRequest { drive_id: bad.clone(), ..Default::default() };
        let nodes = pb::ListNodesRequest { drive_id: bad.clone(), ..Default::default() };
        for refusal in [
            calls.list_uploads(uploads).await.unwrap_err(),
            calls.list_nodes(nodes).await.unwrap_err(),
            calls.get_drive(pb::GetDriveRequest { drive_id: bad }).await.unwrap_err(),
        ] {
            assert_refused(&refusal, Reason::FieldInvalid, "drive_id", "128");
        }
    });
}

#[test]
fn a_quota_holds_what_is_stored_and_what_is_promised() {
    let server = Server::start(Options::default());
    let outcomes = runtime().block_on(async {
        let calls = Calls::to(&server.address());
        let small = pb::CreateDriveRequest { quota_bytes: 1_000, ..asked("small") };
        calls.create_drive(small).await.unwrap();
        let promise = |bytes| pb::InitiateUploadRequest {
            expected_size_bytes: Some(bytes),
            ..file("small", "", None)
        };
        let open = calls.initiate_upload(promise(600)).await.unwrap();
        let refusal = calls.initiate_upload(promise(401)).await.unwrap_err();
        assert_refused(&refusal, Reason::Quota, "", "\"held_bytes\": \"600\"");
        assert!(refusal.retry_after.is_some(), "{refusal:?}");
        assert_eq!(refusal.metadata["quota_bytes"], "1000");
        let bytes = noise(1, 400);
        let stored = file("small", "", Some(bytes.clone()));
        let stored = calls.initiate_upload(stored).await.unwrap();
        let unsaid = calls.initiate_upload(file("small", "", None)).await.unwrap_err();
        assert_refused(&unsaid, Reason::Quota, "", "1000");
        let elsewhere = noise(2, 5_000);
        let other = calls.initiate_upload(file("", "", Some(elsewhere.clone()))).await.unwrap();
        let abort =
            pb::AbortUploadRequest { upload_id: open.upload_id.clone(), reason: String::new() };
        calls.abort_upload(abort).await.unwrap();
        let freed = noise(3, 600);
        let after = calls.initiate_upload(file("small", "", Some(freed.clone()))).await.unwrap();
        [
            (open.upload_id, Ended::As(pb::UploadState::Aborted)),
            (stored.upload_id, Ended::Whole(bytes)),
            (other.upload_id, Ended::Whole(elsewhere)),
            (after.upload_id, Ended::Whole(freed)),
        ]
        .map(|(upload_id, ended)| Outcome { upload_id, filename: "file".into(), ended })
    });
    audit(server, &outcomes);
}
