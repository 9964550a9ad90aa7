//! A stock client, boto3, against each of the stores: whether they speak S3, and how each deviates.

use sluice_test_servers::{
    Ceph, FaultyS3, SeaweedFs, SeaweedFsOptions, Stock,
    s3_faulty::{Operation, Options, Rights, Tls},
};

#[test]
fn the_faulty_store_speaks_s3_to_a_stock_client() {
    let s3 = FaultyS3::start(Options::default());
    let stock = Stock::new(&s3.endpoint(), s3.region(), s3.keys());
    stock.check_protocol(s3.bucket(), s3.keys_with(Rights::Read), &[]);
    assert_eq!(s3.count(Operation::Other), 0, "the script asks for what the store has");
    // What the client sees is what the store tells the test.
    let objects = s3.objects(s3.bucket());
    assert_eq!(stock.keys(s3.bucket()), objects.keys().cloned().collect::<Vec<_>>());
    let parts = &objects["parts"];
    assert_eq!(stock.sha256(s3.bucket(), "parts"), parts.sha256());
    let head = stock.head(s3.bucket(), "parts");
    assert_eq!((head.length_bytes, &head.etag), (parts.length(), &parts.etag));
    assert_eq!(head.metadata, parts.metadata);
    assert_eq!(stock.open_multiparts(s3.bucket()), []);
    assert_eq!(s3.open_multiparts(), []);
}

#[test]
fn the_faulty_store_speaks_tls() {
    let tls = Tls::new("IP:127.0.0.1");
    let s3 = FaultyS3::start(Options { tls: Some(tls.clone()), ..Options::default() });
    let stock = Stock::new(&s3.endpoint(), s3.region(), s3.keys());
    let stock = stock.believing(tls.authority.file());
    assert!(s3.endpoint().starts_with("https://"));
    assert_eq!(stock.keys(s3.bucket()), [""; 0]);
}

/// What SeaweedFS 4.48 doesn't do as S3 does it.
const SEAWEEDFS_DEVIATES: &[&str] = &[
    "a_body_that_was_not_signed_is_refused",
    // It lists both.
    "a_part_that_came_again_is_listed_as_the_second",
    "an_abort_of_what_is_gone_is_told",
];

#[test]
fn seaweedfs_speaks_s3_but_for_what_is_known_and_keeps_it_over_a_kill() {
    let mut s3 = SeaweedFs::start(SeaweedFsOptions::default());
    let stock = Stock::new(&s3.endpoint(), s3.region(), s3.keys());
    stock.check_protocol(s3.bucket(), s3.keys_with(Rights::Read), SEAWEEDFS_DEVIATES);
    let before = (stock.keys(s3.bucket()), stock.sha256(s3.bucket(), "parts"));
    s3.kill();
    s3.restart();
    assert_eq!((stock.keys(s3.bucket()), stock.sha256(s3.bucket(), "parts")), before);
}

#[test]
fn seaweedfs_keeps_versions_where_it_is_told_to() {
    let buckets = vec!["plain".to_owned(), "versioned".to_owned()];
    let versioned = vec!["versioned".to_owned()];
    let s3 = SeaweedFs::start(SeaweedFsOptions { buckets, versioned, ..Default::default() });
    let stock = Stock::new(&s3.endpoint(), s3.region(), s3.keys());
    for bucket in ["plain", "versioned"] {
        stock.put(bucket, "k", b"hello");
        let head = stock.head(bucket, "k");
        assert_eq!(head.version_id.is_some(), bucket == "versioned", "{head:?}");
    }
}

/// What radosgw 16.2 doesn't do as S3 does it.
const CEPH_DEVIATES: &[&str] = &[
    "the_clients_own_sums_are_taken",
    "a_wrong_crc32c_is_refused",
    "a_wrong_crc64nvme_is_refused",
    // It is empty.
    "the_end_tells_the_etag_of_the_object",
    "a_whole_crc64nvme_is_held_against_all_parts",
    "the_clients_own_sums_of_parts_are_taken",
    "parts_out_of_order_are_refused",
    // 404, but NoSuchKey.
    "parts_of_what_is_gone_are_not_listed",
    // 500 InternalError: it is "already in progress".
    "the_end_of_what_is_gone_is_refused",
    "what_is_there_is_not_overwritten_on_demand",
];

#[test]
#[ignore = "`make ceph` installs it and runs this"]
fn ceph_speaks_s3_but_for_what_is_known() {
    let s3 = Ceph::start();
    let stock = Stock::new(&s3.endpoint(), s3.region(), s3.keys());
    stock.check_protocol(s3.bucket(), s3.reader(), CEPH_DEVIATES);
}
