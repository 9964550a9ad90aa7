//! Following an upload: to its end, over streams that break, and where there are none.

use sluice_proto::client::{ClientError, RetryPolicy};
use sluice_proto::error::{Reason, Refusal};
use sluice_proto::pb::UploadState::{self, Aborted, Completed, Pending, Uploading};
use tonic::Status;

use crate::fake::{World, start, status_of};

async fn told(world: World) -> Result<Vec<UploadState>, ClientError> {
    let (_fake, client) = start(world).await;
    let client = client.with_retry(RetryPolicy { attempts: 3, ..Default::default() });
    let (mut watch, mut told) = (client.watch("u"), Vec::new());
    while let Some(upload) = watch.next().await? {
        told.push(upload.state());
    }
    assert!(watch.next().await?.is_none(), "it stays ended");
    Ok(told)
}

#[tokio::test]
async fn a_watch_ends_with_the_upload() {
    let streams = vec![(vec![Pending, Uploading, Completed], None)];
    let told = told(World { streams, ..Default::default() }).await.unwrap();
    assert_eq!(told, [Pending, Uploading, Completed]);
}

#[tokio::test]
async fn a_watch_goes_on_after_its_stream_broke() {
    let broken = Some(Status::unavailable("the server restarts"));
    let streams = vec![(vec![Pending], broken), (vec![Uploading], None), (vec![Aborted], None)];
    let told = told(World { streams, ..Default::default() }).await.unwrap();
    assert_eq!(told, [Pending, Uploading, Aborted]);
}

#[tokio::test]
async fn a_watch_polls_a_server_without_streams() {
    let states = vec![Uploading, Completed];
    let told = told(World { states, ..Default::default() }).await.unwrap();
    assert_eq!(told, [Uploading, Completed]);
}

#[tokio::test]
async fn a_watch_doesnt_hide_a_refusal_nor_retry_for_ever() {
    let refused = status_of(&Refusal::new(Reason::UploadUnknown, "no"));
    let streams = vec![(vec![], Some(refused))];
    let unknown = told(World { streams, ..Default::default() }).await;
    let reason = match &unknown {
        Err(ClientError::Refused(refusal)) => refusal.reason,
        _ => None,
    };
    assert_eq!(reason, Some(Reason::UploadUnknown), "{unknown:?}");
    let down = (vec![], Some(Status::unavailable("down")));
    let given_up = told(World { streams: vec![down; 9], ..Default::default() }).await;
    assert!(matches!(given_up, Err(ClientError::Refused(_))), "{given_up:?}");
}
