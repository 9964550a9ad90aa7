//! Peers that come slowly or stop in the middle, at every step: each ends within its limit.

use std::time::{Duration, Instant};

use sluice_proto::pb;

use crate::harness::{Options, noise};
use crate::raw::*;
use crate::scene::Scene;
use crate::wire::*;

/// A busy machine may be so much later than the server's clock: what has no limit never ends.
const GRACE: Duration = Duration::from_secs(60);
/// Longer than any limit and its grace.
const PATIENCE: Duration = Duration::from_secs(150);

/// What a peer does, until the server ends it, and within how many seconds that is.
type Slow = (&'static str, u64, fn(&Target));

/// Each within 12 s.
pub const SLOW: [Slow; 5] = [
    ("says nothing", 10, |target| {
        until_closed(&silent(target));
    }),
    ("stops in the preface", 10, |target| {
        let mut raw = silent(target);
        raw.write(&PREFACE[..20]);
        until_closed(&raw);
    }),
    ("stops before its settings", 10, |target| {
        let mut raw = silent(target);
        raw.write(PREFACE);
        until_closed(&raw);
    }),
    ("stops in a header block", 11, |target| {
        let mut raw = patient(target);
        raw.send(HEADERS, 0, 1, &call_head("UploadChunk"));
        until_closed(&raw);
    }),
    ("sends its payload at 1 KB/s", 12, |target| {
        let mut raw = patient(target);
        let data = noise(1, 1 << 20);
        raw.open_with(1, &call_head("UploadChunk"));
        raw.send_part(1, &chunk_head(&target.upload_id, 40, data.len()), 100, false);
        // As much as it may send unasked.
        for piece in data.chunks(1_000).take(60) {
            raw.look();
            if raw.take(|f| f.stream == 1 && f.kind == HEADERS).is_some() {
                return;
            }
            raw.data(1, piece, false);
            std::thread::sleep(Duration::from_secs(1));
        }
        panic!("it was let go on");
    }),
];

/// Each within 65 s.
pub const VERY_SLOW: [Slow; 4] = [
    ("stops in a message's prefix", 31, |target| {
        let mut raw = patient(target);
        raw.open_with(1, &call_head("UploadChunk"));
        raw.data(1, &[0, 0], false);
        assert_eq!(answer(&mut raw, 1), Answer::Refused);
    }),
    ("stops in a control message", 31, |target| {
        let mut raw = patient(target);
        raw.open_with(1, &call_head("GetUploadStatus"));
        raw.data(1, &[0, 0, 0, 0, 9, 10], false);
        assert_eq!(answer(&mut raw, 1), Answer::Refused);
    }),
    ("never opens its window for an answer", 31, |target| {
        let mut raw = silent(target);
        raw.write(&[PREFACE, &frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0])].concat());
        let upload_id = target.upload_id.clone();
        let status = pb::GetUploadStatusRequest { upload_id, ..Default::default() };
        for stream in (1..101).step_by(2) {
            raw.open_with(stream, &call_head("GetUploadStatus"));
            raw.send_all(stream, &framed(&status), 100);
        }
        for stream in (1..101).step_by(2) {
            raw.until("reset", |f| f.stream == stream && f.kind == RST_STREAM);
        }
    }),
    ("is gone without a word", 65, |target| {
        // It reads nothing, so it answers no ping either.
        let raw = patient(target);
        let began = Instant::now();
        let mut seen = [0; 4096];
        while began.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_millis(200));
            match std::io::Read::read(&mut &raw.socket, &mut seen) {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
        }
        panic!("it is still there");
    }),
];

/// Reads and answers nothing: an answer would be what the server waits for.
fn until_closed(raw: &Raw) {
    std::io::Read::read_to_end(&mut &raw.socket, &mut Vec::new()).unwrap();
}

fn silent(target: &Target) -> Raw {
    patiently(Raw::silent(target.address))
}

fn patient(target: &Target) -> Raw {
    patiently(Raw::connect(target.address))
}

fn patiently(raw: Raw) -> Raw {
    raw.socket.set_read_timeout(Some(PATIENCE)).unwrap();
    raw
}

/// Runs `times` of each at once.
pub fn all_at_once(target: &Target, slow: &[Slow], times: usize) {
    std::thread::scope(|scope| {
        for &(what, limit_s, run) in slow {
            for _ in 0..times {
                scope.spawn(move || {
                    let began = Instant::now();
                    run(target);
                    let took = began.elapsed();
                    assert!(took <= Duration::from_secs(limit_s) + GRACE, "{what}: {took:?}");
                });
            }
        }
    });
}

#[test]
fn whoever_stops_in_the_middle_is_ended() {
    let mut scene = Scene::start(Options::default());
    scene.beside(|target| all_at_once(target, &SLOW, 5));
    scene.end();
}

#[test]
#[ignore = "long: make beating"]
fn whoever_waits_for_minutes_is_ended_too() {
    let mut scene = Scene::start(Options::default());
    scene.beside(|target| all_at_once(target, &VERY_SLOW, 5));
    scene.end();
}
