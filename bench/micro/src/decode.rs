//! Messages of a stream of chunks, read out of pieces.

use std::hint::black_box;

use bytes::Bytes;
use sluice_proto::{
    grpc::{ChunkDecoder, ChunkEvent, frame},
    pb::UploadChunkRequest,
};

use crate::{PIECE_BYTES, Scenario, pattern};

const SMALL_BYTES: usize = 1 << 10;
const SMALL_MESSAGES: usize = 256;
const LARGE_BYTES: usize = 1 << 20;

/// Of the decoder.
pub const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "decode_1k",
        round: "256 messages of 1 KiB out of pieces of 16 KiB",
        bytes: 0,
        begin: || messages(SMALL_MESSAGES, SMALL_BYTES),
    },
    Scenario {
        name: "decode_1m",
        round: "a message of 1 MiB out of pieces of 16 KiB",
        bytes: 0,
        begin: || messages(1, LARGE_BYTES),
    },
];

fn messages(count: usize, data_bytes: usize) -> Box<dyn FnMut()> {
    let mut stream = Vec::new();
    for chunk_number in (0..).take(count) {
        stream.extend_from_slice(&frame::frame_reply(&UploadChunkRequest {
            upload_id: "0123456789abcdef0123456789abcdef".to_owned(),
            chunk_number,
            crc32c: vec![1; 4].into(),
            crc64nvme: vec![2; 8].into(),
            data: pattern(data_bytes).into(),
            ..UploadChunkRequest::default()
        }));
    }
    let stream = Bytes::from(stream);
    let mut decoder = ChunkDecoder::new(LARGE_BYTES as u64);
    Box::new(move || {
        let (mut ends, mut told_bytes) = (0, 0);
        for from in (0..stream.len()).step_by(PIECE_BYTES) {
            decoder.push(stream.slice(from..stream.len().min(from + PIECE_BYTES)));
            while let Some(event) = decoder.next_event().expect("the messages are right") {
                match black_box(event) {
                    ChunkEvent::Header(_) => {}
                    ChunkEvent::Data(piece) => told_bytes += piece.len(),
                    ChunkEvent::End(_) => ends += 1,
                }
            }
        }
        assert_eq!((ends, told_bytes), (count, count * data_bytes));
    })
}
