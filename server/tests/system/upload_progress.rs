//! Whoever watches an upload hears of its changes and of its end, at a cost that doesn't grow with
//! the watchers.

use std::time::Duration;

use sluice_proto::error::Reason;
use sluice_proto::pb::{self, UploadState};
use tonic::Streaming;

use crate::harness::{Calls, Options, Server, chunk, noise, runtime};

type Progress = Streaming<pb::StreamUploadProgressResponse>;

async fn next(progress: &mut Progress) -> Option<pb::Upload> {
    progress.message().await.unwrap().map(|response| response.upload.unwrap())
}

/// What is told until it ends OK.
async fn all(mut progress: Progress) -> Vec<pb::Upload> {
    let mut told = Vec::new();
    while let Some(upload) = next(&mut progress).await {
        told.push(upload);
    }
    told
}

#[test]
fn changes_are_told_up_to_the_terminal_state_and_then_it_ends() {
    let server = Server::start(Options::default());
    runtime().block_on(async {
        let calls = Calls::to(&server.address());
        let id = calls.open("watched").await;
        let mut progress = calls.watch(&id).await.unwrap();
        let first = next(&mut progress).await.unwrap();
        assert_eq!((first.state(), first.received_bytes), (UploadState::Pending, 0));
        assert_eq!(first.upload_id, id);
        assert!(!first.endpoints.is_empty());
        for number in 0..3 {
            calls.upload_chunk(chunk(&id, number, &noise(1, 1_000))).await.unwrap();
            let mut heard = next(&mut progress).await.unwrap();
            while heard.received_count <= number {
                heard = next(&mut progress).await.unwrap();
            }
            assert_eq!(heard.state(), UploadState::Uploading);
            assert_eq!(heard.received_bytes, i64::from(number + 1) * 1_000);
        }
        let _ = calls.complete(&id, Some(3)).await.unwrap();
        let last = all(progress).await.pop().expect("an end is told");
        assert_eq!((last.state(), last.stored_bytes), (UploadState::Completed, 3_000));
        assert!(last.object.is_some());
        // Whoever comes later is told the end, and that is all.
        let late = all(calls.watch(&id).await.unwrap()).await;
        assert_eq!(late.len(), 1);
        assert_eq!(late[0].state(), UploadState::Completed);
    });
}

#[test]
fn an_abort_ends_a_watch_and_an_unknown_upload_has_none() {
    let server = Server::start(Options::default());
    runtime().block_on(async {
        let calls = Calls::to(&server.address());
        let unknown = calls.watch("nobody-knows").await.unwrap_err();
        assert_eq!(unknown.reason, Some(Reason::UploadUnknown));
        let id = calls.open("aborted").await;
        let mut progress = calls.watch(&id).await.unwrap();
        next(&mut progress).await.unwrap();
        let reason = String::new();
        let request = pb::AbortUploadRequest { upload_id: id.clone(), reason };
        calls.abort_upload(request).await.unwrap();
        assert_eq!(all(progress).await.pop().unwrap().state(), UploadState::Aborted);
    });
}

#[test]
fn an_idle_upload_is_told_again_before_a_load_balancer_cuts_the_call() {
    let server = Server::start(Options::default());
    runtime().block_on(async {
        let calls = Calls::to(&server.address());
        let id = calls.open("idle").await;
        let mut progress = calls.watch(&id).await.unwrap();
        let first = next(&mut progress).await.unwrap();
        // It is told each 20 s; a busy machine may be late.
        let again = tokio::time::timeout(Duration::from_secs(55), next(&mut progress)).await;
        assert_eq!(again.expect("told before a call is cut at 60 s"), Some(first));
    });
}

/// Who doesn't read for a while is told where it stands then, not what it missed.
#[test]
fn a_slow_reader_is_told_the_latest() {
    let server = Server::start(Options::default());
    runtime().block_on(async {
        let calls = Calls::to(&server.address());
        let id = calls.open("slow").await;
        // On a connection of its own, of which nothing is read in between.
        let mut progress = Calls::to(&server.address()).watch(&id).await.unwrap();
        next(&mut progress).await.unwrap();
        for number in 0..500 {
            calls.upload_chunk(chunk(&id, number, b"some")).await.unwrap();
        }
        let _ = calls.complete(&id, Some(500)).await.unwrap();
        let told = all(progress).await;
        assert_eq!(told.last().unwrap().state(), UploadState::Completed);
        assert!(told.len() < 100, "{} messages for 500 chunks", told.len());
        assert!(told.is_sorted_by_key(|upload| upload.received_count), "it never goes back");
    });
}

#[test]
fn a_thousand_watchers_all_hear_the_end() {
    let server = Server::start(Options::default());
    runtime().block_on(async {
        let calls = Calls::to(&server.address());
        let id = calls.open("popular").await;
        // Each connection takes a bounded number of calls.
        let connections: Vec<_> = (0..20).map(|_| Calls::to(&server.address())).collect();
        let mut watchers = Vec::new();
        for connection in connections.iter().cycle().take(1_000) {
            let mut progress = connection.watch(&id).await.unwrap();
            next(&mut progress).await.unwrap();
            watchers.push(tokio::spawn(all(progress)));
        }
        for number in 0..50 {
            calls.upload_chunk(chunk(&id, number, &noise(3, 10_000))).await.unwrap();
        }
        let _ = calls.complete(&id, Some(50)).await.unwrap();
        for watcher in watchers {
            let last = watcher.await.unwrap().pop().unwrap();
            assert_eq!((last.state(), last.received_count), (UploadState::Completed, 50));
        }
    });
}

#[test]
fn a_watch_holds_up_no_drain() {
    let mut server = Server::start(Options::default());
    runtime().block_on(async {
        let calls = Calls::to(&server.address());
        let id = calls.open("drained").await;
        let mut progress = calls.watch(&id).await.unwrap();
        next(&mut progress).await.unwrap();
        server.signal_terminate();
        let ended = loop {
            match progress.message().await {
                Ok(Some(_)) => {}
                Ok(None) => panic!("the upload has no end"),
                Err(status) => break status,
            }
        };
        assert_eq!(ended.code(), tonic::Code::Unavailable, "{ended:?}");
    });
    assert!(server.wait().success());
}
