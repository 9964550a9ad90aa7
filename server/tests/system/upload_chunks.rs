//! A stream of chunks: every chunk is answered once, whatever became of the others.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::{Stream, StreamExt as _, stream};
use sluice_proto::error::{Reason, ReceivedRefusal};
use sluice_proto::pb::{self, AckLevel, UploadState};
use tokio::sync::mpsc;
use tonic::Streaming;

use crate::harness::{
    Calls, Ended, Options, Outcome, Random, Server, audit, chunk, eventually, noise, runtime,
    streamed_chunk,
};

/// More than the server keeps of acks that nobody reads, the windows on the way included.
const UNREAD_CHUNKS: i32 = 60_000;

fn numbered(upload_id: &str, number: i32, data: &[u8]) -> pb::UploadChunksRequest {
    streamed_chunk(chunk(upload_id, number, data))
}

/// How often each number was acked, and the refusals.
#[derive(Debug, Default)]
struct Told {
    acks: BTreeMap<i32, u32>,
    refusals: Vec<(i32, Option<Reason>)>,
    messages: usize,
    last: pb::UploadChunksResponse,
}

impl Told {
    fn take(&mut self, response: pb::UploadChunksResponse) {
        self.messages += 1;
        match &response.status {
            Some(status) => {
                assert_eq!(response.first_chunk_number, response.last_chunk_number);
                let reason = ReceivedRefusal::from_status(status).reason;
                self.refusals.push((response.first_chunk_number, reason));
            }
            None => {
                for number in response.first_chunk_number..=response.last_chunk_number {
                    *self.acks.entry(number).or_default() += 1;
                }
                self.last = response;
            }
        }
    }
}

/// All that a stream tells until it ends OK.
async fn drain(mut acks: Streaming<pb::UploadChunksResponse>) -> Told {
    let mut told = Told::default();
    while let Some(response) = acks.message().await.unwrap() {
        told.take(response);
    }
    told
}

async fn complete(calls: &Calls, upload_id: &str, chunks: i32) {
    let mut state = UploadState::Completing;
    while state == UploadState::Completing {
        state = calls.complete(upload_id, Some(chunks)).await.unwrap().state();
    }
    assert_eq!(state, UploadState::Completed);
}

fn whole(upload_id: String, filename: &str, bytes: Vec<u8>) -> Outcome {
    Outcome { upload_id, filename: filename.into(), ended: Ended::Whole(bytes) }
}

#[test]
fn every_chunk_is_acked_once_and_half_closing_completes_nothing() {
    let server = Server::start(Options::default());
    let bytes = noise(7, 3_000 * 1_000);
    let outcome = runtime().block_on(async {
        let calls = Calls::to(&server.address());
        let id = calls.open("many").await;
        let mut chunks: Vec<_> = (0..3_000)
            .map(|n| numbered(&id, n, &bytes[n as usize * 1_000..(n as usize + 1) * 1_000]))
            .collect();
        Random::new(1).shuffle(&mut chunks[1_000..]);
        let told = drain(calls.upload_chunks(stream::iter(chunks)).await.unwrap()).await;
        assert!(told.acks.keys().copied().eq(0..3_000), "{told:?}");
        assert!(told.acks.values().all(|&times| times == 1));
        assert!(told.refusals.is_empty());
        assert_eq!(told.last.received_bytes as usize, bytes.len());
        assert_eq!(told.last.ack_level(), AckLevel::Spooled);
        // The first thousand came in order, and so as ranges.
        assert!(told.messages < 2_500, "{} messages", told.messages);
        let status = calls.status(&id).await.unwrap().upload.unwrap();
        assert_eq!(status.state(), UploadState::Uploading);
        complete(&calls, &id, 3_000).await;
        whole(id, "many", bytes)
    });
    audit(server, &[outcome]);
}

#[test]
fn a_refused_chunk_is_answered_alone_and_the_next_ones_get_in() {
    let server = Server::start(Options::default());
    let bytes = noise(8, 900_000);
    let outcome = runtime().block_on(async {
        let calls = Calls::to(&server.address());
        let (id, other) = (calls.open("some").await, calls.open("other").await);
        let part = |n: usize| &bytes[n * 300_000..(n + 1) * 300_000];
        let broken = |request| pb::UploadChunksRequest { crc32c: vec![1; 4].into(), ..request };
        let short_sum = |request| pb::UploadChunksRequest { crc32c: vec![1; 3].into(), ..request };
        let chunks = vec![
            numbered(&id, 0, part(0)),
            broken(numbered(&id, 1, part(1))),
            short_sum(numbered(&id, 1, part(1))),
            numbered(&id, -5, part(1)),
            numbered(&other, 1, part(1)),
            numbered("no-such-upload", 1, part(1)),
            numbered(&id, 0, part(1)),
            numbered(&id, 2, b""),
            numbered(&id, 0, part(0)),
            numbered(&id, 1, part(1)),
            numbered(&id, 2, part(2)),
        ];
        let mut told = drain(calls.upload_chunks(stream::iter(chunks)).await.unwrap()).await;
        // Answers come as they are found, not in the order of the chunks.
        told.refusals.sort_by_key(|&(number, reason)| (number, reason.map(Reason::as_str)));
        let expected = [
            (-5, Reason::FieldInvalid),
            (0, Reason::ChunkConflict),
            (1, Reason::ChecksumMismatch),
            (1, Reason::FieldInvalid),
            (1, Reason::FieldInvalid),
            (1, Reason::UploadUnknown),
            (2, Reason::FieldInvalid),
        ];
        assert_eq!(told.refusals, expected.map(|(number, reason)| (number, Some(reason))));
        // Chunk 0 came twice; acks that wait together are joined.
        let twice = told.acks.remove(&0);
        assert!(matches!(twice, Some(1 | 2)), "{twice:?}");
        assert_eq!(told.acks, BTreeMap::from([(1, 1), (2, 1)]));
        complete(&calls, &id, 3).await;
        let reason = String::new();
        calls.abort_upload(pb::AbortUploadRequest { upload_id: other, reason }).await.unwrap();
        whole(id, "some", bytes.clone())
    });
    audit(server, &[outcome]);
}

