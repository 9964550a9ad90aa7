//! Frames in every form: the odd but legal ones come out right, and whoever breaks the rules
//! harms nobody else.

mod edge_support;

use std::{
    io::Write,
    net::{Shutdown, SocketAddr},
    sync::atomic::Ordering::SeqCst,
    time::Duration,
};

use edge_support::{Edge, config, eventually, pattern, raw::*};
use sluice_proto::checksum::Crc32c;

/// What was said before goes on working, and nothing of what went wrong is left.
fn check_unharmed(edge: &Edge, mut bystander: Raw) {
    bystander.upload(1001, &pattern(1, 200_000), 16 << 10);
    drop(bystander);
    edge.until_empty();
}

/// A connection that was used and goes on being used.
fn bystander(address: SocketAddr) -> Raw {
    let mut raw = Raw::connect(address);
    raw.upload(1, &pattern(1, 1_000), 100);
    raw
}

fn padded(stream: u32, flags: u8, payload: &[u8], pad: u8) -> Vec<u8> {
    let all = [&[pad][..], payload, &vec![0; usize::from(pad)]].concat();
    frame(DATA, flags | PADDED, stream, &all)
}

#[test]
fn padding_is_no_payload_but_uses_up_window() {
    let edge = Edge::start(config());
    let mut raw = Raw::connect(edge.address);
    // So much padding that windows which forgot it would be shut for good.
    let bytes = pattern(1, 200_000);
    raw.open(1, "/sum", bytes.len());
    let chunks: Vec<_> = bytes.chunks(300).collect();
    for (n, chunk) in chunks.iter().enumerate() {
        let flow = chunk.len() + 256;
        while raw.room(1) < flow {
            raw.wait();
        }
        let end = if n + 1 == chunks.len() { END_STREAM } else { 0 };
        raw.write(&padded(1, end, chunk, 255));
        raw.spend(1, flow);
    }
    assert_eq!(raw.answer(1), Crc32c::of(&bytes));
    // All padding, and an end that is nothing but padding.
    raw.open(3, "/sum", 2);
    let flow = [padded(3, 0, b"", 9), padded(3, 0, b"ab", 0), padded(3, END_STREAM, b"", 1)];
    raw.write(&flow.concat());
    assert_eq!(raw.answer(3), Crc32c::of(b"ab"));
    drop(raw);
    edge.until_empty();
}

#[test]
fn frames_of_every_size_come_out_right() {
    let edge = Edge::start(config());
    let mut raw = Raw::connect(edge.address);
    let sizes = [1 << 20, (1 << 20) - 1, 16 << 10, 65_535, 1_000];
    for (n, frame_bytes) in sizes.into_iter().enumerate() {
        raw.upload(1 + 2 * n as u32, &pattern(n, 3_000_001), frame_bytes);
    }
    // One byte each.
    raw.upload(101, &pattern(7, 60_000), 1);
    // Empty ones between.
    raw.open(103, "/sum", 3);
    for byte in b"abc" {
        raw.data(103, &[], false);
        raw.data(103, &[*byte], false);
    }
    raw.data(103, &[], true);
    assert_eq!(raw.answer(103), Crc32c::of(b"abc"));
    drop(raw);
    edge.until_empty();
}

/// An upload in five frames, from the preface on.
fn wire() -> (Vec<u8>, u32) {
    let frames = [
        PREFACE.to_vec(),
        frame(SETTINGS, 0, 0, &[]),
        frame(HEADERS, END_HEADERS, 1, &head("/sum", 11)),
        frame(DATA, 0, 1, b"one"),
        padded(1, 0, b"two", 5),
        frame(PING, 0, 0, &[7; 8]),
        padded(1, 0, b"", 2),
        frame(DATA, END_STREAM, 1, b"three"),
    ];
    (frames.concat(), Crc32c::of(b"onetwothree"))
}

#[test]
fn the_wire_may_be_cut_anywhere() {
    let edge = Edge::start(config());
    let (wire, sum) = wire();
    for cut in 1..wire.len() {
        let mut raw = Raw::silent(edge.address);
        raw.write(&wire[..cut]);
        // Long enough for the edge to have read the first part, on most runs.
        std::thread::sleep(Duration::from_millis(1));
        raw.write(&wire[cut..]);
        assert_eq!(raw.answer(1), sum, "cut after {cut} bytes");
    }
    let mut raw = Raw::silent(edge.address);
    for byte in &wire {
        raw.write(&[*byte]);
    }
    assert_eq!(raw.answer(1), sum);
    drop(raw);
    edge.until_empty();
}

#[test]
fn a_wire_that_ends_anywhere_leaves_nothing() {
    let edge = Edge::start(config());
    let (wire, _) = wire();
    for cut in 0..wire.len() {
        let mut raw = Raw::silent(edge.address);
        raw.write(&wire[..cut]);
        raw.socket.shutdown(Shutdown::Write).unwrap();
        raw.end();
    }
    edge.until_empty();
}

