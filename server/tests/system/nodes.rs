//! Nodes: what was uploaded whole is found again, by its id, its name, or page by page.

use std::collections::HashMap;

use sluice_proto::checksum::Crc64Nvme;
use sluice_proto::error::Reason;
use sluice_proto::pb;

use crate::harness::{Calls, Options, Server, assert_refused, noise, runtime, sha256};

fn file(node_id: &str, filename: &str, bytes: &[u8]) -> pb::InitiateUploadRequest {
    pb::InitiateUploadRequest {
        node_id: node_id.into(),
        filename: filename.into(),
        mime_type: "text/plain".into(),
        metadata: [("k\u{e9}y".to_owned(), "v\u{202e}\n".to_owned())].into(),
        payload: Some(bytes.to_vec().into()),
        ..Default::default()
    }
}

async fn get(calls: &Calls, node_id: &str) -> pb::Node {
    let request = pb::GetNodeRequest { drive_id: String::new(), node_id: node_id.into() };
    calls.get_node(request).await.unwrap().node.unwrap()
}

/// All pages of a list, and how many there were.
async fn walk(calls: &Calls, mut request: pb::ListNodesRequest) -> (Vec<pb::Node>, u32) {
    let (mut nodes, mut pages) = (Vec::new(), 0);
    loop {
        let page = calls.list_nodes(request.clone()).await.unwrap();
        nodes.extend(page.nodes);
        pages += 1;
        if page.next_page_token.is_empty() {
            return (nodes, pages);
        }
        request.page_token = page.next_page_token;
    }
}

fn ids(nodes: &[pb::Node]) -> Vec<&str> {
    nodes.iter().map(|node| node.node_id.as_str()).collect()
}

#[test]
fn a_node_is_told_as_it_was_uploaded_also_by_the_next_process() {
    let mut server = Server::start(Options::default());
    let runtime = runtime();
    let bytes = noise(1, 10_000);
    let node = runtime.block_on(async {
        let calls = Calls::to(&server.address());
        let asked = file("n", "a \u{1f600}", &bytes);
        let stored = calls.initiate_upload(asked.clone()).await.unwrap();
        let node = get(&calls, "n").await;
        assert_eq!((node.drive_id.as_str(), node.node_id.as_str()), ("default", "n"));
        assert_eq!((&node.filename, &node.mime_type), (&asked.filename, &asked.mime_type));
        assert_eq!((&node.metadata, &node.upload_id), (&asked.metadata, &stored.upload_id));
        assert!(node.create_time.is_some() && node.update_time.is_some());
        assert_eq!(node.object, stored.object, "the same as InitiateUpload told");
        let object = node.object.as_ref().unwrap();
        assert_eq!(object.size_bytes, 10_000);
        assert_eq!(object.sha256[..], sha256(&bytes)[..]);
        assert_eq!(object.crc64nvme[..], Crc64Nvme::of(&bytes).to_be_bytes()[..]);
        node
    });
    server.kill();
    server.restart();
    runtime.block_on(async {
        let calls = Calls::to(&server.address());
        assert_eq!(get(&calls, "n").await, node);
        let (all, _) = walk(&calls, pb::ListNodesRequest::default()).await;
        assert_eq!(all, [node]);
    });
}

#[test]
fn what_is_no_node_is_unknown() {
    let server = Server::start(Options::default());
    runtime().block_on(async {
        let calls = Calls::to(&server.address());
        let open = pb::InitiateUploadRequest { payload: None, ..file("open", "f", b"") };
        calls.initiate_upload(open).await.unwrap();
        let ask =
            |node_id: &str| pb::GetNodeRequest { drive_id: String::new(), node_id: node_id.into() };
        for unknown in ["nobody", "open", ".."] {
            let refusal = calls.get_node(ask(unknown)).await.unwrap_err();
            assert_refused(&refusal, Reason::NodeUnknown, "node_id", unknown);
        }
        for bad in ["", "a/b", &"x".repeat(129)] {
            let refusal = calls.get_node(ask(bad)).await.unwrap_err();
            assert_refused(&refusal, Reason::FieldInvalid, "node_id", "128");
        }
        let bad = pb::ListNodesRequest { filename: "a\n".into(), ..Default::default() };
        let refusal = calls.list_nodes(bad).await.unwrap_err();
        assert_refused(&refusal, Reason::FieldInvalid, "filename", "control");
    });
}

