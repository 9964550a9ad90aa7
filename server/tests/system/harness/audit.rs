//! The last look at a server: what lies in its folder is exactly what its clients were told.

use std::collections::HashMap;

use super::data_dir::{Node, ObjectFile};
use super::{Ended, Outcome, Server, eventually, sha256};

/// Waits until nothing is left to do, ends the server, and checks its folder against `outcomes`:
/// one object of the exact bytes and one node row for each upload that ended whole, none for any
/// other, and nothing left behind. `outcomes` are all uploads that the server knows, but for those
/// that ended without an object, which may be missing. Every upload must have ended.
#[track_caller]
pub fn audit(mut server: Server, outcomes: &[Outcome]) {
    let nodes = audit_but_objects(&mut server, outcomes);
    let mut objects: HashMap<String, ObjectFile> = HashMap::new();
    for object in server.data().objects() {
        let twice = objects.insert(object.upload_id.clone(), object);
        assert!(twice.is_none(), "two objects of one upload: {twice:?}");
    }
    for outcome in outcomes {
        let id = &outcome.upload_id;
        if let Ended::Whole(bytes) = &outcome.ended {
            let object = objects.get(id).unwrap_or_else(|| panic!("no object of {id}"));
            let stored = std::fs::read(&object.path).unwrap();
            assert!(stored == *bytes, "{} isn't what was sent", object.path.display());
            assert_eq!(object.node_id, nodes[id], "{id}");
        } else {
            assert!(!objects.contains_key(id), "{id}, {:?}", outcome.ended);
        }
    }
    assert_eq!(objects.len(), nodes.len(), "objects of no upload: {objects:?}");
}

/// The same where objects lie elsewhere. By upload, the folders that objects must lie in.
#[track_caller]
pub fn audit_but_objects(server: &mut Server, outcomes: &[Outcome]) -> HashMap<String, String> {
    let data = server.data();
    // Cleaning up goes on after a client was answered.
    eventually(|| {
        let left = data.leftovers();
        (!left.is_empty()).then(|| format!("left behind: {left:?}"))
    });
    server.terminate();
    assert_eq!(data.leftovers(), Vec::<String>::new(), "after the end");
    let records = data.records();
    assert_eq!(records.unfinished, Vec::<String>::new(), "uploads without an end");
    let mut whole = 0;
    for outcome in outcomes {
        let id = &outcome.upload_id;
        let nodes: Vec<_> = records.nodes.iter().filter(|node| node.upload_id == *id).collect();
        let ends: Vec<_> = records.ends.iter().filter(|(of, _)| of == id).collect();
        let expected = match outcome.ended {
            Ended::Whole(_) => "UploadCompleted",
            Ended::As(_) => "UploadFailed",
        };
        assert!(matches!(ends[..], [(_, end)] if end == expected), "{id}: its end: {ends:?}");
        match &outcome.ended {
            Ended::Whole(bytes) => {
                whole += 1;
                assert_eq!(nodes.len(), 1, "{id}: {nodes:?}");
                let node = nodes[0];
                assert_eq!(node.size_bytes, bytes.len() as i64);
                assert_eq!(node.sha256.as_deref(), Some(&sha256(bytes)[..]));
                if !outcome.filename.is_empty() {
                    assert_eq!(node.filename, outcome.filename);
                }
            }
            Ended::As(state) => {
                assert!(nodes.is_empty(), "{id}, {state:?}");
            }
        }
    }
    assert_eq!(records.nodes.len(), whole, "nodes of no upload: {:?}", records.nodes);
    // A request is answered the same for a day; all else is free again.
    for claim in &records.claims {
        let is_node = records.nodes.iter().any(|node| node.upload_id == claim.upload_id);
        assert!(is_node && claim.is_finished, "a claim that nobody holds: {claim:?}");
    }
    let folder = |node: &Node| (node.upload_id.clone(), node.folder().to_owned());
    records.nodes.iter().map(folder).collect()
}
