//! The five bytes before every gRPC message, and the texts of its trailers.

use std::fmt::Write as _;

use bytes::{BufMut, Bytes, BytesMut};
use data_encoding::BASE64_NOPAD;
use prost::Message;

use crate::error::{Reason, Refusal};
use crate::grpc::rope::Rope;
use crate::pb::rpc;

/// Bytes before every message: a flag and the length, big-endian.
pub const PREFIX_BYTES: usize = 5;

/// Reads a prefix: the message's length in bytes.
///
/// COMPRESSION_UNSUPPORTED if it is compressed, before anything is inflated;
/// FIELD_INVALID if the flag is none or the message is longer than `max_bytes`.
pub fn parse_prefix(prefix: [u8; PREFIX_BYTES], max_bytes: u64) -> Result<u32, Refusal> {
    let [flag, length @ ..] = prefix;
    match flag {
        0 => {}
        1 => {
            let text = "compressed messages are not taken; send identity";
            return Err(Refusal::new(Reason::CompressionUnsupported, text));
        }
        _ => return Err(Refusal::new(Reason::FieldInvalid, "not a gRPC message prefix")),
    }
    let length = u32::from_be_bytes(length);
    if u64::from(length) > max_bytes {
        let text = format!("a message of {length} bytes, where {max_bytes} are taken");
        return Err(Refusal::new(Reason::FieldInvalid, text).with("max_message_bytes", max_bytes));
    }
    Ok(length)
}

/// Reads the one message of a unary request that has arrived whole.
///
/// FIELD_INVALID if it is not exactly one message of this type.
pub fn decode_request<M: Message + Default>(mut body: Rope, max_bytes: u64) -> Result<M, Refusal> {
    let broken = || Refusal::new(Reason::FieldInvalid, "the body is not exactly one message");
    let mut prefix = [0; PREFIX_BYTES];
    if body.peek(&mut prefix) < PREFIX_BYTES {
        return Err(broken());
    }
    let length = parse_prefix(prefix, max_bytes)?;
    body.split_to(PREFIX_BYTES);
    if body.len() as u64 != u64::from(length) {
        return Err(broken());
    }
    M::decode(body).map_err(|error| {
        Refusal::new(Reason::FieldInvalid, format!("the message can't be read: {error}"))
    })
}

/// A message with its prefix, ready to send.
///
/// # Panics
/// If it is longer than 4 GiB, which no reply is.
pub fn frame_reply(message: &impl Message) -> Bytes {
    let length = message.encoded_len();
    let mut out = BytesMut::with_capacity(PREFIX_BYTES + length);
    out.put_u8(0);
    out.put_u32(u32::try_from(length).expect("a reply is far below 4 GiB"));
    message.encode(&mut out).expect("the buffer grows");
    out.freeze()
}

/// A status message as the trailer `grpc-message` carries it: percent-encoded
/// but for visible ASCII and spaces.
pub fn encode_grpc_message(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b' '..=b'~' if byte != b'%' => out.push(char::from(byte)),
            _ => write!(out, "%{byte:02X}").expect("a string takes everything"),
        }
    }
    out
}

/// A status as the trailer `grpc-status-details-bin` carries it.
pub fn encode_status_details(status: &rpc::Status) -> String {
    BASE64_NOPAD.encode(&status.encode_to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pb;

    fn prefix(flag: u8, length: u32) -> [u8; PREFIX_BYTES] {
        let [a, b, c, d] = length.to_be_bytes();
        [flag, a, b, c, d]
    }

    #[test]
    fn a_prefix_is_judged_before_its_message() {
        assert_eq!(parse_prefix(prefix(0, 7), 7).unwrap(), 7);
        let refused = |flag, length| parse_prefix(prefix(flag, length), 7).unwrap_err().reason;
        assert_eq!(refused(1, u32::MAX), Reason::CompressionUnsupported);
        assert_eq!(refused(2, 1), Reason::FieldInvalid);
        assert_eq!(refused(0, 8), Reason::FieldInvalid);
    }

    #[test]
    fn a_reply_reads_back_as_a_request() {
        let sent = pb::GetDriveRequest { drive_id: "d".into() };
        let framed = frame_reply(&sent);
        let body: Rope = framed.chunks(2).map(Bytes::copy_from_slice).collect();
        assert_eq!(decode_request::<pb::GetDriveRequest>(body, 100).unwrap(), sent);
        for cut in 0..framed.len() {
            let body: Rope = [framed.slice(..cut)].into_iter().collect();
            assert!(decode_request::<pb::GetDriveRequest>(body, 100).is_err());
        }
    }

    #[test]
    fn trailers_are_visible_ascii() {
        assert_eq!(encode_grpc_message("a b%\nä~"), "a b%25%0A%C3%A4~");
    }
}