#[test]
fn what_is_no_http2_is_closed_and_leaves_nothing() {
    let edge = Edge::start(config());
    let bystander = bystander(edge.address);
    let garbage: [&[u8]; 6] = [
        b"GET / HTTP/1.1\r\nHost: sluice\r\n\r\n",
        b"POST /upload HTTP/1.1\r\nHost: sluice\r\nContent-Length: 5\r\n\r\nhello",
        &[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3],
        &[0; 100],
        &[0xff; 70_000],
        b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n",
    ];
    for garbage in garbage {
        let mut raw = Raw::silent(edge.address);
        raw.write(garbage);
        // An end, and no reset of the connection.
        raw.end();
    }
    // Preface, and then no frame at all.
    let mut raw = Raw::silent(edge.address);
    raw.write(&[PREFACE, &[0xff; 3_000]].concat());
    assert!(raw.end().is_some());
    check_unharmed(&edge, bystander);
}

/// Ends a connection by `wrong`, said on one that has an upload under way on stream 1; what the
/// GOAWAY says.
fn end_of(address: SocketAddr, wrong: &[u8]) -> Option<u32> {
    let mut raw = Raw::connect(address);
    raw.open(1, "/sum", 1 << 20);
    raw.data(1, &[1; 1_000], false);
    // The edge may close before it has read all.
    drop(raw.socket.write_all(wrong));
    raw.end()
}

#[test]
fn breaking_a_rule_ends_the_connection_with_its_reason() {
    let edge = Edge::start(config());
    let bystander = bystander(edge.address);
    let said = |wrong: &[u8]| end_of(edge.address, wrong);
    let long = |kind: u8, stream: u32, bytes: u32| {
        let mut header = frame(kind, 0, stream, &[]);
        header[..3].copy_from_slice(&bytes.to_be_bytes()[1..]);
        header
    };
    for (kind, stream) in [(DATA, 1), (DATA, 3), (HEADERS, 3), (PING, 0), (99, 0)] {
        let code = said(&long(kind, stream, (1 << 20) + 1));
        assert_eq!(code, Some(FRAME_SIZE_ERROR), "kind {kind}");
    }
    assert_eq!(said(&long(SETTINGS, 0, 66_000)), Some(FRAME_SIZE_ERROR));
    // More padding than frame.
    assert_eq!(said(&frame(DATA, PADDED, 1, &[9, 0, 0])), Some(PROTOCOL_ERROR));
    assert_eq!(said(&frame(DATA, PADDED, 1, &[])), Some(PROTOCOL_ERROR));
    // A stream that was never opened, and none at all.
    assert_eq!(said(&frame(DATA, 0, 33, b"what")), Some(PROTOCOL_ERROR));
    assert_eq!(said(&frame(DATA, 0, 0, b"what")), Some(PROTOCOL_ERROR));
    // A header block that something else comes into.
    let half = frame(HEADERS, 0, 3, &head("/sum", 1));
    for between in [frame(DATA, 0, 1, b"x"), frame(PING, 0, 0, &[0; 8]), frame(99, 0, 0, b"")] {
        assert_eq!(said(&[half.clone(), between].concat()), Some(PROTOCOL_ERROR));
    }
    assert_eq!(said(&frame(WINDOW_UPDATE, 0, 0, &[0; 4])), Some(PROTOCOL_ERROR));
    let huge = frame(WINDOW_UPDATE, 0, 0, &0x7fff_ffffu32.to_be_bytes());
    assert_eq!(said(&huge.repeat(2)), Some(FLOW_CONTROL_ERROR));
    check_unharmed(&edge, bystander);
}

#[test]
fn a_client_that_talks_on_can_still_read_why_it_was_cut_off() {
    let edge = Edge::start(config());
    let mut raw = Raw::connect(edge.address);
    let mut long = frame(DATA, 0, 1, &[]);
    long[0] = 0xff;
    raw.write(&long);
    for _ in 0..5 {
        // Each finds the connection as the edge has left it by then.
        std::thread::sleep(Duration::from_millis(10));
        raw.write(&[0; 100_000]);
    }
    assert_eq!(raw.end(), Some(FRAME_SIZE_ERROR));
    drop(raw);
    edge.until_empty();
}

