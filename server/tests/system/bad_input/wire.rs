//! Bytes that are no message, no gRPC or no HTTP/2.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use prost::Message as _;
use sluice_proto::error::Reason;
use sluice_proto::pb;

use super::{Scene, assert_refused};
use crate::harness::{RawAnswer, RawCall, chunk, message, noise};

/// The tag of `data`, number 1000, as bytes.
const DATA_TAG: [u8; 2] = [0xc2, 0x3e];

fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

fn data_field(data: &[u8]) -> Vec<u8> {
    [&DATA_TAG[..], &varint(data.len() as u64), data].concat()
}

/// A chunk's message without its data.
fn header(upload_id: &str) -> Vec<u8> {
    chunk(upload_id, 0, b"").encode_to_vec()
}

fn call(scene: &Scene, headers: &[(&'static str, &str)]) -> RawCall {
    let address = scene.server.address();
    scene.runtime.block_on(RawCall::open(&address, "UploadChunk", headers))
}

/// Sends a body, ends it and reads the refusal.
fn refused(scene: &Scene, body: Vec<u8>) -> RawAnswer {
    let call = call(scene, &[]);
    call.send(body);
    scene.runtime.block_on(call.end())
}

#[test]
fn what_is_checked_is_what_counts() {
    let mut scene = Scene::start();
    let upload_id = scene.open();
    let (head, data) = (header(&upload_id), data_field(b"some"));
    let one = |parts: &[&[u8]]| refused(&scene, message(0, &parts.concat())).refusal;
    let second_data = one(&[&head, &data, &data]);
    assert_refused(&second_data, Reason::FieldInvalid, "data", "second");
    let second_id = one(&[&head, &head, &data]);
    assert_refused(&second_id, Reason::FieldInvalid, "upload_id", "second");
    let late_id = one(&[&data, &head]);
    assert_eq!(late_id.reason, Some(Reason::FieldInvalid), "{late_id:?}");
    assert_eq!(late_id.field.as_deref(), Some("upload_id"));
    let late_number = one(&[&head, &data, &[0x10, 0x01]]);
    assert_refused(&late_number, Reason::FieldInvalid, "chunk_number", "after");
    assert_eq!(scene.received(&upload_id), (0, 0));
    scene.end();
}

#[test]
fn a_message_is_whole_and_alone() {
    let mut scene = Scene::start();
    let upload_id = scene.open();
    let whole = message(0, &[header(&upload_id), data_field(&noise(1, 5_000))].concat());
    // In the prefix, in the id, in the data, before the last byte.
    for cut in [0, 3, 20, 100, 3_000, whole.len() - 1] {
        let refusal = refused(&scene, whole[..cut].to_vec()).refusal;
        assert_eq!(refusal.reason, Some(Reason::FieldInvalid), "cut at {cut}: {refusal:?}");
    }
    let twice = refused(&scene, [&whole[..], &whole].concat()).refusal;
    assert_eq!(twice.reason, Some(Reason::FieldInvalid), "{twice:?}");
    let noisy = refused(&scene, message(0, &[0xff; 50])).refusal;
    assert_eq!(noisy.reason, Some(Reason::FieldInvalid), "{noisy:?}");
    let odd_flag = refused(&scene, message(9, &header(&upload_id))).refusal;
    assert_eq!(odd_flag.reason, Some(Reason::FieldInvalid), "{odd_flag:?}");
    assert_eq!(scene.received(&upload_id), (0, 0));
    scene.end();
}

#[test]
fn a_chunk_above_the_limit_is_refused_before_its_bytes_come() {
    let mut scene = Scene::start();
    let upload_id = scene.open();
    let limit = scene.max_chunk_bytes();
    for bytes in [limit + 1, limit + (1 << 20), 3 << 30] {
        let head = [&header(&upload_id)[..], &DATA_TAG, &varint(bytes)].concat();
        let length = u32::try_from(head.len() as u64 + bytes).unwrap().to_be_bytes();
        let call = call(&scene, &[]);
        call.send([&[0][..], &length, &head, &[0; 100]].concat());
        let refusal = scene.runtime.block_on(call.refused()).refusal;
        assert_refused(&refusal, Reason::ChunkTooLarge, "data", "");
        let told = format!("{:?}", refusal.metadata);
        assert!(told.contains("max"), "the limit is told: {refusal:?}");
    }
    scene.end();
}

#[test]
fn an_unknown_upload_is_refused_before_the_bytes_come() {
    let scene = Scene::start();
    let head = [&header("nobody's")[..], &DATA_TAG, &varint(1_000_000)].concat();
    let length = (head.len() as u32 + 1_000_000).to_be_bytes();
    let call = call(&scene, &[]);
    call.send([&[0][..], &length, &head, &[0; 100]].concat());
    let refusal = scene.runtime.block_on(call.refused()).refusal;
    assert_refused(&refusal, Reason::UploadUnknown, "", "");
    scene.end();
}

#[test]
fn compressed_messages_are_refused_unread() {
    let mut scene = Scene::start();
    let upload_id = scene.open();
    let body = [header(&upload_id), data_field(b"some")].concat();
    let call = call(&scene, &[("grpc-encoding", "gzip")]);
    call.send(message(1, &body));
    let answer = scene.runtime.block_on(call.end());
    assert_refused(&answer.refusal, Reason::CompressionUnsupported, "", "identity");
    let accepted = answer.headers.get("grpc-accept-encoding");
    assert!(accepted.is_none_or(|encodings| encodings == "identity"), "{accepted:?}");
    let address = scene.server.address();
    for method in ["InitiateUpload", "CompleteUpload", "GetUploadStatus"] {
        let opened = RawCall::open(&address, method, &[("grpc-encoding", "gzip")]);
        let call = scene.runtime.block_on(opened);
        call.send(message(1, &body));
        let refusal = scene.runtime.block_on(call.end()).refusal;
        assert_refused(&refusal, Reason::CompressionUnsupported, "", "identity");
    }
    assert_eq!(scene.received(&upload_id), (0, 0));
    scene.end();
}

#[test]
fn a_method_that_there_is_not_is_unimplemented() {
    let scene = Scene::start();
    let address = scene.server.address();
    for method in
        ["UploadEverything", "", "uploadchunk", "NodeService/UploadChunk", "Nobody/GetNode"]
    {
        let call = scene.runtime.block_on(RawCall::open(&address, method, &[]));
        call.send(message(0, b""));
        let refusal = scene.runtime.block_on(call.end()).refusal;
        assert_eq!(refusal.reason, Some(Reason::MethodUnknown), "{method}: {refusal:?}");
    }
    scene.end();
}

#[test]
fn a_client_that_vanishes_in_mid_chunk_leaves_nothing() {
    let mut scene = Scene::start();
    let upload_id = scene.open();
    let data = noise(2, 3_000_000);
    let body = message(0, &[header(&upload_id), data_field(&data)].concat());
    for sent in [10, 1_000, 70_000, 2_000_000] {
        let call = call(&scene, &[]);
        call.send(body[..sent].to_vec());
        // Long enough for some of it to arrive; how much doesn't matter.
        std::thread::sleep(Duration::from_millis(20));
        drop(call);
    }
    assert_eq!(scene.received(&upload_id), (0, 0));
    scene.end();
}

#[test]
fn garbage_instead_of_http2_ends_its_own_connection_alone() {
    let scene = Scene::start();
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let tls_hello = [0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3];
    let frame_too_long = [&preface[..], &[0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 1]].concat();
    let no_settings = [&preface[..], &[0, 0, 0, 1, 4, 0, 0, 0, 1]].concat();
    let broken_head =
        [&preface[..], &[0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 4, 1, 4, 0, 0, 0, 1, 0xff]].concat();
    for garbage in [
        noise(3, 10_000),
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(),
        tls_hello.to_vec(),
        frame_too_long,
        no_settings,
        [&broken_head[..], &[0xff; 100]].concat(),
    ] {
        let mut stream = TcpStream::connect(scene.server.address()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        // The server may have hung up already.
        let _ = stream.write_all(&garbage);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let mut rest = Vec::new();
        // An end or a reset; a time-out would be neither.
        if let Err(error) = stream.read_to_end(&mut rest) {
            assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{error}");
        }
    }
    // Whoever says nothing at all keeps nobody from being served.
    let _silent = TcpStream::connect(scene.server.address()).unwrap();
    scene.end();
}

#[test]
fn a_control_call_is_one_message_that_can_be_read() {
    let scene = Scene::start();
    let address = scene.server.address();
    let ask = |body: Vec<u8>| {
        let call = scene.runtime.block_on(RawCall::open(&address, "GetUploadStatus", &[]));
        call.send(body);
        scene.runtime.block_on(call.end()).refusal
    };
    let valid = pb::GetUploadStatusRequest { upload_id: "x".into(), ..Default::default() };
    let valid = message(0, &valid.encode_to_vec());
    for (body, why) in [
        (Vec::new(), "exactly one message"),
        (message(0, &[0xff; 9]), "can't be read"),
        ([&valid[..], &valid[..]].concat(), "exactly one message"),
        (valid[..valid.len() - 1].to_vec(), "exactly one message"),
        (message(0, &vec![0; 60 << 10]), "at most"),
    ] {
        let refusal = ask(body);
        assert_eq!(refusal.reason, Some(Reason::FieldInvalid), "{why}: {refusal:?}");
        assert!(refusal.message.contains(why), "{refusal:?}");
    }
    assert_eq!(ask(valid).reason, Some(Reason::UploadUnknown));
}
