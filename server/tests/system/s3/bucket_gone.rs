//! A bucket that goes away under a running server: what needs it fails, with the store's words, and
//! nothing else does.

use sluice_proto::{
    error::{Reason, ReceivedRefusal},
    pb::UploadState,
};
use sluice_test_servers::s3_faulty::{Act, Fault, FaultyS3, Operation};

use super::faulty::{BY_PARTS, LARGE_BYTES, audit_by_stock, end, failed, send, start, whole};
use crate::harness::{Calls, Outcome, Server, noise, runtime};

/// Sends an object whose bucket is lost while the store holds requests of a kind.
fn lose_bucket_under(
    s3: &FaultyS3,
    server: &Server,
    operation: Operation,
    bytes: usize,
) -> Outcome {
    let filename = format!("{operation:?}");
    let held = s3.inject(Fault::new(Act::Hold).on(operation).always());
    let runtime = runtime();
    let _inside = runtime.enter();
    let calls = Calls::to(&server.address());
    let (id, count) = runtime.block_on(send(&calls, &filename, &noise(1, bytes)));
    let ending = runtime.spawn({
        let (calls, id) = (calls.clone(), id.clone());
        async move { end(&calls, &id, count).await }
    });
    s3.until_struck(held, 1);
    s3.lose_bucket(s3.bucket());
    s3.heal_all();
    let reason = runtime.block_on(ending).unwrap().unwrap_err();
    // The words of a refused call are those of an upload that ended.
    assert!([Reason::StoreRefused, Reason::UploadEnded].contains(&reason), "{reason}");
    let upload = runtime.block_on(calls.status(&id)).unwrap().upload.unwrap();
    assert_eq!(upload.state(), UploadState::Failed);
    let error = upload.error.unwrap();
    assert!(error.message.contains("NoSuchBucket"), "{error:?}");
    assert_eq!(ReceivedRefusal::from_status(&error).reason, Some(Reason::StoreRefused));
    failed(id, &filename)
}

fn stored(server: &Server, filename: &str) -> Outcome {
    let bytes = noise(2, LARGE_BYTES);
    let id = runtime().block_on(async {
        let calls = Calls::to(&server.address());
        let (id, count) = send(&calls, filename, &bytes).await;
        end(&calls, &id, count).await.unwrap();
        id
    });
    whole(id, filename, bytes)
}

fn goes_away_under(more: &str, operations: &[Operation], bytes: usize) {
    let (s3, server) = start("disk", more);
    let mut outcomes = Vec::new();
    for &operation in operations {
        outcomes.push(lose_bucket_under(&s3, &server, operation, bytes));
        s3.make_bucket(s3.bucket());
    }
    // It is there again: so is the way to it.
    outcomes.push(stored(&server, "later"));
    audit_by_stock(&s3, server, &outcomes);
}

#[test]
fn an_upload_by_parts_fails_by_the_stores_words() {
    let operations = [
        Operation::CreateMultipartUpload,
        Operation::UploadPart,
        Operation::CompleteMultipartUpload,
    ];
    goes_away_under(BY_PARTS, &operations, LARGE_BYTES);
}

#[test]
fn an_upload_in_one_put_fails_by_the_stores_words() {
    goes_away_under("", &[Operation::PutObject], 100_000);
}