#[test]
fn data_beyond_a_window_ends_the_connection() {
    let edge = Edge::start(config());
    let bystander = bystander(edge.address);
    // Parked: what a stream may send before it is admitted is its first window.
    let mut raw = Raw::connect(edge.address);
    raw.open(1, "/park", 1 << 20);
    (0..5).for_each(|_| raw.data(1, &[1; 16 << 10], false));
    assert_eq!(raw.end(), Some(FLOW_CONTROL_ERROR));
    // Beyond the connection's window, on streams that nobody holds back. What came before one is
    // served would be taken, and given back.
    eventually("the parked one is gone", || edge.seen.serving.load(SeqCst) == 0);
    let mut raw = Raw::connect(edge.address);
    for stream in [1, 3, 5, 7, 9] {
        raw.open(stream, "/hold", 0);
    }
    eventually("all are served", || edge.seen.serving.load(SeqCst) == 5);
    for stream in [1, 3, 5, 7, 9] {
        drop(raw.socket.write_all(&frame(DATA, 0, stream, &[1; 16 << 10])));
    }
    assert_eq!(raw.end(), Some(FLOW_CONTROL_ERROR));
    check_unharmed(&edge, bystander);
}

#[test]
fn data_on_a_stream_that_is_over_ends_no_other_stream() {
    let edge = Edge::start(config());
    let mut raw = Raw::connect(edge.address);
    raw.open(1, "/sum", 100_000);
    // Reset by the client itself, answered, and refused; each followed by DATA.
    raw.open(3, "/sum", 10);
    raw.send(RST_STREAM, 0, 3, &8u32.to_be_bytes());
    raw.data(3, b"late", false);
    raw.upload(5, b"whole", 5);
    raw.open(7, "/refuse", 10);
    raw.until("refusal", |f| f.stream == 7 && f.kind == HEADERS);
    raw.data(7, b"late", true);
    let bytes = pattern(1, 100_000);
    raw.send_all(1, &bytes, 16 << 10);
    assert_eq!(raw.answer(1), Crc32c::of(&bytes));
    drop(raw);
    edge.until_empty();
}

fn check_flood(of: &str, frames: impl Fn(u32) -> Vec<u8>) {
    let edge = Edge::start(config());
    let bystander = bystander(edge.address);
    let mut flood = Vec::new();
    (0..20_000).for_each(|n| flood.extend_from_slice(&frames(n)));
    let mut raw = Raw::connect(edge.address);
    raw.open(1, "/sum", 1 << 20);
    let mut socket = raw.socket.try_clone().unwrap();
    // What comes back must be read meanwhile, or the edge would only wait.
    let writer = std::thread::spawn(move || drop(socket.write_all(&flood)));
    assert_eq!(raw.end(), Some(ENHANCE_YOUR_CALM), "{of}");
    drop(raw);
    writer.join().unwrap();
    check_unharmed(&edge, bystander);
}

#[test]
fn floods_of_frames_that_bring_nothing_end_the_connection() {
    check_flood("PING", |_| frame(PING, 0, 0, &[0; 8]));
    check_flood("SETTINGS", |_| frame(SETTINGS, 0, 0, &[]));
    check_flood("PRIORITY", |_| frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 9]));
    check_flood("WINDOW_UPDATE", |_| frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]));
    check_flood("unknown", |_| frame(99, 0, 0, b"what"));
    check_flood("empty DATA", |_| frame(DATA, 0, 1, &[]));
    check_flood("padding", |_| padded(1, 0, b"", 0));
}

#[test]
fn rapid_resets_end_the_connection() {
    check_flood("resets", |n| {
        let open = frame(HEADERS, END_HEADERS, 3 + 2 * n, &head("/sum", 1));
        [open, frame(RST_STREAM, 0, 3 + 2 * n, &8u32.to_be_bytes())].concat()
    });
    // Resets by the edge, which the client brings about by a window beyond all bounds.
    check_flood("made to reset", |n| {
        let open = frame(HEADERS, END_HEADERS, 3 + 2 * n, &head("/sum", 1));
        let huge = 0x7fff_ffffu32.to_be_bytes();
        [open, frame(WINDOW_UPDATE, 0, 3 + 2 * n, &huge)].concat()
    });
}

#[test]
fn endless_header_blocks_end_the_connection() {
    check_flood("CONTINUATION", |n| match n {
        0 => frame(HEADERS, 0, 3, &head("/sum", 1)),
        _ => frame(CONTINUATION, 0, 3, &[]),
    });
}

#[test]
fn hundreds_of_cancelled_calls_are_no_flood() {
    let edge = Edge::start(config());
    let mut raw = Raw::connect(edge.address);
    let mut streams = (1..).step_by(2);
    for _ in 0..3 {
        // As many at once as h2 keeps for whoever is to take them.
        for stream in streams.by_ref().take(200) {
            raw.open(stream, "/sum", 10);
            raw.send(RST_STREAM, 0, stream, &8u32.to_be_bytes());
        }
        raw.upload(streams.next().unwrap(), &pattern(1, 100_000), 16 << 10);
    }
    drop(raw);
    edge.until_empty();
    assert!(edge.seen.errors.lock().unwrap().is_empty());
}
