//! Somebody wrote over what is recorded of an upload: it is told, left alone, and all others go on.

use sluice_proto::{
    error::Reason,
    pb::{self, UploadState},
};

use super::start;
use crate::harness::{Calls, Server, chunk, get, runtime};

async fn open(calls: &Calls, name: &str) -> String {
    let (filename, node_id) = (name.to_owned(), name.to_owned());
    let request = pb::InitiateUploadRequest { filename, node_id, ..Default::default() };
    let upload_id = calls.initiate_upload(request).await.unwrap().upload_id;
    calls.upload_chunk(chunk(&upload_id, 0, b"some")).await.unwrap();
    upload_id
}

async fn listed(server: &Server) -> Vec<String> {
    let request = pb::ListUploadsRequest::default();
    let page = Calls::to(&server.address()).list_uploads(request).await.unwrap();
    page.uploads.into_iter().map(|upload| upload.upload_id).collect()
}

#[test]
fn one_damaged_upload_keeps_no_other_from_being_served() {
    let (redis, mut server) = start();
    let runtime = runtime();
    let [damaged, whole] = runtime.block_on(async {
        let calls = Calls::to(&server.address());
        [open(&calls, "damaged").await, open(&calls, "whole").await]
    });
    let chunks = format!("upload:{{{damaged}}}:chunks");
    let record = redis.ask(&["hget", &chunks, "0"]);
    server.kill();
    redis.ask(&["hset", &chunks, "0", "nothing that Sluice wrote"]);
    server.restart();
    assert!(server.log().contains(&damaged), "{}", server.log());
    runtime.block_on(async {
        let calls = Calls::to(&server.address());
        let refusal = calls.status(&damaged).await.unwrap_err();
        assert_eq!(refusal.reason, Some(Reason::Internal), "{refusal:?}");
        assert_eq!(listed(&server).await, [whole.as_str()]);
        let done = calls.complete(&whole, Some(1)).await.unwrap();
        assert_eq!(done.state(), UploadState::Completed);
        // What it holds stays its own.
        let node_id = "damaged".to_owned();
        let again = pb::InitiateUploadRequest { node_id, ..Default::default() };
        let taken = calls.initiate_upload(again).await.unwrap_err();
        assert_eq!(taken.reason, Some(Reason::NodeExists), "{taken:?}");
    });
    let page = get(&server.admin(), "/metrics").unwrap();
    let told =
        |line: &str| line.starts_with("sluice_damaged_records_total") && !line.ends_with(" 0");
    assert!(page.body.lines().any(told), "{}", page.body);
    server.kill();
    redis.ask(&["hset", &chunks, "0", &record]);
    server.restart();
    runtime.block_on(async {
        let calls = Calls::to(&server.address());
        let done = calls.complete(&damaged, Some(1)).await.unwrap();
        assert_eq!(done.state(), UploadState::Completed, "somebody mended it");
    });
}
