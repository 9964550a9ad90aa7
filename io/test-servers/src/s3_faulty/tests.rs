//! What every fault does to a client that speaks plainly.

use std::{thread, time::Duration};

use super::{ask::Answered, *};

const PART: &[u8] = &[7; 5 << 20];

fn ask(s3: &FaultyS3) -> Ask<'_> {
    Ask { address: s3.address(), keys: s3.keys(), region: s3.region() }
}

fn send(s3: &FaultyS3, method_and_path: &str, body: &[u8]) -> std::io::Result<Answered> {
    let path = method_and_path.replace("/b/", &format!("/{}/", s3.bucket()));
    ask(s3).send(&path, &[], body)
}

fn struck_put(s3: &FaultyS3, act: Act) -> std::io::Result<Answered> {
    let fault = s3.inject(Fault::new(act).on(Operation::PutObject));
    let answered = send(s3, "PUT /b/k", b"hello");
    assert_eq!(s3.struck(fault), 1);
    s3.heal(fault);
    answered
}

fn begin(s3: &FaultyS3, key: &str) -> String {
    let begun = send(s3, &format!("POST /b/{key}?uploads"), b"").unwrap();
    encoding::encode(&begun.element("UploadId").unwrap())
}

fn part(s3: &FaultyS3, key: &str, upload: &str, number: u16, body: &[u8]) -> Answered {
    let path = format!("PUT /b/{key}?partNumber={number}&uploadId={upload}");
    send(s3, &path, body).unwrap()
}

fn complete(s3: &FaultyS3, key: &str, upload: &str, bodies: &[&[u8]]) -> std::io::Result<Answered> {
    let parts = bodies.iter().zip(1..).map(|(body, number)| {
        let etag = sums::hex(&sums::md5([&body.to_vec().into()]));
        format!("<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>")
    });
    let parts: String = parts.collect();
    let body = format!("<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>");
    send(s3, &format!("POST /b/{key}?uploadId={upload}"), body.as_bytes())
}

#[test]
fn answers_take_the_place_of_what_was_asked_or_follow_it() {
    let s3 = FaultyS3::start(Options::default());
    let slow = Refusal::slow_down().header("retry-after", "7");
    let answered = struck_put(&s3, Act::Answer(slow)).unwrap();
    assert_eq!((answered.status, answered.header("retry-after")), (503, Some("7")));
    assert_eq!(answered.element("Code").as_deref(), Some("SlowDown"));
    assert!(s3.object(s3.bucket(), "k").is_none());
    let terse = Act::AnswerAfter(Refusal::internal_error().terse());
    let answered = struck_put(&s3, terse).unwrap();
    assert_eq!((answered.status, answered.element("Message")), (500, None));
    assert_eq!(s3.object(s3.bucket(), "k").unwrap().contents(), b"hello");
    let recorded = s3.requests_of(Operation::PutObject);
    let codes: Vec<_> = recorded.iter().map(|one| one.code.as_deref().unwrap()).collect();
    assert_eq!(codes, ["SlowDown", "InternalError"]);
    assert!(recorded.iter().all(|one| one.body_bytes == 5 && one.fault.is_some()));
}

#[test]
fn connections_break_before_and_after_it_is_carried_out() {
    let s3 = FaultyS3::start(Options::default());
    struck_put(&s3, Act::DropBefore).unwrap_err();
    struck_put(&s3, Act::ResetInBody { after_bytes: 1 }).unwrap_err();
    assert!(s3.objects(s3.bucket()).is_empty());
    struck_put(&s3, Act::DropAfter).unwrap_err();
    assert_eq!(s3.objects(s3.bucket())["k"].contents(), b"hello");
    let fault = Fault::new(Act::CutAnswer { after_bytes: 2 }).on(Operation::GetObject);
    s3.inject(fault);
    send(&s3, "GET /b/k", b"").unwrap_err();
    assert_eq!(send(&s3, "GET /b/k", b"").unwrap().body, b"hello");
    assert_eq!(s3.requests_of(Operation::GetObject)[0].status, Some(200));
}

