//! Chunks that come whole in one read: they are acked, told, repeated and refused as large ones are,
//! wherever their bytes go.

use futures_util::{StreamExt as _, stream};
use sluice_proto::checksum::Crc64Nvme;
use sluice_proto::error::Reason;
use sluice_proto::pb::{self, AckLevel, UploadState};

use crate::harness::{
    Calls, Ended, Options, Outcome, Random, Server, assert_refused, audit, checked_chunk, get,
    noise, runtime, sha256,
};

const CHUNK_BYTES: usize = 1 << 10;
const CHUNKS: usize = 200;
/// So many come before the middle, where all else is tried.
const HALF: usize = CHUNKS / 2;
const PARALLEL: usize = 16;

/// An upload of small chunks on one connection, which a watcher shares to its end.
struct Scene {
    calls: Calls,
    upload_id: String,
    bytes: Vec<u8>,
    ack_level: AckLevel,
}

impl Scene {
    fn data(&self, number: usize) -> &[u8] {
        &self.bytes[number * CHUNK_BYTES..][..CHUNK_BYTES]
    }

    /// With each set of checksums in turn, also with none.
    fn request(&self, number: usize) -> pb::UploadChunkRequest {
        checked_chunk(&self.upload_id, number as i32, self.data(number), number as u64 % 8)
    }

    async fn send(&self, request: pb::UploadChunkRequest, is_repeat: bool) -> i32 {
        let number = request.chunk_number;
        let acked = self.calls.upload_chunk(request).await.unwrap();
        assert_eq!((acked.chunk_number, acked.chunk_bytes), (number, CHUNK_BYTES as i64));
        assert_eq!((acked.duplicate, acked.ack_level()), (is_repeat, self.ack_level), "{number}");
        assert_eq!(acked.received_bytes, i64::from(acked.received_count) * CHUNK_BYTES as i64);
        acked.received_count
    }

    /// Many at a time, in this order. An ack counts all whose acks count less, and those that were
    /// recorded along with it.
    async fn send_all(&self, numbers: &[usize], received_before: usize) {
        let sending = numbers.iter().map(|&number| self.send(self.request(number), false));
        let mut counts: Vec<i32> = stream::iter(sending).buffer_unordered(PARALLEL).collect().await;
        counts.sort_unstable();
        let all = received_before + numbers.len();
        let least = received_before as i32 + 1..=all as i32;
        assert!(counts.iter().zip(least).all(|(&count, least)| count >= least), "{counts:?}");
        assert_eq!(counts.last(), Some(&(all as i32)));
    }

    async fn status(&self) -> pb::GetUploadStatusResponse {
        self.calls.status(&self.upload_id).await.unwrap()
    }

    /// A repeat is one, whatever sums it carries; other bytes, or other sums, are none.
    async fn try_repeats(&self, number: usize) {
        for which in 0..8 {
            let request = checked_chunk(&self.upload_id, number as i32, self.data(number), which);
            assert_eq!(self.send(request, true).await as usize, HALF);
        }
        let other = noise(99, CHUNK_BYTES);
        for which in 0..8 {
            let request = checked_chunk(&self.upload_id, number as i32, &other, which);
            let refused = self.calls.upload_chunk(request).await.unwrap_err();
            assert_eq!(refused.reason, Some(Reason::ChunkConflict), "{refused:?}");
        }
    }

    /// One sum alone is wrong: the chunk isn't in, and may come again.
    async fn try_wrong_sums(&self, number: usize) {
        let right = checked_chunk(&self.upload_id, number as i32, self.data(number), 7);
        for field in ["crc32c", "crc64nvme", "sha256"] {
            let mut wrong = right.clone();
            match field {
                "crc32c" => wrong.crc32c = vec![0xab; 4].into(),
                "crc64nvme" => wrong.crc64nvme = vec![0xab; 8].into(),
                _ => wrong.sha256 = vec![0xab; 32].into(),
            }
            let refused = self.calls.upload_chunk(wrong).await.unwrap_err();
            assert_refused(&refused, Reason::ChecksumMismatch, field, field);
        }
    }
}

