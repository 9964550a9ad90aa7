//! A store that breaks: nothing is lost, nothing is made twice, and nothing is left there.

use std::{thread, time::Duration};

use sluice_proto::{
    error::Reason,
    pb::{InitiateUploadRequest, UploadState},
};
use sluice_test_servers::s3_faulty::{Act, Fault, Operation, Refusal};

use super::faulty::{BY_PARTS, CHUNK_BYTES, LARGE_BYTES, audit, end, send, start, whole};
use crate::harness::{
    Calls, Ended, Kind, Outcome, Pace, checked_chunk, eventually, get, noise, runtime, work,
};

/// What happened there or on the way back, each time when an object of many parts is sent.
#[test]
fn an_answer_that_is_lost_makes_no_second_object_and_leaves_none_out() {
    let (s3, server) = start("disk", BY_PARTS);
    let (runtime, address) = (runtime(), server.address());
    let mut outcomes = Vec::new();
    let operations = [
        Operation::CreateMultipartUpload,
        Operation::UploadPart,
        Operation::CompleteMultipartUpload,
    ];
    for operation in operations {
        let acts: [fn() -> Act; 4] = [
            || Act::DropBefore,
            || Act::DropAfter,
            || Act::AnswerAfter(Refusal::internal_error()),
            || Act::Answer(Refusal::slow_down()),
        ];
        for (number, act) in acts.into_iter().enumerate() {
            let fault = s3.inject(Fault::new(act()).on(operation).times(2));
            let bytes = noise(number as u64, LARGE_BYTES);
            let name = format!("{operation:?}-{number}");
            let id = runtime.block_on(async {
                let calls = Calls::to(&address);
                let (id, count) = send(&calls, &name, &bytes).await;
                end(&calls, &id, count).await.unwrap();
                id
            });
            assert!(s3.struck(fault) > 0, "{name}");
            s3.heal_all();
            outcomes.push(whole(id, &name, bytes));
        }
    }
    audit(&s3, server, &outcomes);
}

/// The same of objects that go in one PUT.
#[test]
fn a_lost_answer_to_a_put_is_settled_by_looking() {
    let (s3, server) = start("disk", "");
    let mut outcomes = Vec::new();
    for (number, act) in
        [Act::DropAfter, Act::AnswerAfter(Refusal::internal_error()), Act::DropBefore]
            .into_iter()
            .enumerate()
    {
        let fault = s3.inject(Fault::new(act).on(Operation::PutObject).times(2));
        outcomes.push(work(Kind::Payload, &server.address(), number as u64, Pace::default()));
        assert!(s3.struck(fault) > 0);
        s3.heal_all();
    }
    audit(&s3, server, &outcomes);
}

#[test]
fn uploads_wait_while_the_store_is_down_and_go_on_when_it_is_up() {
    for spool in ["disk", "memory"] {
        let (s3, server) = start(spool, BY_PARTS);
        s3.down();
        let address = server.address();
        let bytes = noise(9, LARGE_BYTES);
        let name = "waits";
        let (id, count) =
            runtime().block_on(async { send(&Calls::to(&address), name, &bytes).await });
        let ending = {
            let (address, id) = (address.clone(), id.clone());
            thread::spawn(move || {
                runtime().block_on(async { end(&Calls::to(&address), &id, count).await })
            })
        };
        let up = |text: &str| text.contains("sluice_backend_up{backend=\"s3\"} 1");
        let metrics = || get(&server.admin(), "/metrics").unwrap().body;
        eventually(|| up(&metrics()).then(|| "it isn't noticed that the store is down".into()));
        assert!(!ending.is_finished(), "without a store nothing ends");
        s3.up();
        ending.join().unwrap().unwrap();
        eventually(|| (!up(&metrics())).then(|| "it isn't noticed that the store is up".into()));
        audit(&s3, server, &[whole(id, name, bytes)]);
    }
}

#[test]
fn an_upload_fails_by_what_the_store_refuses_for_good() {
    let (s3, server) = start("disk", "single_put_bytes = \"0\"\ndenied = \"1 s\"\n");
    let address = server.address();
    let denied = s3.inject(
        Fault::new(Act::Answer(Refusal::access_denied())).on(Operation::UploadPart).always(),
    );
    let bytes = noise(10, LARGE_BYTES);
    let (id, reason) = runtime().block_on(async {
        let calls = Calls::to(&address);
        let (id, count) = send(&calls, "denied", &bytes).await;
        let reason = end(&calls, &id, count).await.unwrap_err();
        let status = calls.status(&id).await.unwrap().upload.unwrap();
        assert_eq!(status.state(), UploadState::Failed);
        assert!(status.error.unwrap().message.contains("AccessDenied"));
        (id, reason)
    });
    // The words of a refused call are those of an upload that ended.
    assert!([Reason::StoreRefused, Reason::UploadEnded].contains(&reason), "{reason}");
    s3.heal(denied);
    let failed =
        Outcome { upload_id: id, filename: "denied".into(), ended: Ended::As(UploadState::Failed) };
    audit(&s3, server, &[failed]);
}

