//! Refusing many must not hurt one: late frames of refused streams never end a connection
//! (hyperium/h2#856).

mod edge_support;

use std::sync::atomic::Ordering::SeqCst;

use edge_support::{Edge, FLOOR_BYTES, config, eventually, pattern, raw::*};
use sluice_proto::checksum::Crc32c;

const HONEST: u32 = 1;
const REFUSED: u32 = 600;
const LATE_FRAMES: u32 = 4;

/// Refuses [`REFUSED`] streams, each with [`LATE_FRAMES`] frames that come after, in the middle
/// of an honest upload.
fn storm(edge: &Edge, path: &str) {
    let mut raw = Raw::connect(edge.address);
    let honest = pattern(9, 12 << 20);
    raw.open(HONEST, "/sum", honest.len());
    let mut sent = 0;
    let mut step = |raw: &mut Raw, bytes: usize| {
        let until = honest.len().min(sent + bytes);
        while sent < until {
            raw.look();
            while raw.room(HONEST) == 0 {
                raw.wait();
            }
            let some = (until - sent).min(16 << 10).min(raw.room(HONEST));
            raw.data(HONEST, &honest[sent..sent + some], sent + some == honest.len());
            sent += some;
        }
    };
    let stream = |n: u32| 3 + 2 * n;
    for n in 0..REFUSED {
        raw.open(stream(n), path, 1 << 20);
        step(&mut raw, 4_096);
    }
    for _ in 0..LATE_FRAMES {
        for n in 0..REFUSED {
            let late = pattern(n as usize, 2_000);
            while raw.window < late.len() as i64 {
                raw.wait();
            }
            raw.data(stream(n), &late, false);
            step(&mut raw, 1_024);
        }
    }
    step(&mut raw, honest.len());
    assert_eq!(raw.answer(HONEST), Crc32c::of(&honest));
    raw.upload(stream(REFUSED), &pattern(5, 1 << 20), 1 << 20);
    eventually("no handler is left", || edge.seen.serving.load(SeqCst) == 0);
    eventually("only the floor is left", || edge.seen.window_bytes.load(SeqCst) == FLOOR_BYTES);
    drop(raw);
    edge.until_empty();
    assert!(edge.seen.errors.lock().unwrap().is_empty());
}

#[test]
fn late_frames_of_answered_streams_are_drained() {
    storm(&Edge::start(config()), "/refuse");
}

#[test]
fn late_frames_of_streams_that_were_reset_after_their_drain_are_dropped() {
    let mut short = config();
    (short.drain_bytes_max, short.drain_ms_max) = (1_000, 1);
    storm(&Edge::start(short), "/refuse");
}

#[test]
fn late_frames_of_streams_beyond_the_limit_are_dropped() {
    let mut few = config();
    few.streams_max = 3;
    storm(&Edge::start(few), "/refuse");
}

#[test]
fn large_late_frames_of_a_cut_upload_are_dropped() {
    let mut short = config();
    (short.drain_bytes_max, short.drain_ms_max) = (1_000, 1);
    let edge = Edge::start(short);
    let mut raw = Raw::connect(edge.address);
    let bytes = pattern(1, 8 << 20);
    raw.open(1, "/give-up", bytes.len());
    eventually("a large window", || {
        raw.look();
        raw.room(1) >= 4 << 20
    });
    // The server gives it up and, once drained, resets it; the client doesn't know yet.
    raw.data(1, &bytes[..1_000], false);
    edge.seen.go.store(true, SeqCst);
    raw.until("reset", |f| f.stream == 1 && f.kind == RST_STREAM);
    for late in bytes[..3 << 20].chunks(1 << 20) {
        raw.data(1, late, false);
    }
    raw.upload(3, &pattern(2, 2 << 20), 1 << 20);
    assert!(edge.seen.errors.lock().unwrap().is_empty());
}

#[test]
fn streams_that_their_client_forgets_once_answered_take_no_others_place() {
    let edge = Edge::start(config());
    let mut raw = Raw::connect(edge.address);
    // As grpc-go does: it neither ends nor resets them. More than may be open at one time.
    for n in 0..2 * config().streams_max {
        let stream = 1 + 2 * n;
        raw.open(stream, "/refuse", 1 << 20);
        let answer = raw.until("answer", |f| f.stream == stream);
        assert_eq!(answer.kind, HEADERS, "stream {stream}: {answer:?}");
    }
    raw.upload(10_001, &pattern(1, 1 << 20), 16 << 10);
    drop(raw);
    edge.until_empty();
    assert!(edge.seen.errors.lock().unwrap().is_empty());
}
