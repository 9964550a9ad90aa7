//! A stream of chunk messages says the same in any pieces, and what prost says.

use bytes::{Buf as _, Bytes};
use prost::Message as _;
use sluice_proto::error::Refusal;
use sluice_proto::grpc::frame::{PREFIX_BYTES, frame_reply};
use sluice_proto::grpc::{ChunkDecoder, ChunkEvent, ChunkHeader, Trailer};
use sluice_proto::pb;

use super::Stream;

const DATA_BYTES_MAX: u64 = 1 << 20;

/// The fuzz body.
pub fn run(input: &[u8]) {
    let stream = Stream::of(input);
    let read = Read::of(std::slice::from_ref(&stream.whole));
    assert_eq!(Read::of(&stream.pieces), read);
    if read.refused.is_none() {
        let told: Vec<_> = read.messages.into_iter().map(Message::into_request).collect();
        assert_eq!(told, by_prost(stream.whole));
        let again: Vec<Bytes> = told.iter().map(frame_reply).collect();
        let again = Read::of(&again);
        assert_eq!(again.refused, None);
        assert!(again.messages.into_iter().map(Message::into_request).eq(told));
    }
}

/// What a decoder told, until the stream ended or was refused.
#[derive(Debug, Default, PartialEq)]
struct Read {
    messages: Vec<Message>,
    refused: Option<Refusal>,
}

#[derive(Debug, PartialEq)]
struct Message {
    header: ChunkHeader,
    data: Vec<u8>,
    trailer: Option<Trailer>,
}

impl Read {
    fn of(pieces: &[Bytes]) -> Self {
        let mut read = Self::default();
        read.refused = read.all(pieces).err();
        read
    }

    fn all(&mut self, pieces: &[Bytes]) -> Result<(), Refusal> {
        let mut decoder = ChunkDecoder::new(DATA_BYTES_MAX);
        let mut promises = Vec::new();
        let mut left_bytes: usize = pieces.iter().map(Bytes::len).sum();
        for piece in pieces {
            left_bytes -= piece.len();
            decoder.push(piece.clone());
            // What was copied must read the same as what is shared.
            if piece.len() % 2 == 1 {
                decoder.unpin();
            }
            while let Some(event) = decoder.next_event().inspect_err(|refusal| {
                assert_eq!(decoder.next_event().as_ref(), Err(refusal), "a refusal is final");
                assert_eq!(decoder.finish().as_ref(), Err(refusal));
            })? {
                self.take(event);
            }
            promises.extend(decoder.missing_bytes().map(|missing| (missing, left_bytes)));
        }
        decoder.finish()?;
        // It never asks for bytes that a good stream doesn't have.
        assert!(promises.iter().all(|&(missing, left)| missing <= left as u64), "{promises:?}");
        assert!(self.messages.iter().all(|message| message.trailer.is_some()));
        Ok(())
    }

    fn take(&mut self, event: ChunkEvent) {
        let open = self.messages.last_mut().filter(|message| message.trailer.is_none());
        match (event, open) {
            (ChunkEvent::Header(header), None) => {
                self.messages.push(Message { header, data: Vec::new(), trailer: None });
            }
            (ChunkEvent::Data(piece), Some(message)) => {
                assert!(!piece.is_empty());
                message.data.extend_from_slice(&piece);
                assert!(message.data.len() as u64 <= message.header.data_bytes);
            }
            (ChunkEvent::End(trailer), Some(message)) => message.trailer = Some(trailer),
            (event, open) => panic!("{event:?} after {open:?}"),
        }
    }
}

impl Message {
    fn into_request(self) -> pb::UploadChunkRequest {
        let Self { mut header, data, trailer } = self;
        assert_eq!(header.data_bytes, data.len() as u64);
        trailer.expect("only whole messages").apply(&mut header);
        // Neither may panic on whatever was sent.
        let _ = (header.ids(), header.checks());
        pb::UploadChunkRequest {
            upload_id: header.upload_id,
            chunk_number: header.chunk_number,
            is_last: header.is_last,
            force: header.force,
            crc32c: header.crc32c,
            crc64nvme: header.crc64nvme,
            sha256: header.sha256,
            data: data.into(),
        }
    }
}

fn by_prost(mut stream: Bytes) -> Vec<pb::UploadChunkRequest> {
    let mut read = Vec::new();
    while !stream.is_empty() {
        let length = (&stream[1..PREFIX_BYTES]).get_u32() as usize;
        stream.advance(PREFIX_BYTES);
        read.push(pb::UploadChunkRequest::decode(stream.split_to(length)).expect("prost reads it"));
    }
    read
}
