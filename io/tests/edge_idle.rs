//! Who does nothing holds next to nothing, and nobody holds more than there is.

mod edge_support;

use std::{io::Read, sync::atomic::Ordering::SeqCst};

use edge_support::{Edge, FLOOR_BYTES, config, eventually, pattern, raw::*};
use sluice_proto::checksum::Crc32c;

const MIB: u64 = 1 << 20;

#[test]
fn an_idle_connection_falls_back_to_the_floor_and_spare_memory_goes_back() {
    let edge = Edge::start(config());
    let mut raw = Raw::connect(edge.address);
    let kept_bytes = 4 * MIB;
    let bytes = pattern(1, 24 << 20);
    raw.open(1, "/hold", bytes.len());
    let mut sent = 0;
    // Until the stream's ceiling of 16 MiB is held.
    eventually("its window is used up", || {
        raw.look();
        while raw.room(1) > 0 {
            let some = raw.room(1).min(1 << 20).min(bytes.len() - sent);
            raw.data(1, &bytes[sent..sent + some], false);
            sent += some;
        }
        edge.seen.held_bytes.load(SeqCst) >= 16 * MIB - FLOOR_BYTES
    });
    assert!(edge.seen.window_bytes.load(SeqCst) > 15 * MIB);
    eventually("the pool grew", || edge.seen.pool_bytes.load(SeqCst) > kept_bytes);
    edge.seen.go.store(true, SeqCst);
    raw.send_all(1, &bytes[sent..], 1 << 20);
    eventually("nobody is served", || edge.seen.serving.load(SeqCst) == 0);
    eventually("only the floor is left", || edge.seen.window_bytes.load(SeqCst) == FLOOR_BYTES);
    eventually("spare memory is gone", || edge.seen.pool_bytes.load(SeqCst) == kept_bytes);
    raw.look();
    assert!(raw.window <= FLOOR_BYTES as i64, "the client may still send {}", raw.window);
    // And it is as good as new.
    edge.seen.go.store(false, SeqCst);
    raw.upload(3, &pattern(2, 5 << 20), 16 << 10);
    drop(raw);
    edge.until_empty();
}

/// Reads to the end; whatever a refused connection is told, it is not HTTP/2.
fn is_refused(raw: &mut Raw) -> bool {
    let mut got = Vec::new();
    // A reset is as good as an end: what the client said was not read.
    drop(raw.socket.read_to_end(&mut got));
    got.is_empty()
}

#[test]
fn windows_never_sum_to_more_than_the_budget_and_beyond_the_floor_all_are_refused() {
    let mut small = config();
    small.credit.window_budget_bytes = 40 * FLOOR_BYTES;
    small.credit.connection_ceiling_bytes = 16 * FLOOR_BYTES;
    small.credit.stream_ceiling_bytes = 8 * FLOOR_BYTES;
    let edge = Edge::start(small);
    let mut clients: Vec<Raw> = (0..40)
        .map(|n| {
            let raw = Raw::connect(edge.address);
            eventually("accepted", || edge.seen.connections.load(SeqCst) == n + 1);
            raw
        })
        .collect();
    for _ in 0..3 {
        assert!(is_refused(&mut Raw::connect(edge.address)));
    }
    assert_eq!(edge.seen.window_bytes.load(SeqCst), 40 * FLOOR_BYTES);
    // One that leaves makes room for one.
    drop(clients.pop());
    eventually("room", || edge.seen.connections.load(SeqCst) == 39);
    clients.push(Raw::connect(edge.address));
    eventually("accepted", || edge.seen.connections.load(SeqCst) == 40);
    assert!(is_refused(&mut Raw::connect(edge.address)));
    // Fewer connections have room to grow, yet all together not beyond the budget.
    clients.truncate(10);
    eventually("room", || edge.seen.connections.load(SeqCst) == 10);
    let bytes = pattern(3, 3 << 20);
    clients.iter_mut().for_each(|raw| raw.open(1, "/sum", bytes.len()));
    let mut sent = [0; 10];
    let mut sum_max = 0;
    while sent.iter().any(|&sent| sent < bytes.len()) {
        for (raw, sent) in clients.iter_mut().zip(&mut sent) {
            raw.look();
            let some = raw.room(1).min(100_000).min(bytes.len() - *sent);
            if some > 0 {
                raw.data(1, &bytes[*sent..*sent + some], *sent + some == bytes.len());
                *sent += some;
            }
        }
        let sum: i64 = clients.iter().map(|raw| raw.window).sum();
        sum_max = sum_max.max(sum as u64);
        assert!(sum as u64 <= 40 * FLOOR_BYTES, "the clients may send {sum}");
    }
    for raw in &mut clients {
        assert_eq!(raw.answer(1), Crc32c::of(&bytes));
    }
    assert!(sum_max > 10 * FLOOR_BYTES, "no window grew");
    assert!(edge.seen.window_bytes_max.load(SeqCst) <= 40 * FLOOR_BYTES);
    drop(clients);
    edge.until_empty();
}
