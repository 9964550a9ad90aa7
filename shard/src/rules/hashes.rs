//! The SHA-256 goes along with the bytes, and what it missed is read back.

use sluice_proto::{checksum::Sha256State, ids::UploadId};

use super::rig::{Rig, config, send, spec};
use crate::{
    Effect, Event,
    event::Failure,
    record::{State, UploadSpec},
};

fn hashed() -> UploadSpec {
    UploadSpec { hash: true, chunk_size_bytes: Some(20), ..spec() }
}

fn reads_back(effect: &Effect) -> bool {
    matches!(effect, Effect::Hash { .. })
}

fn closes(effect: &Effect) -> bool {
    matches!(effect, Effect::CloseBody { .. })
}

/// Sends a chunk of its number, and has it written; whether it is acked.
fn sends(rig: &mut Rig, upload: UploadId, number: u32, is_last: bool) -> bool {
    let chunk = send(number, &[number as u8; 20]);
    let chunk = if is_last { chunk.last() } else { chunk };
    let stream = rig.open(upload, &chunk);
    rig.body(stream, &chunk);
    rig.settle_but(reads_back);
    rig.answer(stream).is_some_and(|answer| answer.is_ok())
}

fn assert_completed(rig: &mut Rig, upload: UploadId, fills: &[u8]) {
    assert_eq!(rig.state(upload), State::Completed);
    let whole: Vec<u8> = fills.iter().flat_map(|&fill| [fill; 20]).collect();
    let sha256 = rig.view(upload).unwrap().record.object.unwrap().sha256;
    assert_eq!(sha256, Some(Sha256State::of(&whole)));
}

/// Does whatever is asked for; how often bytes were read back for the hash.
fn settle(rig: &mut Rig) -> usize {
    let mut read_back = 0;
    while let Some(effect) = rig.held.pop_front() {
        read_back += usize::from(reads_back(&effect));
        rig.finish(effect);
    }
    read_back
}

#[test]
fn in_order_nothing_is_read_back() {
    let mut rig = Rig::new(config());
    let upload = rig.upload(hashed());
    for number in 0..3 {
        assert!(sends(&mut rig, upload, number, number == 2));
        assert_eq!(settle(&mut rig), 0);
    }
    assert_completed(&mut rig, upload, &[0, 1, 2]);
}

#[test]
fn what_came_ahead_is_read_back_once() {
    let mut rig = Rig::new(config());
    let upload = rig.upload(hashed());
    let mut read_back = 0;
    for number in [1, 2, 0] {
        sends(&mut rig, upload, number, number == 2);
        read_back += settle(&mut rig);
    }
    assert!(read_back > 0);
    assert_completed(&mut rig, upload, &[0, 1, 2]);
}

/// However the attempt ends that the hash went along with, the next one is hashed right.
#[test]
fn an_attempt_that_comes_to_nothing_gives_the_hash_back() {
    type End = fn(&mut Rig, crate::keys::StreamKey);
    let cut: End = |rig, stream| rig.event(Event::ChunkCut { stream });
    let fails: End = |rig, stream| {
        rig.body(stream, &send(0, &[9; 20]));
        let close = rig.pick(closes);
        rig.fail(&close, Failure::Unavailable);
    };
    let wrong: End = |rig, stream| {
        let mut bad = send(0, &[9; 20]);
        bad.checks.crc32c = Some(7);
        rig.body(stream, &bad);
    };
    for end in [cut, fails, wrong] {
        let mut rig = Rig::new(config());
        let upload = rig.upload(hashed());
        let lost = rig.open(upload, &send(0, &[9; 20]));
        end(&mut rig, lost);
        rig.settle();
        rig.chunk(upload, &send(0, &[1; 20]).last()).unwrap();
        assert_completed(&mut rig, upload, &[1]);
    }
}

#[test]
fn an_attempt_that_lost_to_another_leaves_the_hash_alone() {
    let mut rig = Rig::new(config());
    let upload = rig.upload(hashed());
    let chunk = send(0, &[1; 20]);
    let slow = rig.open(upload, &chunk);
    let quick = rig.open(upload, &chunk);
    rig.body(quick, &chunk);
    rig.settle();
    rig.body(slow, &chunk);
    rig.settle();
    rig.chunk(upload, &send(1, &[2; 20]).last()).unwrap();
    assert_completed(&mut rig, upload, &[1, 2]);
}

#[test]
fn acks_wait_for_no_hash_but_the_end_does() {
    let mut rig = Rig::new(config());
    rig.holds_hashes = true;
    let upload = rig.upload(hashed());
    assert!(sends(&mut rig, upload, 0, false));
    assert!(sends(&mut rig, upload, 1, true));
    assert_eq!(rig.state(upload), State::Completing);
    rig.tell_hashes();
    assert_eq!(settle(&mut rig), 0);
    assert_completed(&mut rig, upload, &[0, 1]);
}

#[test]
fn what_comes_while_two_bodies_are_to_be_hashed_is_read_back() {
    let mut rig = Rig::new(config());
    rig.holds_hashes = true;
    let upload = rig.upload(hashed());
    for number in 0..3 {
        assert!(sends(&mut rig, upload, number, number == 2));
    }
    assert!(!rig.held.iter().any(reads_back), "it has to wait for the two");
    rig.tell_hashes();
    assert!(settle(&mut rig) > 0);
    assert_completed(&mut rig, upload, &[0, 1, 2]);
}

#[test]
fn what_is_told_of_a_body_that_came_to_nothing_is_forgotten() {
    let mut rig = Rig::new(config());
    rig.holds_hashes = true;
    let upload = rig.upload(hashed());
    assert!(sends(&mut rig, upload, 0, false));
    let lost = rig.open(upload, &send(1, &[9; 20]));
    rig.event(Event::ChunkCut { stream: lost });
    rig.settle();
    assert!(sends(&mut rig, upload, 1, true));
    rig.tell_hashes();
    settle(&mut rig);
    assert_completed(&mut rig, upload, &[0, 1]);
}

#[test]
fn an_upload_that_is_given_up_meanwhile_is_swept() {
    let mut rig = Rig::new(config());
    let upload = rig.upload(hashed());
    let stream = rig.open(upload, &send(0, &[1; 20]));
    assert_eq!(rig.abort(upload), Ok(()));
    rig.settle();
    assert!(rig.answer(stream).unwrap().is_err());
    assert_eq!(rig.shard.in_flight(), 0);
    assert!(!rig.shard.record(&upload).unwrap().cleanup_pending);
}
