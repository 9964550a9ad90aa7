//! Multipart uploads that nobody goes on with are found; those of others are left alone.

use sluice_io::{
    reactor::executor::Executors,
    s3::{Client, Credentials, CredentialsSource, Endpoint, ObjectOptions, Settings, Times},
};
use sluice_test_servers::s3_faulty::{FaultyS3, Options as S3Options};

use super::{Store, settings};
use crate::harness::{Kind, Options, Pace, Server, eventually, get, work};

/// Begins multipart uploads under these keys, as a server before this one may have.
fn begin(s3: &FaultyS3, keys: Vec<String>) {
    let source = CredentialsSource::Keys {
        access_key: s3.keys().access_key.clone(),
        secret_key: s3.keys().secret_key.clone(),
        session_token: None,
    };
    let credentials = Credentials::load(source).unwrap();
    let settings = Settings {
        endpoint: Endpoint::parse(&s3.endpoint()).unwrap(),
        region: s3.region().to_owned(),
        is_path_style: true,
        tls: None,
        connections_max: 1,
        idle: std::time::Duration::from_secs(1),
        times: Times::default(),
    };
    let bucket = s3.bucket().to_owned();
    let executors = Executors::spawn(&[0], move |_, _| {
        let client = Client::new(settings.clone(), credentials.clone());
        let (bucket, keys) = (client.bucket(&bucket), keys.clone());
        async move {
            for key in keys {
                bucket.create_multipart(&key, None, &ObjectOptions::default()).await.unwrap();
            }
        }
    });
    executors.unwrap().join().unwrap();
}

#[test]
fn what_an_ended_upload_left_is_given_up_and_nothing_else() {
    let s3 = FaultyS3::start(S3Options::default());
    let store = Store { endpoint: s3.endpoint(), bucket: s3.bucket(), keys: s3.keys() };
    let settings = settings(&store, "disk", "");
    let mut server = Server::start(Options { settings, ..Options::default() });
    let ended = work(Kind::Payload, &server.address(), 1, Pace::default());
    let id = ended.upload_id;
    server.terminate();
    // The first digits say which node made it, the last are random.
    let turned = |at: usize| {
        let digit = if &id[at..=at] == "0" { "1" } else { "0" };
        format!("{}{digit}{}", &id[..at], &id[at + 1..])
    };
    let (of_other_node, unknown) = (turned(0), turned(id.len() - 1));
    let others = [
        format!("node/{of_other_node}"),
        // It may be younger than it looks.
        format!("node/{unknown}"),
        "somebody/else".to_owned(),
    ];
    let key = format!("node/{id}");
    begin(&s3, others.iter().chain([&key]).cloned().collect());
    server.restart();
    eventually(|| {
        let is_left = s3.open_multiparts().iter().any(|open| open.key == key);
        is_left.then(|| "it isn't given up".to_owned())
    });
    let left: std::collections::BTreeSet<_> =
        s3.open_multiparts().into_iter().map(|open| open.key).collect();
    assert_eq!(left, others.into());
    eventually(|| {
        let metrics = get(&server.admin(), "/metrics").unwrap().body;
        let is_told = metrics.contains("sluice_s3_orphans_found_total 1\n");
        (!is_told).then(|| "it isn't counted".to_owned())
    });
}
