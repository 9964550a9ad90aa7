//! Multipart uploads that nobody goes on with are found; those of others are left alone.

use std::collections::BTreeSet;

use sluice_io::{
    reactor::executor::Executors,
    s3::{Client, Credentials, CredentialsSource, Endpoint, ObjectOptions, Settings, Times},
};
use sluice_test_servers::{
    Redis, RedisOptions,
    s3_faulty::{FaultyS3, Options as S3Options},
};

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

/// Keys that look like those of uploads, and aren't this node's to judge, or not yet.
fn keys_of_others(id: &str) -> [String; 3] {
    // The first digits say which node made it, the last are random.
    let turned = |at: usize| {
        let digit = if &id[at..=at] == "0" { "1" } else { "0" };
        format!("{}{digit}{}", &id[..at], &id[at + 1..])
    };
    let (of_other_node, unknown) = (turned(0), turned(id.len() - 1));
    [
        format!("node/{of_other_node}"),
        // It may be younger than it looks.
        format!("node/{unknown}"),
        "somebody/else".to_owned(),
    ]
}

/// A key of an upload's that is listed last: once it is given up, all others were judged.
fn last_key(id: &str) -> String {
    format!("zzz/{id}")
}

fn open_keys(s3: &FaultyS3) -> BTreeSet<String> {
    s3.open_multiparts().into_iter().map(|open| open.key).collect()
}

#[track_caller]
fn assert_given_up(s3: &FaultyS3, key: &str) {
    eventually(|| open_keys(s3).contains(key).then(|| "it isn't given up".to_owned()));
}

#[track_caller]
fn assert_counted(server: &Server, orphans: u32) {
    let line = format!("sluice_s3_orphans_found_total {orphans}\n");
    eventually(|| {
        let metrics = get(&server.admin(), "/metrics").unwrap().body;
        (!metrics.contains(&line)).then(|| "it isn't counted".to_owned())
    });
}

/// A store, and settings of a server whose objects lie there; `more` are lines of its section.
fn start(more: &str) -> (FaultyS3, String) {
    let s3 = FaultyS3::start(S3Options::default());
    let store = Store { endpoint: s3.endpoint(), bucket: s3.bucket(), keys: s3.keys() };
    let settings = settings(&store, "disk", more);
    (s3, settings)
}

/// The id of an upload that has ended.
fn ended(server: &Server) -> String {
    work(Kind::Payload, &server.address(), 1, Pace::default()).upload_id
}

#[test]
fn what_an_ended_upload_left_is_given_up_and_nothing_else() {
    let (s3, settings) = start("");
    let mut server = Server::start(Options { settings, ..Options::default() });
    let id = ended(&server);
    server.terminate();
    let (others, key) = (keys_of_others(&id), last_key(&id));
    begin(&s3, others.iter().chain([&key]).cloned().collect());
    server.restart();
    assert_given_up(&s3, &key);
    assert_eq!(open_keys(&s3), others.into());
    assert_counted(&server, 1);
}

#[test]
fn what_is_to_be_reported_alone_is_named_and_stays() {
    let (s3, settings) = start("orphans = \"report\"\n");
    let mut server = Server::start(Options { settings, ..Options::default() });
    let key = last_key(&ended(&server));
    server.terminate();
    begin(&s3, vec![key.clone()]);
    server.restart();
    assert_counted(&server, 1);
    let log = server.log();
    let told = log.lines().find(|line| line.contains("s3.orphans is report"));
    assert!(told.is_some_and(|line| line.contains(&key)), "{log}");
    assert_eq!(open_keys(&s3), [key].into());
}

/// A node that never comes back leaves them to the others that share its Redis.
#[test]
fn what_another_node_left_is_given_up_where_its_uploads_are_known() {
    let (s3, settings) = start("");
    let redis = Redis::start(RedisOptions::default());
    let shared =
        format!("coordination = \"redis\"\n{settings}[redis]\nurl = \"{}\"\n", redis.url());
    let mut gone = Server::start(Options { settings: shared.clone(), ..Options::default() });
    let id = ended(&gone);
    gone.terminate();
    let (others, key) = (keys_of_others(&id), last_key(&id));
    begin(&s3, others.iter().chain([&key]).cloned().collect());
    let server = Server::start(Options { settings: shared, ..Options::default() });
    assert_given_up(&s3, &key);
    assert_counted(&server, 1);
    // One that keeps its state to itself knows nothing of them.
    drop(server);
    let mut alone = Server::start(Options { settings, ..Options::default() });
    let own = last_key(&ended(&alone));
    alone.terminate();
    begin(&s3, vec![own.clone(), key.clone()]);
    alone.restart();
    assert_given_up(&s3, &own);
    assert_counted(&alone, 1);
    assert_eq!(open_keys(&s3), others.into_iter().chain([key]).collect());
}
