//! Servers whose objects lie in S3: a real store, or one that breaks on command.

mod bucket_gone;
#[cfg(feature = "failpoints")]
mod crash_matrix;
mod credentials;
mod ends;
mod faults;
mod faulty;
mod hosts;
mod lesser_stores;
mod orphans;
mod parking;
mod parts_renamed;
mod redis_loses;
mod shared_state;
mod starts;
mod tls;
mod versions;

use std::{cell::RefCell, collections::BTreeSet};

use sluice_test_servers::{SeaweedFs, SeaweedFsOptions, Stock, s3_faulty::Identity};

use crate::harness::{Ended, Outcome, Server, audit_but_objects, eventually, hex, sha256};

/// A store, and who may do what there.
struct Store<'a> {
    endpoint: String,
    bucket: &'a str,
    keys: &'a Identity,
}

/// Settings of a server whose objects lie there; `more` are lines of its section.
fn settings(store: &Store<'_>, spool: &str, more: &str) -> String {
    let Store { endpoint, bucket, keys } = store;
    let Identity { access_key, secret_key, .. } = keys;
    let keys = format!("access_key_id = \"{access_key}\"\nsecret_access_key = \"{secret_key}\"\n");
    settings_without_keys(endpoint, bucket, spool, &format!("{keys}{more}"))
}

/// The same of one that has its keys from elsewhere.
fn settings_without_keys(endpoint: &str, bucket: &str, spool: &str, more: &str) -> String {
    format!(
        "objects = \"s3\"\nspool = \"{spool}\"\n[s3]\nendpoint = \"{endpoint}\"\n\
         bucket = \"{bucket}\"\ntimeout = \"5 s\"\nstall = \"5 s\"\n{more}"
    )
}

/// A real store, and a client of somebody else's.
struct Seaweed {
    server: SeaweedFs,
    stock: Stock,
    /// Objects that were looked at before.
    seen: RefCell<BTreeSet<String>>,
}

impl Seaweed {
    fn start() -> Self {
        let server = SeaweedFs::start(SeaweedFsOptions::default());
        let stock = Stock::new(&server.endpoint(), server.region(), server.keys());
        Self { server, stock, seen: RefCell::default() }
    }

    fn settings(&self, spool: &str, more: &str) -> String {
        let Self { server, .. } = self;
        let (endpoint, bucket) = (server.endpoint(), server.bucket());
        settings(&Store { endpoint, bucket, keys: server.keys() }, spool, more)
    }

    /// See [`audit_by`].
    #[track_caller]
    fn audit(&self, server: Server, outcomes: &[Outcome]) {
        let seen = &mut self.seen.borrow_mut();
        audit_by(&self.stock, self.server.bucket(), seen, server, outcomes);
    }
}

/// All uploads have ended as their clients were told; the bucket has exactly the objects of those
/// that ended whole, as the stock client reads them, and no multipart upload. `seen`: objects that
/// were looked at before.
#[track_caller]
fn audit_by(
    stock: &Stock,
    bucket: &str,
    seen: &mut BTreeSet<String>,
    mut server: Server,
    outcomes: &[Outcome],
) {
    let nodes = audit_but_objects(&mut server, outcomes);
    eventually(|| {
        let open = stock.open_multiparts(bucket);
        (!open.is_empty()).then(|| format!("open multipart uploads: {open:?}"))
    });
    let mut expected = BTreeSet::new();
    for outcome in outcomes {
        let Ended::Whole(bytes) = &outcome.ended else { continue };
        let key = format!("{}/{}", nodes[&outcome.upload_id], outcome.upload_id);
        assert_eq!(stock.sha256(bucket, &key), hex(&sha256(bytes)), "{key}");
        let head = stock.head(bucket, &key);
        assert_eq!(head.metadata.get("sluice-upload-id"), Some(&outcome.upload_id));
        assert_eq!(head.length_bytes, bytes.len() as u64);
        expected.insert(key);
    }
    let keys: BTreeSet<_> = stock.keys(bucket).into_iter().collect();
    let new: BTreeSet<_> = keys.difference(seen).cloned().collect();
    assert_eq!(new, expected);
    seen.extend(new);
}
