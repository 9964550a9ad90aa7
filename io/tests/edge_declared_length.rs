//! A client may declare its payload's length by `content-length`, and is held to it.

mod edge_support;

use std::sync::atomic::Ordering::SeqCst;

use edge_support::{Edge, config, pattern, raw::*};
use sluice_proto::checksum::Crc32c;

fn declared(path: &str, asked_bytes: usize, declared_bytes: usize) -> Vec<u8> {
    let length = block(&[("content-length", &declared_bytes.to_string())]);
    [head(path, asked_bytes), length].concat()
}

#[test]
fn a_payload_as_long_as_declared_comes_out_right() {
    let edge = Edge::start(config());
    let mut raw = Raw::connect(edge.address);
    let sizes = [(1, 1), (10, 1), (16 << 10, 16 << 10), (65_000, 200), (3_000_001, 1 << 20)];
    for (n, (bytes, frame_bytes)) in sizes.into_iter().enumerate() {
        let (stream, bytes) = (1 + 2 * n as u32, pattern(n, bytes));
        raw.open_with(stream, &declared("/sum", bytes.len(), bytes.len()));
        raw.send_all(stream, &bytes, frame_bytes);
        assert_eq!(raw.answer(stream), Crc32c::of(&bytes));
    }
    // In one write, so that its end is here before anybody has the request.
    let bytes = pattern(9, 20_000);
    let whole = [
        frame(HEADERS, END_HEADERS, 101, &declared("/sum", bytes.len(), bytes.len())),
        frame(DATA, 0, 101, &bytes[..15_000]),
        frame(DATA, END_STREAM, 101, &bytes[15_000..]),
    ];
    raw.write(&whole.concat());
    raw.spend(101, bytes.len());
    assert_eq!(raw.answer(101), Crc32c::of(&bytes));
    drop(raw);
    edge.until_empty();
    assert!(edge.seen.errors.lock().unwrap().is_empty());
}

#[test]
fn another_length_than_declared_resets_its_stream_alone() {
    let edge = Edge::start(config());
    let mut raw = Raw::connect(edge.address);
    let bytes = pattern(1, 100_000);
    raw.open(1, "/sum", bytes.len());
    raw.data(1, &bytes[..1_000], false);
    let mut streams = (3..).step_by(2);
    for (sent_bytes, declared_bytes) in [(9, 10), (11, 10), (40_000, 60_000), (60_000, 20_000)] {
        let stream = streams.next().unwrap();
        raw.open_with(stream, &declared("/sum", sent_bytes, declared_bytes));
        raw.send_all(stream, &bytes[..sent_bytes], 16 << 10);
        let reset = raw.until("reset", |f| f.stream == stream && f.kind == RST_STREAM);
        assert_eq!(reset.code(), PROTOCOL_ERROR, "{sent_bytes} of {declared_bytes}");
    }
    raw.send_all(1, &bytes[1_000..], 16 << 10);
    assert_eq!(raw.answer(1), Crc32c::of(&bytes));
    drop(raw);
    edge.until_empty();
}

#[test]
fn what_is_refused_is_drained_with_a_declared_length_too() {
    let edge = Edge::start(config());
    let mut raw = Raw::connect(edge.address);
    let bytes = pattern(1, 300_000);
    for stream in [1, 3, 5] {
        raw.open_with(stream, &declared("/refuse", bytes.len(), bytes.len()));
        raw.send_all(stream, &bytes, 16 << 10);
        let refused = raw.until("refusal", |f| f.stream == stream);
        assert_eq!(refused.kind, HEADERS);
    }
    raw.upload(7, &bytes, 16 << 10);
    // A reset would have been here before the sum.
    raw.look();
    let reset = raw.take(|frame| frame.kind == RST_STREAM);
    assert!(reset.is_none(), "{reset:?}");
    assert_eq!(edge.seen.serving.load(SeqCst), 0);
    drop(raw);
    edge.until_empty();
}

#[test]
fn requests_that_end_before_anybody_has_them_disturb_no_other_frame() {
    let edge = Edge::start(config());
    let mut raw = Raw::connect(edge.address);
    let ping = frame(PING, 0, 0, &[7; 8]);
    // Settings are acknowledged by then, which must not go into the midst of a frame.
    raw.upload(1, b"first", 5);
    for n in 0..50 {
        let stream = 3 + 4 * n;
        let bytes = pattern(n as usize, 300);
        let block = declared("/sum", bytes.len(), bytes.len());
        let block = if n % 2 == 0 { block } else { head("/sum", bytes.len()) };
        let whole = [
            frame(HEADERS, END_HEADERS, stream, &block),
            frame(DATA, END_STREAM, stream, &bytes),
            // Ended, and reset in the same breath.
            frame(HEADERS, END_HEADERS, stream + 2, &block),
            frame(DATA, END_STREAM, stream + 2, &bytes),
            frame(RST_STREAM, 0, stream + 2, &8u32.to_be_bytes()),
        ];
        // And what comes next has only begun to come.
        raw.write(&[&whole.concat()[..], &ping[..10 + n as usize % 7]].concat());
        raw.spend(stream, bytes.len());
        raw.spend(stream + 2, bytes.len());
        assert_eq!(raw.answer(stream), Crc32c::of(&bytes));
        raw.write(&ping[10 + n as usize % 7..]);
        raw.until("pong", |f| f.kind == PING && f.flags & ACK != 0);
    }
    drop(raw);
    edge.until_empty();
    assert!(edge.seen.errors.lock().unwrap().is_empty());
}
