//! A bucket that keeps versions: an upload makes one, whatever happens, and is told which.

use std::collections::BTreeSet;

use sluice_test_servers::{
    SeaweedFs, SeaweedFsOptions, Stock,
    s3_faulty::{
        Abilities, Act, Digest, Fault, FaultyS3, Operation, Options as S3Options, Refusal,
    },
};

use super::{
    Store, audit_by,
    faulty::{LARGE_BYTES, audit_by_stock, end, send, start_before, whole},
    settings,
};
use crate::harness::{Calls, Options, Outcome, Server, noise, runtime};

/// Of what goes in one PUT.
const SMALL_BYTES: usize = 100_000;

/// An object, and the version that the client is told.
fn upload(server: &Server, seed: u64, bytes: usize) -> (Outcome, String, String) {
    let (bytes, filename) = (noise(seed, bytes), format!("version-{seed}"));
    let (id, done) = runtime().block_on(async {
        let calls = Calls::to(&server.address());
        let (id, count) = send(&calls, &filename, &bytes).await;
        let done = end(&calls, &id, count).await.unwrap();
        (id, done)
    });
    let object = done.object.unwrap();
    assert!(!object.version_id.is_empty(), "{object:?}");
    (whole(id, &filename, bytes), object.key, object.version_id)
}

/// A bucket with Object Lock, which keeps versions and demands a sum of all that is written.
fn locked() -> (FaultyS3, Server) {
    let abilities =
        Abilities { versioning: true, digest_wanted: Digest::Any, ..Abilities::default() };
    start_before(S3Options { abilities, ..S3Options::default() }, "disk", "")
}

#[track_caller]
fn assert_only(s3: &FaultyS3, key: &str, version_id: &str) {
    let versions = s3.versions(s3.bucket(), key);
    let ids: Vec<_> = versions.iter().map(|one| one.as_ref()?.version_id.as_deref()).collect();
    assert_eq!(ids, [Some(version_id)], "{key}");
}

#[test]
fn an_object_has_the_version_that_is_told() {
    let (s3, server) = locked();
    let (mut outcomes, stock) = (Vec::new(), Stock::new(&s3.endpoint(), s3.region(), s3.keys()));
    for (seed, bytes) in [(1, SMALL_BYTES), (2, LARGE_BYTES)] {
        let (outcome, key, version_id) = upload(&server, seed, bytes);
        assert_eq!(stock.head(s3.bucket(), &key).version_id.as_ref(), Some(&version_id));
        assert_only(&s3, &key, &version_id);
        outcomes.push(outcome);
    }
    audit_by_stock(&s3, server, &outcomes);
}

#[test]
fn an_answer_that_is_lost_makes_no_second_version() {
    let (s3, server) = locked();
    let mut outcomes = Vec::new();
    let ends =
        [(Operation::PutObject, SMALL_BYTES), (Operation::CompleteMultipartUpload, LARGE_BYTES)];
    for (operation, bytes) in ends {
        for act in [Act::DropAfter, Act::AnswerAfter(Refusal::internal_error())] {
            let fault = s3.inject(Fault::new(act).on(operation).times(2));
            let (outcome, key, version_id) = upload(&server, outcomes.len() as u64, bytes);
            assert!(s3.struck(fault) > 0);
            s3.heal_all();
            assert_only(&s3, &key, &version_id);
            outcomes.push(outcome);
        }
    }
    audit_by_stock(&s3, server, &outcomes);
}

#[test]
fn a_real_store_tells_the_same_version() {
    let options = SeaweedFsOptions::default();
    let versioned = options.buckets.clone();
    let store = SeaweedFs::start(SeaweedFsOptions { versioned, ..options });
    let (endpoint, bucket) = (store.endpoint(), store.bucket());
    let settings = settings(&Store { endpoint, bucket, keys: store.keys() }, "disk", "");
    let server = Server::start(Options { settings, ..Options::default() });
    let stock = Stock::new(&store.endpoint(), store.region(), store.keys());
    let mut outcomes = Vec::new();
    for (seed, bytes) in [(1, SMALL_BYTES), (2, LARGE_BYTES)] {
        let (outcome, key, version_id) = upload(&server, seed, bytes);
        assert_eq!(stock.head(bucket, &key).version_id, Some(version_id));
        outcomes.push(outcome);
    }
    audit_by(&stock, bucket, &mut BTreeSet::new(), server, &outcomes);
}