#[test]
fn what_is_held_goes_on_once_it_is_healed() {
    let s3 = FaultyS3::start(Options::default());
    for (act, is_there) in [(Act::Hold, false), (Act::HoldAfter, true), (Act::Silent, false)] {
        let is_silent = matches!(act, Act::Silent);
        let fault = s3.inject(Fault::new(act).on(Operation::PutObject));
        thread::scope(|scope| {
            let put = scope.spawn(|| send(&s3, "PUT /b/k", b"hello"));
            s3.until_struck(fault, 1);
            s3.until("the body", || s3.requests().last().unwrap().body_bytes == 5 || !is_there);
            if !is_there {
                assert!(s3.object(s3.bucket(), "k").is_none());
            }
            s3.heal(fault);
            if is_silent {
                s3.down();
                put.join().unwrap().unwrap_err();
            } else {
                assert_eq!(put.join().unwrap().unwrap().status, 200);
            }
        });
        s3.up();
        s3.lose_bucket(s3.bucket());
        s3.make_bucket(s3.bucket());
    }
}

#[test]
fn a_server_that_is_down_refuses_and_a_silent_one_takes_its_time() {
    let s3 = FaultyS3::start(Options::default());
    s3.down();
    let refused = send(&s3, "PUT /b/k", b"hello").unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    s3.up();
    assert_eq!(send(&s3, "PUT /b/k", b"hello").unwrap().status, 200);
    s3.fall_silent();
    thread::scope(|scope| {
        let get = scope.spawn(|| send(&s3, "GET /b/k", b""));
        s3.until_asked(Operation::GetObject, 1);
        assert!(s3.requests_of(Operation::GetObject)[0].status.is_none());
        s3.up();
        assert_eq!(get.join().unwrap().unwrap().body, b"hello");
    });
}

#[test]
fn a_body_that_is_not_read_stays_with_its_sender() {
    let s3 = FaultyS3::start(Options::default());
    let stops = Act::StopReading { after_bytes: 100_000 };
    let fault = s3.inject(Fault::new(stops).on(Operation::UploadPart));
    let upload = begin(&s3, "k");
    thread::scope(|scope| {
        let path = format!("PUT /b/k?partNumber=1&uploadId={upload}");
        let put = scope.spawn({
            let s3 = &s3;
            // More than the kernel keeps for those that don't read.
            move || send(s3, &path, &vec![1; 64 << 20])
        });
        s3.until_struck(fault, 1);
        s3.until("some of it", || s3.requests().last().unwrap().body_bytes >= 100_000);
        assert!(s3.requests().last().unwrap().body_bytes < 10_000_000);
        assert_eq!((s3.parts_at_once_max(), put.is_finished()), (1, false));
        s3.down();
        put.join().unwrap().unwrap_err();
    });
    assert_eq!(s3.open_multiparts()[0].parts, []);
}

#[test]
fn an_upload_ends_in_all_the_ways_that_stores_have() {
    let s3 = FaultyS3::start(Options::default());
    let on_end = |act| s3.inject(Fault::new(act).on(Operation::CompleteMultipartUpload));
    let upload = begin(&s3, "k");
    part(&s3, "k", &upload, 1, PART);
    part(&s3, "k", &upload, 2, b"end");
    let bodies: [&[u8]; 2] = [PART, b"end"];
    on_end(Act::ErrorIn200 { refusal: Refusal::internal_error(), carried_out: false });
    let answered = complete(&s3, "k", &upload, &bodies).unwrap();
    assert_eq!((answered.status, answered.element("Code")), (200, Some("InternalError".into())));
    assert_eq!(s3.open_multiparts()[0].parts, [(1, 5 << 20), (2, 3)]);
    let pause = Duration::from_millis(1);
    let keepalive = |ending| Act::Keepalive { spaces: 3, pause, before_declaration: false, ending };
    on_end(keepalive(Ending::Whole));
    let answered = complete(&s3, "k", &upload, &bodies).unwrap();
    assert!(answered.text().matches("\r\n1\r\n ").count() == 3, "{}", answered.text());
    let object = s3.object(s3.bucket(), "k").unwrap();
    assert!(answered.text().contains(&object.etag) && object.etag.ends_with("-2"));
    assert_eq!((object.length(), object.parts), ((5 << 20) + 3, Some(2)));
    let again = complete(&s3, "k", &upload, &bodies).unwrap();
    assert_eq!((again.status, again.element("Code")), (404, Some("NoSuchUpload".into())));
    s3.set_abilities(|abilities| abilities.complete_repeats = true);
    assert_eq!(complete(&s3, "k", &upload, &bodies).unwrap().status, 200);
}

