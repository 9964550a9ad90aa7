//! However many uploads wait on a connection, and however full its windows are, a call on that
//! connection answers.

mod edge_support;

use std::sync::atomic::Ordering::SeqCst;

use edge_support::{Edge, config, eventually, pattern, raw::*};
use sluice_proto::checksum::Crc32c;

/// Sends until the stream's or the connection's window is shut; how far it got.
fn fill(raw: &mut Raw, stream: u32, bytes: &[u8]) -> usize {
    let mut sent = 0;
    loop {
        raw.look();
        let some = (bytes.len() - sent).min(16 << 10).min(raw.room(stream));
        if some == 0 {
            return sent;
        }
        raw.data(stream, &bytes[sent..sent + some], false);
        sent += some;
    }
}

#[test]
fn a_call_answers_beside_parked_uploads_and_held_ones() {
    let edge = Edge::start(config());
    let mut raw = Raw::connect(edge.address);
    let bytes = pattern(1, 8 << 20);
    // Sixteen is what the reserve of 1 MiB holds.
    let parked: Vec<u32> = (0..16).map(|n| 1 + 2 * n).collect();
    let mut sent = std::collections::HashMap::new();
    for &stream in &parked {
        raw.open(stream, "/park", bytes.len());
        let before = u64::from(stream) / 2;
        eventually("parked", || edge.seen.held_bytes.load(SeqCst) > before);
        sent.insert(stream, fill(&mut raw, stream, &bytes));
    }
    eventually("the reserve is full", || edge.seen.parked_bytes.load(SeqCst) == 16 * 65_535);
    raw.call("/status", 101, &pattern(2, 40_000), 16 << 10);
    // One more that wants to wait is refused, and its bytes don't stay in the way.
    raw.open(103, "/park", bytes.len());
    let refused = raw.until("refusal", |f| f.stream == 103 && f.kind == HEADERS);
    assert_ne!(refused.payload[0], 0x88);
    sent.remove(&103);
    // Held ones take all that a connection may have.
    for stream in [201, 203, 205, 207] {
        raw.open(stream, "/hold", bytes.len());
        let mut got = fill(&mut raw, stream, &bytes);
        eventually("its window is used up", || {
            got += fill(&mut raw, stream, &bytes[got..]);
            edge.seen.held_bytes.load(SeqCst) > 16 && raw.room(stream) == 0 || got == bytes.len()
        });
        sent.insert(stream, got);
    }
    for stream in (301..401).step_by(2) {
        raw.call("/status", stream, &pattern(3, 1_000), 16 << 10);
    }
    edge.seen.go.store(true, SeqCst);
    for &stream in &parked {
        raw.send_all(stream, &bytes[sent[&stream]..], 1 << 20);
        assert_eq!(raw.answer(stream), Crc32c::of(&bytes), "stream {stream}");
    }
    drop(raw);
    edge.until_empty();
}

#[test]
fn streams_that_wait_do_not_pin_the_memory_that_others_are_read_into() {
    let mut small = config();
    // Fewer blocks than streams that will wait.
    (small.pool.blocks_kept, small.pool.blocks_max) = (4, 8);
    let edge = Edge::start(small);
    let mut waiting = Raw::connect(edge.address);
    let mut busy = Raw::connect(edge.address);
    let bytes = pattern(1, 50_000);
    for n in 0..16 {
        let stream = 1 + 2 * n;
        waiting.open(stream, "/park", bytes.len());
        let parked_bytes = (u64::from(n) + 1) * 65_535;
        eventually("parked", || edge.seen.parked_bytes.load(SeqCst) == parked_bytes);
        waiting.send_all(stream, &bytes, 16 << 10);
        // More than a block lies between what two of them have in memory.
        busy.upload(stream, &pattern(2, 3 << 20), 1 << 20);
    }
    assert_eq!(edge.seen.parked_bytes.load(SeqCst), 16 * 65_535);
    edge.seen.go.store(true, SeqCst);
    for stream in (1..33).step_by(2) {
        assert_eq!(waiting.answer(stream), Crc32c::of(&bytes));
    }
    drop((waiting, busy));
    edge.until_empty();
}
