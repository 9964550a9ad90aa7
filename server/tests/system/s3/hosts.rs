//! Buckets that hosts name, not paths.

use std::collections::BTreeSet;

use sluice_test_servers::{
    Stock,
    s3_faulty::{FaultyS3, Options as S3Options},
};

use super::{Store, audit_by, settings};
use crate::harness::{Kind, Options, Pace, Server, work};

/// In front of [`DOMAIN`], they are an address of loopback, which no resolver has to know.
const BUCKET: &str = "127";
const DOMAIN: &str = "0.0.1";

#[test]
fn a_bucket_can_be_the_first_label_of_the_host() {
    let options = S3Options {
        buckets: vec![BUCKET.into()],
        domain: Some(DOMAIN.into()),
        ..S3Options::default()
    };
    let s3 = FaultyS3::start(options);
    let port = s3.address().port();
    let endpoint = format!("http://{DOMAIN}:{port}");
    let store = Store { endpoint, bucket: BUCKET, keys: s3.keys() };
    let more = "path_style = false\nsingle_put_bytes = \"100 KiB\"\n";
    let server =
        Server::start(Options { settings: settings(&store, "disk", more), ..Options::default() });
    let kinds = Kind::ALL.len() as u64;
    let outcomes: Vec<_> = (0..kinds)
        .map(|seed| work(Kind::ALL[seed as usize], &server.address(), seed, Pace::default()))
        .collect();
    let requests = s3.requests();
    let by_path = requests.iter().find(|request| request.asked.path.starts_with("/127/"));
    assert!(by_path.is_none() && !requests.is_empty(), "{by_path:#?}");
    // The stock client names it in the path.
    let stock = Stock::new(&format!("http://localhost:{port}"), s3.region(), s3.keys());
    audit_by(&stock, BUCKET, &mut BTreeSet::new(), server, &outcomes);
}
