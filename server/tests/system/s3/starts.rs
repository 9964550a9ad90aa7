//! How a server starts with a store: it waits for one that is down, and refuses one that refuses it.

use sluice_proto::pb::{CreateDriveRequest, InitiateUploadRequest};
use sluice_test_servers::s3_faulty::{FaultyS3, Options as S3Options, Rights};

use super::{Store, settings};
use crate::harness::{Calls, Options, Server, chunk, get, runtime};

fn options(s3: &FaultyS3, more: &str) -> Options {
    let store = Store { endpoint: s3.endpoint(), bucket: s3.bucket(), keys: s3.keys() };
    Options { settings: settings(&store, "disk", more), ..Options::default() }
}

#[test]
fn it_waits_for_a_store_that_is_down() {
    let s3 = FaultyS3::start(S3Options::default());
    s3.down();
    let mut server = Server::prepare(options(&s3, ""));
    server.spawn();
    crate::harness::eventually(|| {
        let answer = get(&server.admin(), "/readyz");
        let waits = server.log().contains("waiting for the object store");
        let is_told = answer.as_ref().is_some_and(|answer| answer.code == 503);
        (!(waits && is_told)).then(|| format!("it doesn't wait: {answer:?}\n{}", server.log()))
    });
    s3.up();
    crate::harness::eventually(|| {
        let answer = get(&server.admin(), "/readyz");
        let is_ready = answer.as_ref().is_some_and(|answer| answer.code == 200);
        (!is_ready).then(|| format!("it isn't ready: {answer:?}"))
    });
    assert!(server.log().contains("objects in s3://sluice-test"), "{}", server.log());
}

#[test]
fn it_does_not_start_where_nothing_could_be_stored() {
    let s3 = FaultyS3::start(S3Options::default());
    let nobody = s3.keys_with(Rights::None);
    let denied = Store { endpoint: s3.endpoint(), bucket: s3.bucket(), keys: nobody };
    let nowhere = Store { endpoint: s3.endpoint(), bucket: "no-such-bucket", keys: s3.keys() };
    for (store, words) in [(denied, "AccessDenied"), (nowhere, "no-such-bucket")] {
        let settings = settings(&store, "disk", "");
        let mut server = Server::prepare(Options { settings, ..Options::default() });
        let ended = server.try_restart().expect("it doesn't start");
        let log = server.log();
        assert!(!ended.success() && log.contains(words), "{log}");
        assert!(!log.contains(&store.keys.secret_key), "{log}");
    }
}

#[test]
fn objects_stay_where_open_uploads_began() {
    let s3 = FaultyS3::start(S3Options::default());
    let mut server = Server::start(options(&s3, ""));
    let address = server.address();
    let id = runtime().block_on(async {
        let calls = Calls::to(&address);
        let id = calls.open("stays").await;
        calls.upload_chunk(chunk(&id, 0, b"some")).await.unwrap();
        id
    });
    server.terminate();
    let in_s3 = std::mem::take(&mut server.options.settings);
    let ended = server.try_restart().expect("it doesn't start");
    assert!(!ended.success() && server.log().contains("objects elsewhere"), "{}", server.log());
    server.options.settings = in_s3;
    server.restart();
    runtime().block_on(async {
        Calls::to(&address).complete(&id, Some(1)).await.unwrap();
    });
}

#[test]
fn drives_are_buckets_and_prefixes() {
    let s3 = FaultyS3::start(S3Options::default());
    s3.make_bucket("other-bucket");
    let server = Server::start(options(&s3, ""));
    runtime().block_on(async {
        let calls = Calls::to(&server.address());
        let drive = |id: &str, bucket: &str, prefix: &str, credentials: &str| CreateDriveRequest {
            drive_id: id.into(),
            bucket: bucket.into(),
            prefix: prefix.into(),
            credentials_ref: credentials.into(),
            ..Default::default()
        };
        for (field, refused) in [
            ("credentials_ref", drive("a", "other-bucket", "", "elsewhere")),
            ("bucket", drive("a", "no/bucket", "", "")),
            ("prefix", drive("a", "other-bucket", "a/../b", "")),
        ] {
            let refused = calls.create_drive(refused).await.unwrap_err();
            assert_eq!(refused.field.as_deref(), Some(field), "{refused:?}");
        }
        calls.create_drive(drive("d", "other-bucket", "/in/here/", "default")).await.unwrap();
        let request = InitiateUploadRequest {
            drive_id: "d".into(),
            filename: "f".into(),
            payload: Some(b"bytes".to_vec().into()),
            ..Default::default()
        };
        let made = calls.initiate_upload(request).await.unwrap();
        let done = calls.complete(&made.upload_id, Some(1)).await.unwrap();
        let object = done.object.unwrap();
        let key = format!("in/here/{}/{}", made.node_id, made.upload_id);
        assert_eq!((object.bucket.as_str(), &object.key), ("other-bucket", &key));
        assert_eq!(s3.object("other-bucket", &key).unwrap().contents(), b"bytes");
    });
    assert!(s3.objects(s3.bucket()).is_empty(), "nothing is left of trying it out");
}
