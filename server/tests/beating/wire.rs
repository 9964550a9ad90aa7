//! gRPC calls in frames that are written by hand.

use std::net::SocketAddr;

use prost::Message as _;

use crate::harness::chunk;
use crate::raw::{DATA, END_STREAM, Frame, HEADERS, RST_STREAM, Raw, block, frame};

/// The tag of `data`, number 1000, as bytes.
const DATA_TAG: [u8; 2] = [0xc2, 0x3e];

/// Whom an attack is on.
#[derive(Debug, Clone)]
pub struct Target {
    pub address: SocketAddr,
    /// An upload that nobody finishes.
    pub upload_id: String,
}

/// The header block of a call of UploadService.
pub fn call_head(method: &str) -> Vec<u8> {
    call_head_with(method, &[])
}

/// The same with more fields.
pub fn call_head_with(method: &str, more: &[(&str, &str)]) -> Vec<u8> {
    let path = format!("/sluice.upload.v1.UploadService/{method}");
    let fields = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", path.as_str()),
        (":authority", "sluice"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ];
    block(&[&fields[..], more].concat())
}

pub fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

/// What a chunk's call sends before its data: prefix, fields, and the data's length.
pub fn chunk_head(upload_id: &str, number: i32, data_bytes: usize) -> Vec<u8> {
    let mut fields = chunk(upload_id, number, b"").encode_to_vec();
    fields.extend_from_slice(&DATA_TAG);
    fields.extend_from_slice(&varint(data_bytes as u64));
    let length = u32::try_from(fields.len() + data_bytes).unwrap().to_be_bytes();
    [&[0], &length[..], &fields].concat()
}

/// A message with its prefix.
pub fn framed(message: &impl prost::Message) -> Vec<u8> {
    crate::harness::message(0, &message.encode_to_vec())
}

/// How a call on `stream` was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// With a message.
    Ok,
    /// With a status alone.
    Refused,
    /// With a reset of this code.
    Reset(u32),
}

/// Waits for the answer of a call.
pub fn answer(raw: &mut Raw, stream: u32) -> Answer {
    let is_end = |frame: &Frame| frame.flags & END_STREAM != 0;
    let first =
        raw.until("answer", |f| f.stream == stream && [HEADERS, RST_STREAM].contains(&f.kind));
    if first.kind == RST_STREAM {
        return Answer::Reset(first.code());
    }
    if is_end(&first) {
        return Answer::Refused;
    }
    raw.until("message", |f| f.stream == stream && f.kind == DATA);
    raw.until("end", |f| f.stream == stream && is_end(f));
    Answer::Ok
}

/// A whole chunk in frames of `frame_bytes`; its answer.
pub fn send_chunk(
    raw: &mut Raw,
    stream: u32,
    target: &Target,
    number: i32,
    data: &[u8],
    frame_bytes: usize,
) -> Answer {
    raw.open_with(stream, &call_head("UploadChunk"));
    let message = [&chunk_head(&target.upload_id, number, data.len())[..], data].concat();
    raw.send_all(stream, &message, frame_bytes);
    answer(raw, stream)
}

/// A DATA frame with `pad` bytes of padding.
pub fn padded(stream: u32, flags: u8, payload: &[u8], pad: u8) -> Vec<u8> {
    let all = [&[pad][..], payload, &vec![0; usize::from(pad)]].concat();
    frame(DATA, flags | crate::raw::PADDED, stream, &all)
}
