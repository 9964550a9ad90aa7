//! The one message of InitiateUpload says the same in any pieces, and what prost says.

use bytes::Bytes;
use prost::Message as _;
use sluice_proto::error::Refusal;
use sluice_proto::grpc::frame::{PREFIX_BYTES, frame_reply};
use sluice_proto::grpc::{InitiateDecoder, InitiateEvent};
use sluice_proto::pb;

use super::Stream;

const PAYLOAD_BYTES_MAX: u64 = 1 << 20;

/// The fuzz body.
pub fn run(input: &[u8]) {
    let stream = Stream::of(input);
    let read = Read::of(std::slice::from_ref(&stream.whole));
    assert_eq!(Read::of(&stream.pieces), read);
    if read.refused.is_none() {
        let told = read.into_request();
        let by_prost = pb::InitiateUploadRequest::decode(stream.whole.slice(PREFIX_BYTES..));
        assert_eq!(told, by_prost.expect("prost reads it"));
        let again = Read::of(&[frame_reply(&told)]);
        assert_eq!(again.refused, None);
        assert_eq!(again.into_request(), told);
    }
}

/// What a decoder told, until the stream ended or was refused.
#[derive(Debug, Default, PartialEq)]
struct Read {
    request: Option<Box<pb::InitiateUploadRequest>>,
    payload_bytes: Option<u64>,
    payload: Vec<u8>,
    ended: bool,
    refused: Option<Refusal>,
}

impl Read {
    fn of(pieces: &[Bytes]) -> Self {
        let mut read = Self::default();
        read.refused = read.all(pieces).err();
        read
    }

    fn all(&mut self, pieces: &[Bytes]) -> Result<(), Refusal> {
        let mut decoder = InitiateDecoder::new(PAYLOAD_BYTES_MAX);
        for piece in pieces {
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
        }
        decoder.finish()
    }

    fn take(&mut self, event: InitiateEvent) {
        match event {
            InitiateEvent::Request { request, payload_bytes } => {
                assert!(request.payload.is_none());
                assert!(self.request.replace(request).is_none(), "there is one request");
                self.payload_bytes = payload_bytes;
            }
            InitiateEvent::Payload(piece) => {
                assert!(!piece.is_empty() && self.request.is_some() && !self.ended);
                self.payload.extend_from_slice(&piece);
                assert!(self.payload_bytes.is_some_and(|max| self.payload.len() as u64 <= max));
            }
            InitiateEvent::End => {
                assert!(self.request.is_some());
                assert!(!std::mem::replace(&mut self.ended, true), "there is one end");
            }
        }
    }

    fn into_request(self) -> pb::InitiateUploadRequest {
        assert!(self.ended);
        assert_eq!(self.payload_bytes.unwrap_or_default(), self.payload.len() as u64);
        let payload = self.payload_bytes.map(|_| self.payload.into());
        pb::InitiateUploadRequest { payload, ..*self.request.expect("it was told") }
    }
}
