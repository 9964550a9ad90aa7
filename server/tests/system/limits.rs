//! Limits that pass: who runs into one is told when to come back, and then gets in.

use std::time::Duration;

use sluice_proto::error::Reason;
use sluice_proto::pb::{self, UploadState};

use crate::harness::{
    Calls, Ended, Options, Outcome, RawCall, Server, audit, chunk, message, noise, runtime,
};

/// A minute at least.
const LOOKS_MAX: u32 = 3_000;
const LOOK_PAUSE: Duration = Duration::from_millis(20);

fn named(filename: &str) -> pb::InitiateUploadRequest {
    pb::InitiateUploadRequest { filename: filename.into(), ..Default::default() }
}

#[test]
fn only_open_uploads_count_against_their_limit() {
    let settings = "[limits]\nuploads_max = 4".to_owned();
    let server = Server::start(Options { settings, ..Options::default() });
    let outcomes = runtime().block_on(async {
        let calls = Calls::to(&server.address());
        let mut outcomes = Vec::new();
        // Many more than four, but each ends before the next one begins.
        for number in 0..20 {
            let bytes = noise(number, 1_000);
            let payload = Some(bytes.clone().into());
            let filename = format!("whole-{number}");
            let request = pb::InitiateUploadRequest { payload, ..named(&filename) };
            let stored = calls.initiate_upload(request).await.unwrap();
            assert_eq!(stored.state(), UploadState::Completed);
            let ended = Ended::Whole(bytes);
            outcomes.push(Outcome { upload_id: stored.upload_id, filename, ended });
        }
        let first = calls.status(&outcomes[0].upload_id).await.unwrap().upload.unwrap();
        assert_eq!(first.state(), UploadState::Completed, "an ended one stays readable");
        outcomes
    });
    audit(server, &outcomes);
}

#[test]
fn one_upload_too_many_is_told_to_come_back_and_then_gets_in() {
    use prost::Message as _;

    let settings = "[limits]\nuploads_max = 4".to_owned();
    let server = Server::start(Options { settings, ..Options::default() });
    let address = server.address();
    let outcomes = runtime().block_on(async {
        let calls = Calls::to(&address);
        let mut open = Vec::new();
        let refused = loop {
            match calls.initiate_upload(named("open")).await {
                Ok(opened) => open.push(opened.upload_id),
                Err(refused) => break refused,
            }
            assert!(open.len() <= 4, "{} are open", open.len());
        };
        assert_eq!(refused.reason, Some(Reason::TooManyUploads), "{refused:?}");
        assert!(refused.retry_after.is_some_and(|after| !after.is_zero()), "{refused:?}");
        let mut outcomes = Vec::new();
        for upload_id in open {
            let reason = String::new();
            let request = pb::AbortUploadRequest { upload_id: upload_id.clone(), reason };
            calls.abort_upload(request).await.unwrap();
            let ended = Ended::As(UploadState::Aborted);
            outcomes.push(Outcome { upload_id, filename: "open".into(), ended });
        }
        // Both ways to be told: gRPC libraries read this one by themselves.
        let raw = async || {
            let call = RawCall::open(&address, "InitiateUpload", &[]).await;
            call.send(message(0, &named("open").encode_to_vec()));
            call.end().await
        };
        for _ in 0..4 {
            let answer = raw().await;
            let pushback = answer.headers.get("grpc-retry-pushback-ms");
            assert_eq!(answer.refusal.reason.is_some(), pushback.is_some(), "{:?}", answer.refusal);
        }
        outcomes
    });
    // The raw ones are open still, so this is no whole audit.
    let ids: Vec<&str> = outcomes.iter().map(|outcome| outcome.upload_id.as_str()).collect();
    assert!(server.data().objects().iter().all(|object| !ids.contains(&object.upload_id.as_str())));
}

#[test]
fn an_upload_expires_unless_all_its_chunks_are_in() {
    // Longer than a machine stands still: one of them must be whole before.
    let settings = "[limits]\nupload_lifetime = \"10 s\"".to_owned();
    let server = Server::start(Options { settings, ..Options::default() });
    let runtime = runtime();
    let bytes = noise(1, 100_000);
    let outcomes = runtime.block_on(async {
        let calls = Calls::to(&server.address());
        let request = pb::InitiateUploadRequest {
            node_id: "taken".into(),
            request_id: "again".into(),
            ..named("late")
        };
        let late = calls.initiate_upload(request.clone()).await.unwrap().upload_id;
        calls.upload_chunk(chunk(&late, 1, &bytes)).await.unwrap();
        let whole = calls.open("whole").await;
        let last = pb::UploadChunkRequest { is_last: true, ..chunk(&whole, 0, &bytes) };
        calls.upload_chunk(last).await.unwrap();
        let expired = wait_until_ended(&calls, &late).await;
        assert_eq!(expired, UploadState::Expired);
        let refused = calls.upload_chunk(chunk(&late, 0, b"x")).await.unwrap_err();
        assert_eq!(refused.reason, Some(Reason::UploadEnded));
        assert_eq!(wait_until_ended(&calls, &whole).await, UploadState::Completed);
        let state = UploadState::Expired.into();
        let of_state = pb::ListUploadsRequest { state, ..Default::default() };
        let listed = calls.list_uploads(of_state).await.unwrap().uploads;
        assert_eq!(listed.iter().map(|upload| &upload.upload_id).collect::<Vec<_>>(), [&late]);
        // Whoever is told of the end can have node and request again.
        let again = calls.initiate_upload(request).await.unwrap();
        assert!(again.upload_id != late && !again.duplicate);
        let last = pb::UploadChunkRequest { is_last: true, ..chunk(&again.upload_id, 0, &bytes) };
        calls.upload_chunk(last).await.unwrap();
        [
            (late, "late", Ended::As(UploadState::Expired)),
            (whole, "whole", Ended::Whole(bytes.clone())),
            (again.upload_id, "late", Ended::Whole(bytes)),
        ]
        .map(|(upload_id, filename, ended)| Outcome {
            upload_id,
            filename: filename.into(),
            ended,
        })
    });
    audit(server, &outcomes);
}

async fn wait_until_ended(calls: &Calls, upload_id: &str) -> UploadState {
    for _ in 0..LOOKS_MAX {
        let upload = calls.status(upload_id).await.unwrap().upload.unwrap();
        match upload.state() {
            UploadState::Pending | UploadState::Uploading | UploadState::Completing => {
                tokio::time::sleep(LOOK_PAUSE).await;
            }
            ended => return ended,
        }
    }
    panic!("{upload_id} doesn't end");
}
