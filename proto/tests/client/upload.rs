//! Uploads: refused, resumed, small, empty, and not what was sent.

use std::sync::Arc;
use std::time::Duration;

use sluice_proto::checksum::Crc64Nvme;
use sluice_proto::client::{ClientError, Progress, RetryPolicy, Source, UploadOptions};
use sluice_proto::error::{Reason, Refusal};
use sluice_proto::pb::UploadState;

use crate::fake::{World, start, status_of};

const SENT: &[u8] = b"0123456789";

fn options() -> UploadOptions {
    UploadOptions { chunk_bytes: Some(3), ..Default::default() }
}

#[tokio::test]
async fn refusals_are_repeated_and_the_end_is_awaited() {
    let refusal = status_of(&Refusal::new(Reason::Budget, "full").retry_after_ms(1));
    let refusals = vec![refusal; 3];
    let world = World { refusals, completing_left: 1, ..Default::default() };
    let (fake, client) = start(world).await;
    let mut last = Progress::default();
    let progress = |progress: &Progress| last.clone_from(progress);
    let report = client.upload(Source::stream(SENT), options(), progress).await.unwrap();
    assert_eq!((report.size_bytes, last.acked_bytes), (10, 10));
    assert_eq!((last.retries, last.in_flight), (3, 0));
    assert_eq!(report.crc64nvme, Crc64Nvme::of(SENT));
    let world = fake.world();
    assert_eq!(world.whole(), SENT);
    assert_eq!(world.chunk_calls.len(), 4 + 3);
}

/// It may be full for minutes, while what stands behind it is down.
#[tokio::test]
async fn a_server_that_asks_to_come_back_later_is_asked_again_for_as_long_as_patience_lasts() {
    let full = status_of(&Refusal::new(Reason::SpoolFull, "full").retry_after_ms(1));
    let longest = Duration::from_millis(1);
    let retry = RetryPolicy { attempts: 2, base: longest, max: longest, ..Default::default() };
    let world = World { refusals: vec![full.clone(); 50], ..Default::default() };
    let (fake, client) = start(world).await;
    let client = client.with_retry(retry);
    client.upload(Source::stream(SENT), options(), |_| {}).await.unwrap();
    assert_eq!(fake.world().whole(), SENT);

    let (_fake, client) = start(World { refusals: vec![full], ..Default::default() }).await;
    let client = client.with_retry(RetryPolicy { patience: Duration::ZERO, ..retry });
    let error = client.upload(Source::stream(SENT), options(), |_| {}).await.unwrap_err();
    let ClientError::Refused(refusal) = error else { panic!("{error}") };
    assert_eq!(refusal.reason, Some(Reason::SpoolFull));
}

#[tokio::test]
async fn a_resume_sends_only_what_is_missing() {
    let chunks = [(0, b"012".to_vec()), (2, b"678".to_vec())].into();
    let (fake, client) = start(World { chunks, duplicate: true, ..Default::default() }).await;
    let report = client.upload(Source::stream(SENT), options(), |_| {}).await.unwrap();
    assert_eq!((report.size_bytes, report.resumed_bytes), (10, 6));
    assert_eq!(fake.world().chunk_calls.len(), 2);
}

/// The server had them, and no room for any other chunk before they are in again.
#[tokio::test]
async fn chunks_that_others_wait_for_are_sent_first() {
    for (parallel, loses) in [(1, vec![0]), (1, vec![0, 1]), (4, vec![0, 1]), (4, vec![1])] {
        let chunks = [(0, b"012".to_vec()), (1, b"345".to_vec())].into();
        let world = World { chunks, duplicate: true, loses: loses.clone(), ..Default::default() };
        let (fake, client) = start(world).await;
        let options = UploadOptions { parallel: Some(parallel), ..options() };
        let report = client.upload(file(SENT), options, |_| {}).await.unwrap();
        assert_eq!((report.size_bytes, report.resumed_bytes), (10, 6));
        let world = fake.world();
        assert_eq!(world.whole(), SENT);
        let again = |number: &&i32| loses.contains(number);
        assert_eq!(world.taken.iter().filter(again).copied().collect::<Vec<_>>(), loses);
    }
}