#[test]
fn refusals_without_end_end_the_stream() {
    let settings = "[limits]\nmax_chunk_bytes = \"1M\"".to_owned();
    let server = Server::start(Options { settings, ..Options::default() });
    runtime().block_on(async {
        let calls = Calls::to(&server.address());
        let id = calls.open("refused").await;
        let bad = pb::UploadChunksRequest {
            crc32c: vec![1; 4].into(),
            ..numbered(&id, 0, &noise(1, 1 << 20))
        };
        let endless = stream::iter(std::iter::repeat(bad));
        let mut acks = calls.upload_chunks(endless).await.unwrap();
        let ended = loop {
            match acks.message().await {
                Ok(Some(response)) => assert!(response.status.is_some(), "{response:?}"),
                Ok(None) => panic!("it ended OK"),
                Err(status) => break status,
            }
        };
        assert_eq!(ended.code(), tonic::Code::Aborted, "{ended:?}");
    });
    server_is_idle(&server);
}

/// A client that reads only once it has written everything, as simple ones do.
#[test]
fn writing_all_before_reading_any_neither_blocks_nor_fills_memory() {
    let server = Server::start(Options { memory_limit: "256M", ..Options::default() });
    let bytes = noise(9, 30_000 * 4_096);
    let before_bytes = server.memory_bytes("VmHWM");
    let outcome = runtime().block_on(async {
        let calls = Calls::to(&server.address());
        let id = calls.open("unread").await;
        let (sender, receiver) = mpsc::channel(1);
        let acks = calls.upload_chunks(receiving(receiver)).await.unwrap();
        for n in 0..30_000 {
            let data = &bytes[n * 4_096..(n + 1) * 4_096];
            sender.send(numbered(&id, n as i32, data)).await.unwrap();
        }
        drop(sender);
        let told = drain(acks).await;
        assert!(told.acks.keys().copied().eq(0..30_000));
        complete(&calls, &id, 30_000).await;
        whole(id, "unread", bytes.clone())
    });
    let grown_bytes = server.memory_bytes("VmHWM") - before_bytes;
    assert!(grown_bytes < 256 << 20, "it grew by {grown_bytes} bytes");
    audit(server, &[outcome]);
}

#[test]
fn a_stream_whose_acks_are_not_read_is_not_read_either_until_they_are() {
    let server = Server::start(Options::default());
    runtime().block_on(async {
        let calls = Calls::narrow(&server.address());
        let id = calls.open("ranges").await;
        let own = id.clone();
        // Each second number: nothing joins.
        let chunks = stream::iter((0..UNREAD_CHUNKS).map(move |n| numbered(&own, n * 2, b"x")));
        let mut acks = calls.upload_chunks(chunks).await.unwrap();
        let received = async || {
            let status = Calls::to(&server.address()).status(&id).await.unwrap();
            status.upload.unwrap().received_count
        };
        // It stands still: the same at two looks.
        let mut before = -1;
        let stopped = loop {
            tokio::time::sleep(Duration::from_millis(500)).await;
            let now = received().await;
            if now > 0 && now == before {
                break now;
            }
            before = now;
        };
        // Longer than an answer of one message may stay unread.
        tokio::time::sleep(Duration::from_secs(32)).await;
        let later = received().await;
        assert!(later < UNREAD_CHUNKS, "all were taken in, after {stopped} some time before");
        let mut told = Told::default();
        while let Some(response) = acks.message().await.unwrap() {
            told.take(response);
        }
        assert_eq!(told.acks.len(), UNREAD_CHUNKS as usize);
        assert_eq!(received().await, UNREAD_CHUNKS);
    });
}

#[test]
fn an_empty_stream_is_ok_and_a_dropped_one_leaves_nothing() {
    let server = Server::start(Options::default());
    runtime().block_on(async {
        let calls = Calls::to(&server.address());
        let none = drain(calls.upload_chunks(stream::empty()).await.unwrap()).await;
        assert_eq!((none.messages, none.acks.len()), (0, 0));
        let id = calls.open("dropped").await;
        for size in [1, 70_000, 3 << 20] {
            let (sender, receiver) = mpsc::channel(1);
            let mut acks = calls.upload_chunks(receiving(receiver)).await.unwrap();
            sender.send(numbered(&id, 0, b"first")).await.unwrap();
            assert!(acks.message().await.unwrap().is_some());
            sender.send(numbered(&id, 1, &noise(2, size))).await.unwrap();
            drop(acks);
        }
    });
    server_is_idle(&server);
}

fn receiving<T: Send + 'static>(receiver: mpsc::Receiver<T>) -> impl Stream<Item = T> + Send {
    stream::unfold(receiver, |mut receiver| async move { Some((receiver.recv().await?, receiver)) })
        .boxed()
}

/// Nothing is under way, and nothing is charged for it.
fn server_is_idle(server: &Server) {
    eventually(|| {
        let metrics = crate::harness::get(&server.admin(), "/metrics").unwrap().body;
        let busy: Vec<&str> = metrics
            .lines()
            .filter(|line| {
                ["sluice_memory_used_bytes", "sluice_parked_streams", "sluice_rpc_server_in_flight"]
                    .iter()
                    .any(|name| line.starts_with(name))
                    && !line.ends_with(" 0")
            })
            .collect();
        (!busy.is_empty()).then(|| busy.join("\n"))
    });
}
