//! Messages that lie, and calls that end in any place: all that they held comes back.

use sluice_proto::pb;

use crate::harness::{Options, chunk, noise};
use crate::raw::*;
use crate::scene::Scene;
use crate::wire::*;
use prost::Message as _;

/// One call with this body, ended by the client; its answer.
fn call(raw: &mut Raw, stream: u32, method: &str, body: &[u8]) -> Answer {
    raw.open_with(stream, &call_head(method));
    raw.send_all(stream, body, 16 << 10);
    answer(raw, stream)
}

fn prefixed(length: u32, message: &[u8]) -> Vec<u8> {
    [&[0], &length.to_be_bytes()[..], message].concat()
}

/// A chunk's message with `fields` between its own and its data.
fn with_fields(target: &Target, number: i32, fields: &[u8]) -> Vec<u8> {
    let mut message = chunk(&target.upload_id, number, b"").encode_to_vec();
    message.extend_from_slice(fields);
    message.extend_from_slice(&[0xc2, 0x3e, 4]);
    message.extend_from_slice(b"data");
    message
}

/// Lengths that lie, fields that can't be, fields that come twice: each is refused.
pub fn lies(target: &Target) {
    let whole = with_fields(target, 20, b"");
    let length = whole.len() as u32;
    let mut bodies = vec![
        prefixed(length - 1, &whole),
        prefixed(length + 1, &whole),
        prefixed(u32::MAX, &whole),
        prefixed(0, &whole),
        prefixed(length - 2, &whole[..whole.len() - 2]),
    ];
    let endless = [0xff; 11];
    let twice = chunk(&target.upload_id, 20, b"").encode_to_vec();
    // Groups in groups, none of which ends.
    let nested = [0x0b; 10_000];
    for fields in [&endless[..], &twice, &nested] {
        let message = with_fields(target, 20, fields);
        bodies.push(prefixed(message.len() as u32, &message));
    }
    let mut raw = Raw::connect(target.address);
    for (n, body) in bodies.iter().enumerate() {
        let stream = 1 + 2 * n as u32;
        assert_eq!(call(&mut raw, stream, "UploadChunk", body), Answer::Refused, "body {n}");
    }
    for (n, message) in
        [&endless[..], &nested, &[0x0a, 0xff, 0xff, 0xff, 0xff, 0x7f]].iter().enumerate()
    {
        let body = prefixed(message.len() as u32, message);
        for (m, method) in
            ["InitiateUpload", "GetUploadStatus", "CompleteUpload"].iter().enumerate()
        {
            let stream = 101 + 2 * (3 * n + m) as u32;
            assert_eq!(call(&mut raw, stream, method, &body), Answer::Refused, "{method} {n}");
        }
    }
}

/// A client of a later version sends fields that this server doesn't know.
pub fn unknown_fields(target: &Target) {
    let number = varint(500 << 3);
    let text = [varint(501 << 3 | 2), varint(300), vec![b'x'; 300]].concat();
    let fixed = [varint(502 << 3 | 1), vec![1; 8], varint(503 << 3 | 5), vec![2; 4]].concat();
    let fields = [number, vec![7], text, fixed].concat();
    let message = with_fields(target, 21, &fields);
    let body = prefixed(message.len() as u32, &message);
    let mut raw = Raw::connect(target.address);
    assert_eq!(call(&mut raw, 1, "UploadChunk", &body), Answer::Ok);
}

/// Clients whose time is up before they are heard, or on the way.
pub fn deadlines(target: &Target) {
    let mut raw = Raw::connect(target.address);
    let message = chunk(&target.upload_id, 22, &noise(1, 50_000)).encode_to_vec();
    let body = prefixed(message.len() as u32, &message);
    for (n, timeout) in ["0n", "1n", "1u", "1m", "99999999H", "x", "-1S"].iter().enumerate() {
        let stream = 1 + 2 * n as u32;
        raw.open_with(stream, &call_head_with("UploadChunk", &[("grpc-timeout", timeout)]));
        raw.send_all(stream, &body, 16 << 10);
        // Late or not, it is answered.
        answer(&mut raw, stream);
    }
}

/// Chunks that are given up after any of their bytes, and after the last, while they are stored.
pub fn cancels(target: &Target) {
    let data = noise(2, 300_000);
    let body = [&chunk_head(&target.upload_id, 23, data.len())[..], &data].concat();
    let mut raw = Raw::connect(target.address);
    let mut streams = (1..).step_by(2);
    for sent in [0, 1, 4, 5, 20, 40, 45, 46, 1_000, 60_000, 100_000, 299_999, body.len()] {
        for _ in 0..3 {
            let stream = streams.next().unwrap();
            raw.open_with(stream, &call_head("UploadChunk"));
            raw.send_part(stream, &body[..sent], 16 << 10, sent == body.len());
            raw.send(RST_STREAM, 0, stream, &8_u32.to_be_bytes());
        }
    }
    let stream = streams.next().unwrap();
    raw.open_with(stream, &call_head("UploadChunk"));
    raw.send_all(stream, &body, 16 << 10);
    assert_eq!(answer(&mut raw, stream), Answer::Ok, "after all that was given up");
    // And in the other calls, before and after their message.
    let status =
        pb::GetUploadStatusRequest { upload_id: target.upload_id.clone(), ..Default::default() };
    let status = framed(&status);
    for method in ["InitiateUpload", "GetUploadStatus", "CompleteUpload", "AbortUpload"] {
        for sent in [0, 3, 5, 8] {
            let stream = streams.next().unwrap();
            raw.open_with(stream, &call_head(method));
            raw.send_part(stream, &status[..sent], 16 << 10, false);
            raw.send(RST_STREAM, 0, stream, &8_u32.to_be_bytes());
        }
    }
    let stream = streams.next().unwrap();
    assert_eq!(call(&mut raw, stream, "GetUploadStatus", &status), Answer::Ok);
}

/// Requests that aren't gRPC are told so by HTTP.
pub fn other_protocols(target: &Target) {
    let mut raw = Raw::connect(target.address);
    let wrong = [("POST", "application/json"), ("GET", "application/grpc"), ("PUT", "text/plain")];
    for (n, (method, kind)) in wrong.into_iter().enumerate() {
        let stream = 1 + 2 * n as u32;
        let fields = [
            (":method", method),
            (":scheme", "http"),
            (":path", "/sluice.upload.v1.UploadService/UploadChunk"),
            (":authority", "sluice"),
            ("content-type", kind),
        ];
        raw.open_with(stream, &block(&fields));
        raw.data(stream, b"{}", true);
        let told = raw.until("text", |f| f.stream == stream && f.kind == DATA);
        assert!(told.payload.starts_with(b"This is a gRPC server"), "{told:?}");
    }
}

#[test]
fn messages_that_lie_are_refused_and_cost_nothing() {
    check(lies);
}

#[test]
fn odd_but_honest_calls_are_answered() {
    check(|target| {
        unknown_fields(target);
        deadlines(target);
        other_protocols(target);
    });
}

#[test]
fn calls_given_up_anywhere_leave_nothing() {
    check(cancels);
}

fn check(attack: impl Fn(&Target) + Sync) {
    let mut scene = Scene::start(Options::default());
    scene.beside(attack);
    scene.end();
}
