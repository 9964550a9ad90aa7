//! A store that has other parts than it answered: they are named anew, and what is missing is told.

use sluice_proto::error::Reason;
use sluice_test_servers::s3_faulty::{Act, Fault, FaultyS3, Operation, Shape};

use super::faulty::{BY_PARTS, LARGE_BYTES, audit_by_stock, end, failed, send, start, whole};
use crate::harness::{Calls, noise, runtime};

fn rename_parts(s3: &FaultyS3) {
    s3.inject(Fault::new(Act::Shape(Shape::EtagOther)).on(Operation::UploadPart).always());
}

#[test]
fn parts_are_completed_as_the_store_lists_them() {
    let (s3, server) = start("disk", BY_PARTS);
    rename_parts(&s3);
    let bytes = noise(1, LARGE_BYTES);
    let id = runtime().block_on(async {
        let calls = Calls::to(&server.address());
        let (id, count) = send(&calls, "renamed", &bytes).await;
        let done = end(&calls, &id, count).await.unwrap();
        assert_eq!(done.object.unwrap().size_bytes, bytes.len() as i64);
        id
    });
    let codes: Vec<_> = s3
        .requests_of(Operation::CompleteMultipartUpload)
        .into_iter()
        .map(|request| request.code.unwrap_or_default())
        .collect();
    assert_eq!(codes, ["InvalidPart", ""], "refused once, then with the names that it has");
    assert_eq!(s3.count(Operation::ListParts), 1);
    audit_by_stock(&s3, server, &[whole(id, "renamed", bytes)]);
}

#[test]
fn an_object_that_lacks_a_part_is_none() {
    let (s3, server) = start("disk", BY_PARTS);
    let held = s3.inject(Fault::new(Act::Hold).on(Operation::CompleteMultipartUpload).always());
    let runtime = runtime();
    let _inside = runtime.enter();
    let calls = Calls::to(&server.address());
    let (id, count) = runtime.block_on(send(&calls, "lacking", &noise(2, LARGE_BYTES)));
    let ending = runtime.spawn({
        let (calls, id) = (calls.clone(), id.clone());
        async move { end(&calls, &id, count).await }
    });
    s3.until_struck(held, 1);
    s3.lose_part(&s3.open_multiparts()[0], 2);
    s3.heal(held);
    let reason = runtime.block_on(ending).unwrap().unwrap_err();
    assert!([Reason::ObjectMismatch, Reason::UploadEnded].contains(&reason), "{reason}");
    let upload = runtime.block_on(calls.status(&id)).unwrap().upload.unwrap();
    assert!(upload.error.unwrap().message.contains("part 2"));
    audit_by_stock(&s3, server, &[failed(id, "lacking")]);
}
