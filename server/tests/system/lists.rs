//! ListUploads: every upload of every shard, open or ended, as it is now, each once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sluice_proto::error::Reason;
use sluice_proto::pb::{self, UploadState};

use crate::harness::{
    Calls, Options, Random, Server, assert_refused, chunk, noise, runtime, seed, sha256,
};

fn named(filename: &str) -> pb::InitiateUploadRequest {
    pb::InitiateUploadRequest { filename: filename.into(), ..Default::default() }
}

fn whole(filename: &str) -> pb::InitiateUploadRequest {
    pb::InitiateUploadRequest { payload: Some(noise(5, 500).into()), ..named(filename) }
}

async fn abort(calls: &Calls, upload_id: &str) {
    let request = pb::AbortUploadRequest { upload_id: upload_id.into(), reason: String::new() };
    calls.abort_upload(request).await.unwrap();
}

/// All pages of a list.
async fn walk(calls: &Calls, mut request: pb::ListUploadsRequest) -> Vec<pb::Upload> {
    let mut uploads = Vec::new();
    loop {
        let page = calls.list_uploads(request.clone()).await.unwrap();
        assert!(request.page_size == 0 || page.uploads.len() <= request.page_size as usize);
        uploads.extend(page.uploads);
        if page.next_page_token.is_empty() {
            return uploads;
        }
        request.page_token = page.next_page_token;
    }
}

async fn list(calls: &Calls, request: pb::ListUploadsRequest) -> BTreeMap<String, pb::Upload> {
    let uploads = walk(calls, request).await;
    let count = uploads.len();
    let by_id: BTreeMap<_, _> = uploads.into_iter().map(|u| (u.upload_id.clone(), u)).collect();
    assert_eq!(by_id.len(), count, "each once");
    by_id
}

/// An upload in each state that lasts, by name.
async fn one_of_each(calls: &Calls) -> BTreeMap<&'static str, String> {
    let mut ids = BTreeMap::new();
    ids.insert("pending", calls.open("pending").await);
    let uploading = calls.open("uploading").await;
    // One at its place, one ahead of the front.
    for number in [0, 2] {
        calls.upload_chunk(chunk(&uploading, number, &noise(1, 70_000))).await.unwrap();
    }
    ids.insert("uploading", uploading);
    let completed = calls.initiate_upload(whole("completed")).await.unwrap();
    assert_eq!(completed.state(), UploadState::Completed);
    ids.insert("completed", completed.upload_id);
    let wrong =
        pb::InitiateUploadRequest { sha256: sha256(b"x").to_vec().into(), ..named("failed") };
    let failed = calls.initiate_upload(wrong).await.unwrap().upload_id;
    let last = pb::UploadChunkRequest { is_last: true, ..chunk(&failed, 0, b"y") };
    assert_eq!(calls.upload_chunk(last).await.unwrap().state(), UploadState::Failed);
    ids.insert("failed", failed);
    let aborted = calls.open("aborted").await;
    for number in [0, 2] {
        calls.upload_chunk(chunk(&aborted, number, &noise(2, 9_000))).await.unwrap();
    }
    abort(calls, &aborted).await;
    ids.insert("aborted", aborted);
    ids
}

/// The list says of each what its owner says, who may be sweeping up after an end meanwhile.
async fn assert_listed(calls: &Calls, ids: &BTreeMap<&'static str, String>) {
    let before = ask_owners(calls, ids).await;
    let all = list(calls, pb::ListUploadsRequest::default()).await;
    let after = ask_owners(calls, ids).await;
    assert_eq!(all.len(), ids.len(), "{all:?}");
    for (id, told) in &all {
        assert!(*told == before[id] || *told == after[id], "{told:?}\nbut {:?}", before[id]);
    }
}

async fn ask_owners(
    calls: &Calls,
    ids: &BTreeMap<&'static str, String>,
) -> BTreeMap<String, pb::Upload> {
    let mut told = BTreeMap::new();
    for id in ids.values() {
        told.insert(id.clone(), calls.status(id).await.unwrap().upload.unwrap());
    }
    told
}

#[test]
fn each_upload_is_told_as_its_owner_tells_it_whoever_that_is() {
    let mut server = Server::start(Options::default());
    let runtime = runtime();
    let ids = runtime.block_on(async {
        let calls = Calls::to(&server.address());
        let ids = one_of_each(&calls).await;
        assert_listed(&calls, &ids).await;
        for (filter, name) in [
            (UploadState::Pending, "pending"),
            (UploadState::Uploading, "uploading"),
            (UploadState::Completed, "completed"),
            (UploadState::Failed, "failed"),
            (UploadState::Aborted, "aborted"),
        ] {
            let request = pb::ListUploadsRequest { state: filter.into(), ..Default::default() };
            let found = list(&calls, request).await;
            assert_eq!(found.keys().collect::<Vec<_>>(), [&ids[name]], "{filter:?}");
            let request = pb::ListUploadsRequest { filename: name.into(), ..Default::default() };
            let found = list(&calls, request.clone()).await;
            assert_eq!(found.keys().collect::<Vec<_>>(), [&ids[name]], "{name}");
            let elsewhere = UploadState::Expired.into();
            assert!(
                walk(&calls, pb::ListUploadsRequest { state: elsewhere, ..request })
                    .await
                    .is_empty()
            );
        }
        ids
    });
    // Swept, and gone from memory.
    server.terminate();
    server.options.cpus = server.options.cpus.split(',').next().unwrap().to_owned();
    server.restart();
    runtime.block_on(async {
        assert_listed(&Calls::to(&server.address()), &ids).await;
    });
}

