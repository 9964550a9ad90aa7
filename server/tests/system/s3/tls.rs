//! A store that is reached over TLS, and one whose certificate nobody here believes.

use std::collections::BTreeSet;

use sluice_test_servers::{
    Authority, Stock,
    s3_faulty::{FaultyS3, Options as S3Options, Tls},
};

use super::{audit_by, faulty::options};
use crate::harness::{Kind, Options, Pace, Server, eventually, get, work};

fn start_store() -> (FaultyS3, Tls) {
    let tls = Tls::new("IP:127.0.0.1");
    (FaultyS3::start(S3Options { tls: Some(tls.clone()), ..S3Options::default() }), tls)
}

fn believing(s3: &FaultyS3, authority: &Authority, more: &str) -> Options {
    options(s3, "disk", &format!("ca_file = {:?}\n{more}", authority.file()))
}

#[test]
fn uploads_of_every_kind_go_over_tls() {
    let (s3, tls) = start_store();
    let server = Server::start(believing(&s3, &tls.authority, "single_put_bytes = \"100 KiB\"\n"));
    let kinds = Kind::ALL.len() as u64;
    let outcomes: Vec<_> = (0..kinds)
        .map(|seed| work(Kind::ALL[seed as usize], &server.address(), seed, Pace::default()))
        .collect();
    let stock = Stock::new(&s3.endpoint(), s3.region(), s3.keys()).believing(tls.authority.file());
    audit_by(&stock, s3.bucket(), &mut BTreeSet::new(), server, &outcomes);
}

/// It may yet get another certificate, so that is waited for.
#[test]
fn a_store_that_isnt_signed_is_not_asked() {
    let ((s3, _), another) = (start_store(), Authority::new());
    let mut server = Server::prepare(believing(&s3, &another, ""));
    server.spawn();
    eventually(|| {
        let log = server.log();
        let is_told = log.contains("Tls: 127.0.0.1") && log.contains("UnknownIssuer");
        (!is_told).then_some(log)
    });
    assert!(get(&server.admin(), "/readyz").is_none_or(|answer| answer.code == 503));
    assert!(s3.requests().is_empty(), "it was asked: {:#?}", s3.requests());
}
