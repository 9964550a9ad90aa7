//! A client that vanishes leaves nothing behind, and whoever serves it is told.

mod edge_support;

use std::sync::atomic::Ordering::SeqCst;

use edge_support::{Edge, FLOOR_BYTES, config, eventually, pattern, raw::*};
use socket2::SockRef;

/// Opens a stream and sends half of what it promised, as far as the windows let it.
fn half_upload(raw: &mut Raw, stream: u32, path: &str) {
    raw.open(stream, path, 4 << 20);
    raw.data(stream, &pattern(1, 10_000), false);
}

#[test]
fn a_client_that_is_gone_is_told_and_all_comes_back() {
    let edge = Edge::start(config());
    for is_abrupt in [false, true] {
        let before = edge.seen.cut_by_disconnect.load(SeqCst);
        let mut raw = Raw::connect(edge.address);
        for (stream, path) in [(1, "/sum"), (3, "/hold"), (5, "/park")] {
            half_upload(&mut raw, stream, path);
        }
        // And in the midst of a frame.
        raw.open(7, "/sum", 1 << 20);
        raw.write(&frame(DATA, 0, 7, &[7; 10_000])[..5_000]);
        eventually("all are served", || edge.seen.serving.load(SeqCst) == 4);
        eventually("one is parked", || edge.seen.parked_bytes.load(SeqCst) == FLOOR_BYTES);
        if is_abrupt {
            let now = Some(std::time::Duration::ZERO);
            SockRef::from(&raw.socket).set_linger(now).unwrap();
        }
        drop(raw);
        eventually("all hear of it", || edge.seen.cut_by_disconnect.load(SeqCst) == before + 4);
        edge.until_empty();
    }
}

#[test]
fn a_stream_that_is_reset_is_told_and_its_connection_goes_on() {
    let edge = Edge::start(config());
    let mut raw = Raw::connect(edge.address);
    for (n, path) in (0..3).flat_map(|_| ["/sum", "/hold", "/park"]).enumerate() {
        let stream = 1 + 2 * n as u32;
        half_upload(&mut raw, stream, path);
        eventually("it is served", || edge.seen.serving.load(SeqCst) == 1);
        raw.send(RST_STREAM, 0, stream, &8u32.to_be_bytes());
        eventually("it hears of it", || edge.seen.cut_by_reset.load(SeqCst) == n as u64 + 1);
        eventually("it ends", || edge.seen.serving.load(SeqCst) == 0);
    }
    // Opened and reset in one breath: whoever gets it hears of the cut, not of an empty body.
    let breath = [
        frame(HEADERS, END_HEADERS, 101, &head("/sum", 5)),
        frame(RST_STREAM, 0, 101, &8u32.to_be_bytes()),
    ];
    raw.write(&breath.concat());
    eventually("it hears of it too", || edge.seen.cut_by_reset.load(SeqCst) == 10);
    raw.upload(201, &pattern(2, 3 << 20), 16 << 10);
    assert_eq!(edge.seen.parked_bytes.load(SeqCst), 0);
    drop(raw);
    edge.until_empty();
    assert!(edge.seen.errors.lock().unwrap().is_empty());
}
