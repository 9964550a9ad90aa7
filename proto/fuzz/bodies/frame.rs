//! A small request reads the same in any pieces, and trailers are fit for a header.

use std::fmt::Debug;

use bytes::Bytes;
use prost::Message;
use sluice_proto::error::ReceivedRefusal;
use sluice_proto::grpc::Rope;
use sluice_proto::grpc::frame::{
    PREFIX_BYTES, decode_request, encode_grpc_message, encode_status_details, frame_reply,
};
use sluice_proto::limits::CONTROL_MESSAGE_BYTES_MAX;
use sluice_proto::pb;

use super::Stream;

/// The fuzz body.
pub fn run(input: &[u8]) {
    let stream = Stream::of(input);
    request::<pb::CompleteUploadRequest>(&stream);
    request::<pb::AbortUploadRequest>(&stream);
    request::<pb::ListUploadsRequest>(&stream);
    request::<pb::CreateDriveRequest>(&stream);
    request::<pb::rpc::Status>(&stream);
    trailers(&stream.whole);
}

fn request<M: Message + Default + PartialEq + Debug>(stream: &Stream) {
    let max_bytes = CONTROL_MESSAGE_BYTES_MAX as u64;
    let whole = decode_request::<M>([stream.whole.clone()].into_iter().collect(), max_bytes);
    let pieces: Rope = stream.pieces.iter().cloned().collect();
    assert_eq!(decode_request::<M>(pieces, max_bytes), whole);
    let Ok(read) = whole else { return };
    assert_eq!(M::decode(&stream.whole[PREFIX_BYTES..]).as_ref(), Ok(&read));
    let again = [frame_reply(&read)].into_iter().collect();
    assert_eq!(decode_request::<M>(again, u64::MAX).as_ref(), Ok(&read));
}

fn trailers(bytes: &Bytes) {
    let text = String::from_utf8_lossy(bytes);
    let encoded = encode_grpc_message(&text);
    assert!(encoded.bytes().all(|byte| matches!(byte, b' '..=b'~')));
    assert_eq!(percent_decode(&encoded), text.as_bytes());
    if let Ok(status) = pb::rpc::Status::decode(&bytes[..]) {
        let encoded = encode_status_details(&status);
        assert!(encoded.bytes().all(|byte| byte.is_ascii_graphic()));
        let read = ReceivedRefusal::from_status(&status);
        assert_eq!((read.code, read.message), (status.code, status.message));
    }
}

fn percent_decode(text: &str) -> Vec<u8> {
    let mut bytes = text.bytes();
    let hex = |bytes: &mut std::str::Bytes<'_>| {
        let digits = [bytes.next().expect("two digits"), bytes.next().expect("two digits")];
        let digits = std::str::from_utf8(&digits).expect("ASCII").to_owned();
        u8::from_str_radix(&digits, 16).expect("hexadecimal")
    };
    let mut out = Vec::new();
    while let Some(byte) = bytes.next() {
        out.push(if byte == b'%' { hex(&mut bytes) } else { byte });
    }
    out
}
