//! Keys from wherever they may come, and others before they end.

use std::{fs, sync::Arc};

use sluice_test_servers::{
    Lender,
    s3_faulty::{FaultyS3, Identity, Operation, Rights},
};

use super::{
    faulty::{BY_PARTS, CHUNK_BYTES, LARGE_BYTES, audit_by_stock, end, send, whole},
    settings_without_keys,
};
use crate::harness::{
    Calls, Kind, Options, Outcome, Pace, Server, checked_chunk, noise, runtime, work,
};

/// Keys that live no longer: they are renewed twice as often.
const SHORT_S: i64 = 6;
const LONG_S: i64 = 3_600;

/// A server with `environment`, which has keys from where `credentials` says.
fn prepare(s3: &FaultyS3, credentials: &str, environment: Vec<(String, String)>) -> Server {
    let more = format!("{BY_PARTS}{credentials}");
    let settings = settings_without_keys(&s3.endpoint(), s3.bucket(), "disk", &more);
    let mut server = Server::prepare(Options { settings, ..Options::default() });
    server.environment = environment;
    server
}

/// Who lends keys to the store's liking.
fn lender(life_s: i64) -> (Arc<FaultyS3>, Lender) {
    let s3 = Arc::new(FaultyS3::start(Default::default()));
    let store = s3.clone();
    (s3, Lender::start(life_s, move |identity| store.let_in(identity)))
}

fn upload(server: &Server, filename: &str) -> Outcome {
    let bytes = noise(1, LARGE_BYTES);
    let id = runtime().block_on(async {
        let calls = Calls::to(&server.address());
        let (id, count) = send(&calls, filename, &bytes).await;
        end(&calls, &id, count).await.unwrap();
        id
    });
    whole(id, filename, bytes)
}

/// One upload, and no secret is told.
fn stores_with(s3: &FaultyS3, mut server: Server, secrets: &[&str]) {
    server.restart();
    let outcome = upload(&server, "stored");
    for secret in secrets {
        assert!(!server.log().contains(secret), "{}", server.log());
    }
    assert_none_refused(s3);
    audit_by_stock(s3, server, &[outcome]);
}

/// But for what is refused on purpose, to find out what a store does.
#[track_caller]
fn assert_none_refused(s3: &FaultyS3) {
    let codes = ["AccessDenied", "InvalidAccessKeyId", "ExpiredToken", "InvalidToken"];
    let refused = |code: &Option<String>| code.as_deref().is_some_and(|code| codes.contains(&code));
    let requests = s3.requests();
    let refused = requests.iter().find(|request| refused(&request.code));
    assert!(refused.is_none(), "{refused:#?}");
}

fn named(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

#[test]
fn keys_of_the_environment() {
    let s3 = FaultyS3::start(Default::default());
    let Identity { access_key, secret_key, .. } = s3.keys();
    let environment =
        vec![named("AWS_ACCESS_KEY_ID", access_key), named("AWS_SECRET_ACCESS_KEY", secret_key)];
    for credentials in ["credentials = \"environment\"\n", "credentials = \"chain\"\n", ""] {
        let server = prepare(&s3, credentials, environment.clone());
        s3.lose_bucket(s3.bucket());
        s3.make_bucket(s3.bucket());
        stores_with(&s3, server, &[secret_key]);
    }
}

/// They are read again once the store knows the first no longer.
#[test]
fn keys_of_a_profile_that_change_under_an_upload() {
    let s3 = FaultyS3::start(Default::default());
    let (old, new) = (
        Identity::new("AKIAPROFILE000000001", "profilesecretnumber1", Rights::All),
        Identity::new("AKIAPROFILE000000002", "profilesecretnumber2", Rights::All),
    );
    s3.let_in(old.clone());
    let mut server = prepare(&s3, "profile = \"uploads\"\n", Vec::new());
    let home = server.scratch();
    server.environment = vec![named("HOME", &home.display().to_string())];
    fs::create_dir(home.join(".aws")).unwrap();
    let write = |keys: &Identity| {
        let Identity { access_key, secret_key, .. } = keys;
        let text = format!(
            "[default]\naws_access_key_id = nobody\naws_secret_access_key = none\n[uploads]\n\
             aws_access_key_id = {access_key}\naws_secret_access_key = {secret_key}\n"
        );
        fs::write(home.join(".aws/credentials"), text).unwrap();
    };
    write(&old);
    server.restart();
    let bytes = noise(2, LARGE_BYTES);
    let id = runtime().block_on(async {
        let calls = Calls::to(&server.address());
        let (id, count) = send(&calls, "rotated", &bytes).await;
        tokio::task::block_in_place(|| s3.until_asked(Operation::UploadPart, 2));
        s3.let_in(new.clone());
        write(&new);
        s3.shut_out(&old.access_key);
        end(&calls, &id, count).await.unwrap();
        id
    });
    assert!(
        s3.requests()
            .last()
            .unwrap()
            .asked
            .header("authorization")
            .unwrap()
            .contains(&new.access_key)
    );
    audit_by_stock(&s3, server, &[whole(id, "rotated", bytes)]);
}

/// Whatever is asked meanwhile is signed with keys that haven't ended.
#[test]
fn keys_of_a_container_are_renewed_under_an_upload() {
    let (s3, lender) = lender(SHORT_S);
    let mut server = prepare(&s3, "credentials = \"container\"\n", lender.container());
    server.restart();
    let (address, bytes) = (server.address(), noise(3, LARGE_BYTES));
    let runtime = runtime();
    let _inside = runtime.enter();
    let (calls, mut outcomes) = (Calls::to(&address), Vec::new());
    let id = runtime.block_on(calls.open("long"));
    let mut count = 0;
    for data in bytes.chunks(CHUNK_BYTES) {
        // The rest comes when those have ended that its first parts were sent with.
        while count == 4 && lender.lent() < 3 {
            outcomes.push(work(Kind::Payload, &address, outcomes.len() as u64, Pace::default()));
        }
        runtime.block_on(calls.upload_chunk(checked_chunk(&id, count, data, 2))).unwrap();
        count += 1;
    }
    runtime.block_on(end(&calls, &id, count)).unwrap();
    outcomes.push(whole(id, "long", bytes));
    assert_none_refused(&s3);
    assert!(!server.log().contains("they have ended"), "{}", server.log());
    audit_by_stock(&s3, server, &outcomes);
}

#[test]
fn keys_of_a_machine() {
    let (s3, lender) = lender(LONG_S);
    let server = prepare(&s3, "credentials = \"instance\"\n", lender.machine());
    stores_with(&s3, server, &["lentsecret", "lent-token", "machine-token"]);
    assert_eq!(lender.lent(), 1);
}

#[test]
fn keys_for_a_token() {
    let (s3, lender) = lender(LONG_S);
    let mut server = prepare(&s3, "credentials = \"web_identity\"\n", Vec::new());
    server.environment = lender.web_identity(&server.scratch().join("token"));
    stores_with(&s3, server, &["lentsecret", "lent-token", "web-token"]);
    assert_eq!(lender.lent(), 1);
}