#[test]
fn pages_tell_every_node_once_while_others_are_stored() {
    let server = Server::start(Options::default());
    runtime().block_on(async {
        let calls = Calls::to(&server.address());
        let name = |number: usize| if number.is_multiple_of(3) { "third" } else { "other" };
        let old: Vec<String> = (0..30).map(|number| format!("{:02}", number * 7 % 30)).collect();
        for (number, node_id) in old.iter().enumerate() {
            calls.initiate_upload(file(node_id, name(number), b"x")).await.unwrap();
        }
        for page_size in [1, 7, 29, 30, 31, 1_000, i32::MAX] {
            let storing = async {
                for number in 0..10 {
                    let node_id = format!("{number:02}-{page_size}");
                    calls.initiate_upload(file(&node_id, "third", b"x")).await.unwrap();
                }
            };
            let request = pb::ListNodesRequest { page_size, ..Default::default() };
            let ((all, pages), ()) = tokio::join!(walk(&calls, request), storing);
            let all = ids(&all);
            assert!(all.is_sorted_by(|a, b| a < b), "each once, in order: {all:?}");
            assert!(old.iter().all(|node_id| all.contains(&node_id.as_str())), "{all:?}");
            assert!(page_size > 30 || pages >= 30 / page_size as u32);
        }
        let named =
            pb::ListNodesRequest { filename: "other".into(), page_size: 3, ..Default::default() };
        let (named, pages) = walk(&calls, named).await;
        assert!(named.iter().all(|node| node.filename == "other"));
        assert_eq!((named.len(), pages), (20, 7));
    });
}

#[test]
fn a_page_of_fat_nodes_fits_into_a_clients_message() {
    let server = Server::start(Options::default());
    runtime().block_on(async {
        let calls = Calls::to(&server.address());
        let fat: HashMap<String, String> =
            (0..8).map(|key| (key.to_string(), "v".repeat(2_000))).collect();
        for number in 0..300 {
            let metadata = fat.clone();
            let node = file(&format!("{number:03}"), "f", b"");
            calls.initiate_upload(pb::InitiateUploadRequest { metadata, ..node }).await.unwrap();
        }
        // 4.8 MB in all; tonic takes 4 MiB, as most do.
        let request = pb::ListNodesRequest { page_size: 1_000, ..Default::default() };
        let (all, pages) = walk(&calls, request).await;
        assert_eq!((all.len(), ids(&all).is_sorted()), (300, true));
        assert!(pages >= 5, "{pages} pages");
        let request = pb::ListUploadsRequest { page_size: 1_000, ..Default::default() };
        let page = calls.list_uploads(request).await.unwrap();
        assert!(!page.next_page_token.is_empty());
    });
}

#[test]
fn a_page_token_is_good_for_its_own_call_and_filter_alone() {
    let server = Server::start(Options::default());
    runtime().block_on(async {
        let calls = Calls::to(&server.address());
        for node_id in ["a", "b", "c"] {
            calls.initiate_upload(file(node_id, "f", b"x")).await.unwrap();
            let request = pb::CreateDriveRequest { drive_id: node_id.into(), ..Default::default() };
            calls.create_drive(request).await.unwrap();
        }
        let nodes = pb::ListNodesRequest { page_size: 1, ..Default::default() };
        let of_nodes = calls.list_nodes(nodes.clone()).await.unwrap().next_page_token;
        let drives = pb::ListDrivesRequest { page_size: 1, ..Default::default() };
        let of_drives = calls.list_drives(drives.clone()).await.unwrap().next_page_token;
        let uploads = pb::ListUploadsRequest { page_size: 1, ..Default::default() };
        let of_uploads = calls.list_uploads(uploads.clone()).await.unwrap().next_page_token;
        let mut other_end = of_nodes.clone();
        other_end.pop();
        other_end.push(if of_nodes.ends_with('0') { '1' } else { '0' });
        let garbage = ["x", "0", "-1", &"f".repeat(64), "\u{202e}", &other_end];
        let with = |token: &str| token.to_owned();
        for token in garbage.into_iter().chain([&*of_drives, &of_uploads]) {
            let request = pb::ListNodesRequest { page_token: with(token), ..nodes.clone() };
            let refusal = calls.list_nodes(request).await.unwrap_err();
            assert_refused(&refusal, Reason::FieldInvalid, "page_token", "");
        }
        for token in garbage.into_iter().chain([&*of_nodes, &of_uploads]) {
            let request = pb::ListDrivesRequest { page_token: with(token), ..drives.clone() };
            let refusal = calls.list_drives(request).await.unwrap_err();
            assert_refused(&refusal, Reason::FieldInvalid, "page_token", "");
        }
        for token in garbage.into_iter().chain([&*of_nodes, &of_drives]) {
            let request = pb::ListUploadsRequest { page_token: with(token), ..uploads.clone() };
            let refusal = calls.list_uploads(request).await.unwrap_err();
            assert_refused(&refusal, Reason::FieldInvalid, "page_token", "");
        }
        let page_token = of_nodes;
        let named =
            pb::ListNodesRequest { filename: "f".into(), page_token: page_token.clone(), ..nodes };
        let refusal = calls.list_nodes(named).await.unwrap_err();
        assert_refused(&refusal, Reason::FieldInvalid, "page_token", "");
        // The page's size is no filter, and `default` is the drive that was meant.
        let drive_id = "default".to_owned();
        let rest = pb::ListNodesRequest { page_token, drive_id, ..Default::default() };
        assert_eq!(ids(&calls.list_nodes(rest).await.unwrap().nodes), ["b", "c"]);
    });
}