#[test]
fn abilities_that_are_missing_are_missed() {
    let s3 = FaultyS3::start(Options::default());
    let crc = ("x-amz-checksum-crc64nvme", "AAAAAAAAAAA=");
    let put = |headers: &[(&str, &str)]| {
        let path = format!("PUT /{}/k", s3.bucket());
        let answered = ask(&s3).send(&path, headers, b"hello").unwrap();
        (answered.status, answered.element("Code").unwrap_or_default())
    };
    assert_eq!(put(&[crc]), (400, "BadDigest".into()));
    s3.set_abilities(|abilities| abilities.crc64nvme = Sums::Ignored);
    assert_eq!(put(&[crc]).0, 200);
    s3.set_abilities(|abilities| abilities.crc64nvme = Sums::Refused);
    assert_eq!(put(&[crc]), (501, "NotImplemented".into()));
    assert_eq!(put(&[("if-none-match", "*")]), (412, "PreconditionFailed".into()));
    s3.set_abilities(|abilities| abilities.if_none_match = false);
    assert_eq!(put(&[("if-none-match", "*")]).0, 200);
    s3.set_abilities(|abilities| abilities.digest_wanted = Digest::Md5);
    assert_eq!(put(&[]), (400, "InvalidRequest".into()));
    assert_eq!(put(&[("content-md5", "XUFAKrxLKna5cZ2REBfFkg==")]).0, 200);
    s3.set_abilities(|abilities| {
        (abilities.versioning, abilities.digest_wanted) = (true, Digest::None);
    });
    let answered = send(&s3, "PUT /b/k", b"hello").unwrap();
    assert!(answered.header("x-amz-version-id").is_some());
    assert_eq!(s3.versions(s3.bucket(), "k").len(), 2);
}

#[test]
fn equal_parts_alone_are_taken_where_only_those_are() {
    let s3 = FaultyS3::start(Options::default());
    s3.set_abilities(|abilities| {
        (abilities.unequal_parts, abilities.part_bytes_min) = (false, 1);
    });
    let upload = begin(&s3, "k");
    let unequal: [&[u8]; 3] = [b"12", b"3", b"4"];
    for (body, number) in unequal.iter().zip(1..) {
        part(&s3, "k", &upload, number, body);
    }
    assert_eq!(complete(&s3, "k", &upload, &unequal).unwrap().status, 400);
    part(&s3, "k", &upload, 2, b"34");
    assert_eq!(complete(&s3, "k", &upload, &[b"12", b"34", b"4"]).unwrap().status, 200);
    assert_eq!(s3.object(s3.bucket(), "k").unwrap().contents(), b"12344");
}

#[test]
fn shapes_reach_the_client() {
    let s3 = FaultyS3::start(Options::default());
    let shaped = |shape| struck_put(&s3, Act::Shape(shape)).unwrap();
    assert!(!shaped(Shape::EtagBare).header("etag").unwrap().contains('"'));
    assert_eq!(shaped(Shape::EtagMissing).header("etag"), None);
    assert!(shaped(Shape::Continue).head.starts_with("HTTP/1.1 100 Continue"));
    let get = |shape| {
        s3.inject(Fault::new(Act::Shape(shape)).on(Operation::GetObject));
        send(&s3, "GET /b/k", b"").unwrap()
    };
    let chunked = get(Shape::Chunked);
    assert_eq!(chunked.header("transfer-encoding"), Some("chunked"));
    assert_eq!(chunked.text(), "5\r\nhello\r\n0\r\n\r\n");
    let until_close = get(Shape::UntilClose);
    assert!(until_close.head.starts_with("HTTP/1.0 200"), "{}", until_close.head);
    assert_eq!(
        (until_close.text().as_str(), until_close.header("content-length")),
        ("hello", None)
    );
    let endpoint = "http://127.0.0.1:1".to_owned();
    s3.inject(Fault::new(Act::Redirect { status: 307, endpoint }).key("k"));
    let redirected = send(&s3, "GET /b/k?versionId=1", b"").unwrap();
    let location = format!("http://127.0.0.1:1/{}/k?versionId=1", s3.bucket());
    assert_eq!((redirected.status, redirected.header("location")), (307, Some(&*location)));
}

#[test]
fn faults_strike_what_they_name_after_and_as_often_as_they_say() {
    let s3 = FaultyS3::start(Options::default());
    let upload = begin(&s3, "key");
    let fault = Fault::new(Act::Answer(Refusal::slow_down())).on(Operation::UploadPart);
    let fault = s3.inject(fault.part(2).key("ey").after(1).times(2));
    let status = |number| part(&s3, "key", &upload, number, b"p").status;
    let statuses: Vec<u16> = [2, 1, 2, 2, 2, 1].into_iter().map(status).collect();
    assert_eq!(statuses, [200, 200, 503, 503, 200, 200]);
    assert_eq!((s3.struck(fault), s3.count(Operation::UploadPart)), (2, 6));
}