#[tokio::test]
async fn nothing_is_one_empty_object() {
    let (_, client) = start(World::default()).await;
    let uploader = client.clone();
    let task = async move { uploader.upload(Source::stream(&b""[..]), options(), |_| {}).await };
    // Whoever embeds it spawns it.
    let report = tokio::spawn(task).await.unwrap().unwrap();
    assert_eq!((report.size_bytes, report.crc64nvme), (0, 0));
    assert_eq!(client.abort("u", "").await.unwrap(), UploadState::Aborted);
}

#[tokio::test]
async fn another_object_than_was_sent_is_an_error() {
    let (_, client) = start(World { lies: true, ..Default::default() }).await;
    let result = client.upload(Source::stream(SENT), options(), |_| {}).await;
    assert!(matches!(result, Err(ClientError::Integrity { .. })));
}

fn file(bytes: &[u8]) -> Source {
    let mut file = tempfile::tempfile().unwrap();
    std::io::Write::write_all(&mut file, bytes).unwrap();
    Source::File { file: Arc::new(file), size_bytes: bytes.len() as u64 }
}

#[tokio::test]
async fn a_small_file_takes_one_call() {
    for bytes in [SENT, b""] {
        let (fake, client) = start(World::default()).await;
        let report = client.upload(file(bytes), UploadOptions::default(), |_| {}).await.unwrap();
        assert_eq!(report.size_bytes, bytes.len() as u64);
        assert_eq!(report.crc64nvme, Crc64Nvme::of(bytes));
        let world = fake.world();
        assert_eq!((world.whole(), world.chunk_calls.len()), (bytes.to_vec(), 0));
        assert_eq!(world.initiated[0].expected_size_bytes, Some(bytes.len() as i64));
    }
    let (_, client) = start(World { lies: true, ..Default::default() }).await;
    let result = client.upload(file(SENT), UploadOptions::default(), |_| {}).await;
    assert!(matches!(result, Err(ClientError::Integrity { .. })));
}

#[tokio::test]
async fn chunks_are_cut_to_what_a_small_server_takes() {
    let (fake, client) = start(World { max_chunk_bytes: 1 << 20, ..Default::default() }).await;
    let bytes = vec![7; 3 << 20];
    let id = Some("r".to_owned());
    let options = UploadOptions { request_id: id, ..Default::default() };
    client.upload(file(&bytes), options, |_| {}).await.unwrap();
    let world = fake.world();
    assert!(world.whole() == bytes);
    assert_eq!((world.chunks.len(), world.aborted), (3, 1));
    let promised: Vec<_> =
        world.initiated.iter().map(|i| (i.request_id.as_str(), i.chunk_size_bytes)).collect();
    assert_eq!(promised, [("r", 8 << 20), ("r-1048576", 1 << 20)]);
}

#[tokio::test]
async fn a_refusal_is_told_while_the_source_has_nothing_to_read() {
    use tokio::io::AsyncWriteExt as _;
    let refusal = status_of(&Refusal::new(Reason::UploadEnded, "aborted by somebody"));
    let (_fake, client) = start(World { refusals: vec![refusal], ..Default::default() }).await;
    let (mut writer, reader) = tokio::io::duplex(64);
    // One chunk; then it stays open, and says nothing.
    writer.write_all(&SENT[..3]).await.unwrap();
    let upload = client.upload(Source::stream(reader), options(), |_| {});
    let told = tokio::time::timeout(std::time::Duration::from_secs(30), upload).await;
    assert!(matches!(told, Ok(Err(ClientError::Refused(_)))), "{told:?}");
}
