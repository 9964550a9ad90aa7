//! The SHA-256 goes along with the bytes, and what it missed is read back.

use sluice_proto::{checksum::Sha256State, ids::UploadId};

use super::rig::{Rig, Send, config, send, spec};
use crate::{
    Effect, Event,
    effect::HashTurn,
    event::Failure,
    keys::StreamKey,
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

/// A chunk full of its number.
fn numbered(number: u32, is_last: bool) -> Send {
    let chunk = send(number, &[number as u8; 20]);
    if is_last { chunk.last() } else { chunk }
}

/// Sends a chunk of its number, and has it written; whether it is acked.
fn sends(rig: &mut Rig, upload: UploadId, number: u32, is_last: bool) -> bool {
    let chunk = numbered(number, is_last);
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
fn what_came_long_ahead_is_read_back_once() {
    let mut rig = Rig::new(config());
    let upload = rig.upload(hashed());
    let mut read_back = 0;
    for number in [1, 2, 0] {
        sends(&mut rig, upload, number, number == 2);
        // Longer than they wait in memory.
        rig.pass_ms(2_001);
        read_back += settle(&mut rig);
    }
    assert!(read_back > 0);
    assert_completed(&mut rig, upload, &[0, 1, 2]);
}

/// However the attempt ends that the hash went along with, the next one is hashed right.
#[test]
fn an_attempt_that_comes_to_nothing_gives_the_hash_back() {
    type End = fn(&mut Rig, StreamKey);
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

/// Opens chunks of their numbers, in this order.
fn open_all(rig: &mut Rig, upload: UploadId, numbers: &[u32], last: u32) -> Vec<(StreamKey, Send)> {
    let chunk = |&number| numbered(number, number == last);
    numbers.iter().map(chunk).map(|chunk| (rig.open(upload, &chunk), chunk)).collect()
}

#[test]
fn of_many_on_their_way_nothing_is_read_back_whatever_their_order() {
    for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0]] {
        let mut rig = Rig::new(config());
        let upload = rig.upload(UploadSpec { expected_size_bytes: Some(60), ..hashed() });
        let all = open_all(&mut rig, upload, &order, 2);
        for (stream, chunk) in all.iter().rev() {
            rig.body(*stream, chunk);
            assert_eq!(settle(&mut rig), 0, "{order:?}");
        }
        assert_completed(&mut rig, upload, &[0, 1, 2]);
    }
}

#[test]
fn a_body_waits_for_its_turn_only_where_all_before_is_there() {
    let mut rig = Rig::new(config());
    rig.holds_hashes = true;
    let upload = rig.upload(hashed());
    let all = open_all(&mut rig, upload, &[0, 1, 2], 3);
    let turns: Vec<_> = rig.line.values().map(|lent| lent.turn).collect();
    assert_eq!(turns, [HashTurn::Sure, HashTurn::Maybe, HashTurn::Maybe]);
    rig.body(all[2].0, &all[2].1);
    rig.settle();
    assert_eq!(rig.ahead, 1, "the one before may never come");
    for (stream, chunk) in &all[..2] {
        rig.body(*stream, chunk);
        rig.settle();
    }
    assert_eq!(rig.ahead, 1);
    let (next, chunk) = open_all(&mut rig, upload, &[3], 3).remove(0);
    assert_eq!(rig.line.values().last().map(|lent| lent.turn), Some(HashTurn::Sure));
    rig.body(next, &chunk);
    rig.settle();
    rig.tell_hashes();
    assert_eq!(settle(&mut rig), 0);
    assert_completed(&mut rig, upload, &[0, 1, 2, 3]);
}

#[test]
fn a_body_that_left_is_read_back_and_those_behind_it_are_not() {
    let mut rig = Rig::new(config());
    let upload = rig.upload(hashed());
    let all = open_all(&mut rig, upload, &[0, 1, 2], 2);
    let second = *rig.line.keys().nth(1).unwrap();
    rig.leaves(second);
    let mut read_back = 0;
    for (stream, chunk) in all.into_iter().rev() {
        rig.body(stream, &chunk);
        read_back += settle(&mut rig);
    }
    assert_eq!(read_back, 1);
    assert_completed(&mut rig, upload, &[0, 1, 2]);
}

#[test]
fn a_body_doesnt_wait_for_ever_for_one_that_may_not_come() {
    let mut rig = Rig::new(config());
    let upload = rig.upload(hashed());
    let ahead = send(1, &[1; 20]).last();
    let stream = rig.open(upload, &ahead);
    rig.body(stream, &ahead);
    rig.settle();
    assert_eq!(rig.line.len(), 1);
    rig.pass_ms(2_001);
    assert!(rig.line.is_empty());
    assert!(sends(&mut rig, upload, 0, false));
    assert_eq!(settle(&mut rig), 1);
    assert_completed(&mut rig, upload, &[0, 1]);
}

#[test]
fn those_behind_a_body_that_comes_to_nothing_leave() {
    let mut rig = Rig::new(config());
    let upload = rig.upload(hashed());
    let all = open_all(&mut rig, upload, &[0, 1, 2], 2);
    rig.event(Event::ChunkCut { stream: all[1].0 });
    rig.settle();
    assert_eq!(rig.line.len(), 1, "they would hold their windows for one that may not come");
    for (stream, chunk) in [&all[0], &all[2]] {
        rig.body(*stream, chunk);
    }
    rig.settle();
    assert!(sends(&mut rig, upload, 1, false));
    settle(&mut rig);
    assert_completed(&mut rig, upload, &[0, 1, 2]);
}

#[test]
fn what_replaces_a_body_in_line_is_hashed_in_its_stead() {
    let mut rig = Rig::new(config());
    let upload = rig.upload(hashed());
    assert!(sends(&mut rig, upload, 1, false));
    assert_eq!(rig.line.len(), 1);
    rig.chunk(upload, &send(1, &[7; 20]).force()).unwrap();
    assert!(rig.line.is_empty());
    rig.chunk(upload, &send(2, &[2; 20]).last()).unwrap();
    assert!(sends(&mut rig, upload, 0, false));
    settle(&mut rig);
    assert_completed(&mut rig, upload, &[0, 7, 2]);
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
