//! Frames that are legal and a burden, or illegal and no flood.

use std::io::Read as _;
use std::io::Write as _;
use std::net::Shutdown;

use crate::harness::{Options, noise};
use crate::raw::*;
use crate::scene::Scene;
use crate::wire::*;

/// One byte a frame is a burden that a stream may be; 200 are what a small buffer sends.
pub fn tiny_frames(target: &Target) {
    let mut raw = Raw::connect(target.address);
    let data = noise(1, 1 << 16);
    assert_eq!(send_chunk(&mut raw, 1, target, 1, &data, 1), Answer::Ok);
    assert_eq!(send_chunk(&mut raw, 3, target, 2, &data, 200), Answer::Ok);
}

/// So much padding that a window which forgot it would be shut for good.
pub fn padding(target: &Target) {
    let mut raw = Raw::connect(target.address);
    raw.open_with(1, &call_head("UploadChunk"));
    let data = noise(2, 200_000);
    let message = [&chunk_head(&target.upload_id, 3, data.len())[..], &data].concat();
    let pieces = message.chunks(300);
    let last = pieces.len() - 1;
    for (n, piece) in pieces.enumerate() {
        let flow = piece.len() + 256;
        while raw.room(1) < flow {
            raw.wait();
        }
        raw.write(&padded(1, if n == last { END_STREAM } else { 0 }, piece, 255));
        raw.spend(1, flow);
    }
    assert_eq!(answer(&mut raw, 1), Answer::Ok);
}

/// A header list beyond the limit costs its own call alone, whether in one frame or in many.
pub fn header_lists_beyond_the_limit(target: &Target) {
    let mut raw = Raw::connect(target.address);
    let data = noise(3, 200_000);
    raw.open_with(1, &call_head("UploadChunk"));
    let message = [&chunk_head(&target.upload_id, 4, data.len())[..], &data].concat();
    raw.data(1, &message[..1_000], false);
    let long = call_head_with("UploadChunk", &[("x-long", &"x".repeat(20_000))]);
    raw.send(HEADERS, END_HEADERS | END_STREAM, 3, &long);
    assert_ne!(answer(&mut raw, 3), Answer::Ok);
    let many: Vec<(String, String)> =
        (0..400).map(|n| (format!("x-{n}"), "y".repeat(20))).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    raw.send(HEADERS, END_HEADERS | END_STREAM, 5, &call_head_with("UploadChunk", &many));
    assert_ne!(answer(&mut raw, 5), Answer::Ok);
    raw.send_all(1, &message[1_000..], 16 << 10);
    assert_eq!(answer(&mut raw, 1), Answer::Ok);
}

/// What comes late on a stream that was reset harms no other.
pub fn frames_after_a_reset(target: &Target) {
    let mut raw = Raw::connect(target.address);
    let data = noise(4, 100_000);
    let message = [&chunk_head(&target.upload_id, 5, data.len())[..], &data].concat();
    raw.open_with(1, &call_head("UploadChunk"));
    raw.data(1, &message[..1_000], false);
    for n in 1..50 {
        let stream = 1 + 2 * n;
        raw.open_with(stream, &call_head("UploadChunk"));
        raw.data(stream, &message[..200], false);
        raw.send(RST_STREAM, 0, stream, &8_u32.to_be_bytes());
        raw.data(stream, b"late", n % 2 == 0);
        raw.send(WINDOW_UPDATE, 0, stream, &1_u32.to_be_bytes());
    }
    raw.send_all(1, &message[1_000..], 16 << 10);
    assert_eq!(answer(&mut raw, 1), Answer::Ok);
}

/// A client that says it will go still gets its upload through.
pub fn goaway_in_mid_upload(target: &Target) {
    let mut raw = Raw::connect(target.address);
    let data = noise(5, 3_000_000);
    let message = [&chunk_head(&target.upload_id, 6, data.len())[..], &data].concat();
    raw.open_with(1, &call_head("UploadChunk"));
    raw.send_part(1, &message[..1_000_000], 16 << 10, false);
    raw.send(GOAWAY, 0, 0, &[0; 8]);
    raw.send_all(1, &message[1_000_000..], 16 << 10);
    assert_eq!(answer(&mut raw, 1), Answer::Ok);
}

/// No HTTP/2, or none after the preface: the connection ends.
pub fn garbage(target: &Target) {
    let tls_hello = [0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3];
    let settings_first = [PREFACE, &frame(PING, 0, 0, &[0; 8])].concat();
    for wrong in [
        &noise(6, 10_000)[..],
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        &tls_hello,
        &settings_first,
        &[PREFACE, &frame(SETTINGS, 0, 0, &[]), &noise(7, 10_000)].concat(),
    ] {
        let mut raw = Raw::silent(target.address);
        // It may have been closed before all was sent.
        drop(raw.socket.write_all(wrong));
        let _ = raw.socket.shutdown(Shutdown::Write);
        let _ = raw.socket.read_to_end(&mut Vec::new());
    }
}

#[test]
fn tiny_and_padded_frames_are_taken() {
    check(|target| {
        tiny_frames(target);
        padding(target);
    });
}

#[test]
fn long_header_lists_and_late_frames_harm_no_other_stream() {
    check(|target| {
        header_lists_beyond_the_limit(target);
        frames_after_a_reset(target);
    });
}

#[test]
fn farewells_and_garbage_end_well() {
    check(|target| {
        goaway_in_mid_upload(target);
        garbage(target);
    });
}

fn check(attack: impl Fn(&Target) + Sync) {
    let mut scene = Scene::start(Options::default());
    scene.beside(attack);
    scene.end();
}
