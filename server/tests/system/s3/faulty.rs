//! Servers before a store of our own, and large uploads to them.

use std::{
    collections::{BTreeMap, BTreeSet},
    process::Command,
};

use serde_json::Value;
use sluice_proto::{
    error::{Code, Reason},
    pb::{CompleteUploadResponse, InitiateUploadRequest, UploadState},
};
use sluice_test_servers::{
    Stock,
    s3_faulty::{FaultyS3, Options as S3Options},
};

use super::{Store, audit_by, settings};
use crate::harness::{
    Calls, Ended, Options, Outcome, Server, audit_but_objects, checked_chunk, eventually,
};

pub(super) const CHUNK_BYTES: usize = 3_000_001;
pub(super) const LARGE_BYTES: usize = 20 << 20;
pub(super) const BY_PARTS: &str = "single_put_bytes = \"0\"\n";

pub(super) fn start(spool: &str, more: &str) -> (FaultyS3, Server) {
    start_before(S3Options::default(), spool, more)
}

/// The same before a store that isn't like S3 itself.
pub(super) fn start_before(store: S3Options, spool: &str, more: &str) -> (FaultyS3, Server) {
    let s3 = FaultyS3::start(store);
    let server = Server::start(options(&s3, spool, more));
    s3.forget_requests();
    (s3, server)
}

pub(super) fn options(s3: &FaultyS3, spool: &str, more: &str) -> Options {
    let store = Store { endpoint: s3.endpoint(), bucket: s3.bucket(), keys: s3.keys() };
    Options { settings: settings(&store, spool, more), ..Options::default() }
}

/// Sends a large object; what is acked and not stored yet waits.
pub(super) async fn send(calls: &Calls, filename: &str, bytes: &[u8]) -> (String, i32) {
    let request = InitiateUploadRequest { filename: filename.to_owned(), ..Default::default() };
    let id = calls.initiate_upload(request).await.unwrap().upload_id;
    let mut count = 0;
    for data in bytes.chunks(CHUNK_BYTES) {
        calls.upload_chunk(checked_chunk(&id, count, data, 2)).await.unwrap();
        count += 1;
    }
    (id, count)
}

/// Asks for the end until there is one.
pub(super) async fn end(
    calls: &Calls,
    id: &str,
    count: i32,
) -> Result<CompleteUploadResponse, Reason> {
    loop {
        match calls.complete(id, Some(count)).await {
            Ok(done) if done.state() == UploadState::Completed => return Ok(done),
            Ok(_) => {}
            // Right after a start, or while a backend is down.
            Err(refused) if refused.code == Code::Unavailable.number() => {}
            Err(refused) => return Err(refused.reason.expect("a reason that is known")),
        }
    }
}

/// Nothing is there but the objects of what ended whole, one each and byte for byte.
#[track_caller]
pub(super) fn audit(s3: &FaultyS3, mut server: Server, outcomes: &[Outcome]) {
    let nodes = audit_but_objects(&mut server, outcomes);
    let mut objects = s3.objects(s3.bucket());
    for outcome in outcomes {
        let Ended::Whole(bytes) = &outcome.ended else { continue };
        let key = format!("{}/{}", nodes[&outcome.upload_id], outcome.upload_id);
        let object = objects.remove(&key).unwrap_or_else(|| panic!("no object {key}"));
        assert!(object.contents() == *bytes, "{key} isn't what was sent");
        assert_eq!(object.metadata.get("sluice-upload-id"), Some(&outcome.upload_id));
    }
    assert!(objects.is_empty(), "objects of nobody: {:?}", objects.keys());
    eventually(|| {
        let open = s3.open_multiparts();
        (!open.is_empty()).then(|| format!("open multipart uploads: {open:?}"))
    });
}

/// The same, as a stock client sees it.
#[track_caller]
pub(super) fn audit_by_stock(s3: &FaultyS3, server: Server, outcomes: &[Outcome]) {
    let stock = Stock::new(&s3.endpoint(), s3.region(), s3.keys());
    audit_by(&stock, s3.bucket(), &mut BTreeSet::new(), server, outcomes);
}

pub(super) fn whole(upload_id: String, filename: &str, bytes: Vec<u8>) -> Outcome {
    Outcome { upload_id, filename: filename.to_owned(), ended: Ended::Whole(bytes) }
}

pub(super) fn failed(upload_id: String, filename: &str) -> Outcome {
    let ended = Ended::As(UploadState::Failed);
    Outcome { upload_id, filename: filename.to_owned(), ended }
}

/// What `sluice doctor` finds of each thing that it looks at.
pub(super) fn doctor(settings: &str) -> BTreeMap<String, String> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("sluice.toml"), settings).unwrap();
    let mut doctor = Command::new(env!("CARGO_BIN_EXE_sluice"));
    doctor.env_clear().current_dir(folder.path()).args(["doctor", "--json"]);
    doctor.args(["--config", "sluice.toml", "--memory-limit", "512M", "--data-dir", "data"]);
    // Whether it ends well is up to the machine, too.
    let told: Value = serde_json::from_slice(&doctor.output().unwrap().stdout).unwrap();
    let text = |check: &Value, name: &str| check[name].as_str().unwrap().to_owned();
    let checks = told["checks"].as_array().unwrap().iter();
    checks.map(|check| (text(check, "check"), text(check, "found"))).collect()
}
