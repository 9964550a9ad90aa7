//! What a peer holds by calls, by silence or by not reading is bounded, and the others go on.

mod edge_support;

use std::sync::atomic::Ordering::SeqCst;

use edge_support::{Edge, config, eventually, pattern, raw::*};
use sluice_io::edge::connection::CALLS_FLOOR;
use sluice_proto::checksum::Crc32c;

#[test]
fn calls_beyond_the_limit_are_refused_but_every_connection_has_its_floor() {
    let mut few = config();
    few.calls_max = CALLS_FLOOR + 2;
    let edge = Edge::start(few);
    let mut greedy = Raw::connect(edge.address);
    let bytes = pattern(1, 1_000);
    let streams: Vec<u32> = (0..20).map(|n| 1 + 2 * n).collect();
    for &stream in &streams {
        greedy.open(stream, "/hold", bytes.len());
    }
    let (served, refused) = streams.split_at(CALLS_FLOOR + 2);
    for &stream in refused {
        let reset = greedy.until("reset", |f| f.stream == stream && f.kind == RST_STREAM);
        assert_eq!(reset.code(), REFUSED_STREAM);
    }
    // All are taken, and yet others get in.
    let mut other = Raw::connect(edge.address);
    for stream in (1..).step_by(2).take(CALLS_FLOOR) {
        other.open(stream, "/hold", bytes.len());
    }
    eventually("the floor is served", || {
        edge.seen.serving.load(SeqCst) as usize == served.len() + CALLS_FLOOR
    });
    edge.seen.go.store(true, SeqCst);
    for &stream in served {
        greedy.send_all(stream, &bytes, 100);
        assert_eq!(greedy.answer(stream), Crc32c::of(&bytes));
    }
    greedy.upload(101, &bytes, 100);
    drop((greedy, other));
    edge.until_empty();
}

#[test]
fn a_peer_that_answers_no_ping_is_gone() {
    let mut quick = config();
    quick.keepalive_ms = 100;
    let edge = Edge::start(quick);
    let mut alive = Raw::connect(edge.address);
    let mute = Raw::connect(edge.address);
    eventually("both are here", || edge.seen.connections.load(SeqCst) == 2);
    let mut why = Vec::new();
    eventually("one is told to be gone", || {
        // Reads on, and so answers pings.
        alive.look();
        why = edge.seen.errors.lock().unwrap().clone();
        !why.is_empty()
    });
    assert_eq!(why, ["the client doesn't answer"]);
    assert_eq!(edge.seen.connections.load(SeqCst), 1);
    alive.upload(1, &pattern(1, 10_000), 1_000);
    drop((alive, mute));
    edge.until_empty();
}

#[test]
fn an_answer_that_nobody_takes_is_given_up() {
    let mut quick = config();
    quick.reply_ms_max = 100;
    let edge = Edge::start(quick);
    let mut raw = Raw::silent(edge.address);
    // No stream's window is ever open.
    raw.write(&[PREFACE, &frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0])].concat());
    raw.open(1, "/sum", 3);
    raw.send_all(1, b"abc", 3);
    raw.until("head", |f| f.stream == 1 && f.kind == HEADERS);
    raw.until("reset", |f| f.stream == 1 && f.kind == RST_STREAM);
    assert_eq!(edge.seen.serving.load(SeqCst), 0);
    drop(raw);
    edge.until_empty();
}

#[test]
fn who_reads_nothing_is_not_read_from_either() {
    let edge = Edge::start(config());
    let mut raw = Raw::connect(edge.address);
    let ping = frame(PING, 0, 0, &[0; 8]);
    // Payload, so that the pings are no flood.
    let mut turn = frame(HEADERS, END_HEADERS, 1, &head("/sum", 1 << 30));
    let answers_others = || Raw::connect(edge.address).upload(1, b"beside", 16 << 10);
    let mut sent = 0_u64;
    while raw.offer(&turn, answers_others) == turn.len() {
        sent += turn.len() as u64;
        turn = [ping.repeat(8), frame(DATA, 0, 1, &[0; 1_000])].concat();
        assert!(sent < 256 << 20, "it reads on without end");
    }
    drop(raw);
    edge.until_empty();
}