#[test]
fn an_upload_is_found_by_the_request_that_made_it() {
    let server = Server::start(Options::default());
    runtime().block_on(async {
        let calls = Calls::to(&server.address());
        let asked = |request_id: &str| pb::InitiateUploadRequest {
            request_id: request_id.into(),
            ..named("f")
        };
        calls.open("of no request").await;
        let other = calls.initiate_upload(asked("other")).await.unwrap().upload_id;
        let first = calls.initiate_upload(asked("mine")).await.unwrap().upload_id;
        abort(&calls, &first).await;
        let second = calls.initiate_upload(asked("mine")).await.unwrap().upload_id;
        let find = |request_id: &str| pb::ListUploadsRequest {
            request_id: request_id.into(),
            page_size: 1,
            ..Default::default()
        };
        let mine = list(&calls, find("mine")).await;
        let states: BTreeMap<_, _> = mine.iter().map(|(id, u)| (id, u.state())).collect();
        let expected = [(&first, UploadState::Aborted), (&second, UploadState::Pending)];
        assert_eq!(states, expected.into());
        assert_eq!(list(&calls, find("other")).await.into_keys().collect::<Vec<_>>(), [other]);
        assert!(list(&calls, find("nobody's")).await.is_empty());
    });
}

#[test]
fn what_a_list_is_asked_for_has_its_rules() {
    let server = Server::start(Options::default());
    runtime().block_on(async {
        let calls = Calls::to(&server.address());
        let any = pb::ListUploadsRequest::default;
        for (bad, field, limit) in [
            (pb::ListUploadsRequest { state: 99, ..any() }, "state", "99"),
            (pb::ListUploadsRequest { state: -1, ..any() }, "state", "-1"),
            (pb::ListUploadsRequest { page_size: -1, ..any() }, "page_size", "negative"),
            (pb::ListUploadsRequest { request_id: "a b".into(), ..any() }, "request_id", "128"),
            (pb::ListUploadsRequest { filename: "a\n".into(), ..any() }, "filename", "control"),
            (pb::ListUploadsRequest { page_token: "00".into(), ..any() }, "page_token", ""),
        ] {
            let refusal = calls.list_uploads(bad).await.unwrap_err();
            assert_refused(&refusal, Reason::FieldInvalid, field, limit);
        }
    });
}

/// Walks go on while uploads begin and end on all shards, those that are walked among them.
#[test]
fn a_walk_tells_each_upload_once_while_others_begin_and_end() {
    let server = Server::start(Options::default());
    let mut random = Random::new(seed("lists"));
    runtime().block_on(async {
        let calls = Calls::to(&server.address());
        let (mut stay, mut end_soon) = (BTreeSet::new(), Vec::new());
        for number in 0..120 {
            let upload_id = match number % 3 {
                0 => calls.initiate_upload(whole("old")).await.unwrap().upload_id,
                _ => calls.open("old").await,
            };
            if number % 3 == 1 {
                end_soon.push(upload_id.clone());
            }
            stay.insert(upload_id);
        }
        let over = Arc::new(AtomicBool::new(false));
        let churn = tokio::spawn(churn(calls.clone(), Arc::clone(&over)));
        for round in 0..12 {
            let page_size = random.within(1..50) as i32;
            let request = pb::ListUploadsRequest { page_size, ..Default::default() };
            let ending = async {
                for upload_id in end_soon.split_off(end_soon.len().saturating_sub(4)) {
                    let last = chunk(&upload_id, 0, b"last");
                    let last = pb::UploadChunkRequest { is_last: true, ..last };
                    calls.upload_chunk(last).await.unwrap();
                }
            };
            let (told, ()) = tokio::join!(walk(&calls, request), ending);
            let mut seen = BTreeSet::new();
            for upload in &told {
                assert!(seen.insert(&upload.upload_id), "twice: {upload:?}");
            }
            let missed: Vec<_> = stay.iter().filter(|id| !seen.contains(id)).collect();
            assert!(missed.is_empty(), "round {round}, {page_size} a page, missed {missed:?}");
            let old =
                pb::ListUploadsRequest { filename: "old".into(), page_size, ..Default::default() };
            assert_eq!(list(&calls, old).await.len(), stay.len());
        }
        over.store(true, Ordering::Relaxed);
        assert!(churn.await.unwrap() > 0, "nothing went on beside the walks");
    });
}

/// Begins and ends uploads until it is over: how many.
async fn churn(calls: Calls, over: Arc<AtomicBool>) -> u32 {
    let mut uploads = 0;
    while !over.load(Ordering::Relaxed) && uploads < 3_000 {
        calls.initiate_upload(whole("new")).await.unwrap();
        let opened = calls.open("new").await;
        if uploads % 2 == 0 {
            abort(&calls, &opened).await;
        }
        uploads += 1;
    }
    uploads
}

#[test]
fn a_page_that_few_fit_ends_early_and_the_walk_goes_on() {
    let server = Server::start(Options::default());
    runtime().block_on(async {
        let calls = Calls::to(&server.address());
        let mut opening = tokio::task::JoinSet::new();
        for _ in 0..8 {
            let calls = calls.clone();
            opening.spawn(async move {
                for _ in 0..400 {
                    calls.open("hay").await;
                }
            });
        }
        opening.join_all().await;
        let needle = calls.open("needle").await;
        let mut request =
            pb::ListUploadsRequest { filename: "needle".into(), ..Default::default() };
        let (mut found, mut pages) = (Vec::new(), 0);
        loop {
            let page = calls.list_uploads(request.clone()).await.unwrap();
            found.extend(page.uploads);
            pages += 1;
            if page.next_page_token.is_empty() {
                break;
            }
            request.page_token = page.next_page_token;
        }
        assert_eq!(found.iter().map(|upload| &upload.upload_id).collect::<Vec<_>>(), [&needle]);
        assert!(pages > 1, "one page looked at all 3,201 uploads");
    });
}