fn range(first: usize, last: usize) -> pb::ChunkRange {
    pb::ChunkRange { first: first as i32, last: last as i32 }
}

/// Samples of `chunks_total`: accepted, repeats, refused.
fn chunks_told(server: &Server) -> [u64; 3] {
    let page = get(&server.admin(), "/metrics").unwrap().body;
    ["accepted", "duplicate", "refused"].map(|result| {
        let name = format!("sluice_chunks_total{{result=\"{result}\"}} ");
        let mut samples = page.lines().filter_map(|line| line.strip_prefix(&name));
        samples.next().expect("it is told").parse().unwrap()
    })
}

async fn upload(server: &Server, ack_level: AckLevel) -> (Outcome, pb::ObjectInfo) {
    let calls = Calls::to(&server.address());
    let upload_id = calls.open("small").await;
    let mut watched = calls.watch(&upload_id).await.unwrap();
    let bytes = noise(11, CHUNKS * CHUNK_BYTES);
    let scene = Scene { calls, upload_id, bytes, ack_level };

    let mut numbers: Vec<usize> = (0..CHUNKS).collect();
    Random::new(12).shuffle(&mut numbers[..HALF]);
    Random::new(13).shuffle(&mut numbers[HALF..]);
    let (first, second) = numbers.split_at(HALF);
    scene.send_all(first, 0).await;
    scene.try_repeats(HALF / 3).await;
    scene.try_wrong_sums(HALF).await;
    let status = scene.status().await;
    let told = status.upload.unwrap();
    assert_eq!((told.received_count as usize, told.state()), (HALF, UploadState::Uploading));
    assert_eq!(told.received_bytes as usize, HALF * CHUNK_BYTES);
    assert_eq!(status.received_ranges, [range(0, HALF - 1)]);
    assert_eq!(status.missing_ranges, []);
    scene.send_all(second, HALF).await;

    let Scene { calls, upload_id, bytes, .. } = scene;
    let done = calls.complete(&upload_id, Some(CHUNKS as i32)).await.unwrap();
    assert_eq!(done.state(), UploadState::Completed);
    // Its call lasted from the first chunk to the end, so there was no other connection.
    let mut last = None;
    while let Some(progress) = watched.message().await.unwrap() {
        last = Some(progress);
    }
    assert_eq!(last.unwrap().upload.unwrap().state(), UploadState::Completed);
    let object = done.object.unwrap();
    assert_eq!(object.size_bytes as usize, bytes.len());
    assert_eq!(object.crc64nvme, Crc64Nvme::of(&bytes).to_be_bytes()[..]);
    let filename = "small".into();
    (Outcome { upload_id, filename, ended: Ended::Whole(bytes) }, object)
}

fn server(objects: &str) -> Server {
    let settings = format!("objects = \"{objects}\"");
    Server::start(Options { settings, ..Options::default() })
}

/// Eight repeats each of the same bytes and of others, three wrong sums.
const TOLD: [u64; 3] = [CHUNKS as u64, 8, 11];

#[test]
fn small_chunks_become_an_object() {
    let server = server("fs");
    let (outcome, object) = runtime().block_on(upload(&server, AckLevel::Spooled));
    let Ended::Whole(bytes) = &outcome.ended else { unreachable!("it ended whole") };
    assert_eq!(object.sha256, sha256(bytes)[..]);
    assert_eq!(chunks_told(&server), TOLD);
    audit(server, &[outcome]);
}

#[test]
fn small_chunks_are_the_same_where_their_bytes_are_dropped() {
    let mut server = server("discard");
    runtime().block_on(upload(&server, AckLevel::Received));
    assert_eq!(chunks_told(&server), TOLD);
    server.terminate();
    assert!(server.data().objects().is_empty());
    assert_eq!(server.data().leftovers(), Vec::<String>::new());
}