/// As a bucket's lifecycle does to those that take too long.
#[test]
fn an_upload_whose_parts_the_store_gives_up_fails() {
    let (s3, server) = start("disk", BY_PARTS);
    s3.inject(
        Fault::new(Act::Answer(Refusal::no_such_upload())).on(Operation::UploadPart).always(),
    );
    let bytes = noise(12, LARGE_BYTES);
    let id = runtime().block_on(async {
        let calls = Calls::to(&server.address());
        let id = calls.open("given up").await;
        let mut chunks = bytes.chunks(CHUNK_BYTES).zip(0..);
        // It may fail before all are sent.
        while let Some((data, number)) = chunks.next()
            && calls.upload_chunk(checked_chunk(&id, number, data, 2)).await.is_ok()
        {}
        end(&calls, &id, bytes.len().div_ceil(CHUNK_BYTES) as i32).await.unwrap_err();
        let status = calls.status(&id).await.unwrap().upload.unwrap();
        assert_eq!(status.state(), UploadState::Failed);
        id
    });
    let ended = Ended::As(UploadState::Failed);
    audit(&s3, server, &[Outcome { upload_id: id, filename: "given up".into(), ended }]);
}

/// They are listed, found as they were told, and Complete is asked again.
#[test]
fn a_complaint_about_parts_that_are_there_as_told_may_pass() {
    let (s3, server) = start("disk", BY_PARTS);
    let fault = s3.inject(
        Fault::new(Act::Answer(Refusal::invalid_part())).on(Operation::CompleteMultipartUpload),
    );
    let bytes = noise(11, LARGE_BYTES);
    let id = runtime().block_on(async {
        let calls = Calls::to(&server.address());
        let (id, count) = send(&calls, "named", &bytes).await;
        end(&calls, &id, count).await.unwrap();
        id
    });
    assert_eq!(s3.struck(fault), 1);
    audit(&s3, server, &[whole(id, "named", bytes)]);
}

#[test]
fn metadata_that_no_object_can_carry_is_refused_at_the_beginning() {
    let (_s3, server) = start("disk", "");
    runtime().block_on(async {
        let calls = Calls::to(&server.address());
        for (name, value) in [("a b", "c".to_owned()), ("a", "x".repeat(2_000))] {
            let metadata = [(name.to_owned(), value)].into();
            let request =
                InitiateUploadRequest { filename: "m".into(), metadata, ..Default::default() };
            let refused = calls.initiate_upload(request).await.unwrap_err();
            assert_eq!(refused.reason, Some(Reason::FieldInvalid));
            assert_eq!(refused.field.as_deref(), Some("metadata"));
        }
    });
}

/// Whatever the server did when it was killed is taken up where it was.
#[test]
fn a_server_that_is_killed_in_the_middle_goes_on() {
    let (s3, mut server) = start("disk", BY_PARTS);
    let address = server.address();
    let mut outcomes = Vec::new();
    for (round, operation) in [
        Operation::CreateMultipartUpload,
        Operation::UploadPart,
        Operation::CompleteMultipartUpload,
    ]
    .into_iter()
    .enumerate()
    {
        for act in [|| Act::Hold, || Act::HoldAfter] {
            let fault = s3.inject(Fault::new(act()).on(operation));
            let name = format!("killed-{}", outcomes.len());
            let bytes = noise(20 + round as u64, LARGE_BYTES);
            let (id, count) =
                runtime().block_on(async { send(&Calls::to(&address), &name, &bytes).await });
            let asking = {
                let (address, id) = (address.clone(), id.clone());
                thread::spawn(move || {
                    runtime().block_on(async {
                        // The server goes away under it.
                        drop(Calls::to(&address).complete(&id, Some(count)).await);
                    })
                })
            };
            s3.until_struck(fault, 1);
            // N has to be fixed, or nobody asks for the end again.
            thread::sleep(Duration::from_millis(100));
            server.kill();
            asking.join().unwrap();
            s3.heal_all();
            server.restart();
            runtime().block_on(async { end(&Calls::to(&address), &id, count).await }).unwrap();
            outcomes.push(whole(id, &name, bytes));
        }
    }
    audit(&s3, server, &outcomes);
}
