//! With `objects = discard`: what is summed, and what is held.

use sluice_proto::error::Reason;

use super::rig::{Rig, Send, config, send, spec};
use crate::{
    Effect, Event, ShardConfig,
    config::{Objects, Spool},
    event::Failure,
};

fn discard() -> ShardConfig {
    ShardConfig { objects: Objects::Discard, spool: Spool::Memory, ..config() }
}

fn without_sums() -> ShardConfig {
    ShardConfig { crc: false, ..discard() }
}

fn whole() -> ShardConfig {
    ShardConfig { discards_whole: true, ..discard() }
}

#[test]
fn without_sums_repeats_are_judged_by_their_length_and_the_object_has_none() {
    let mut rig = Rig::new(without_sums());
    let upload = rig.upload(spec());
    let mut wrong = send(0, &[1; 20]).summed();
    wrong.checks.crc32c = Some(1);
    wrong.checks.crc64nvme = Some(1);
    assert!(!rig.chunk(upload, &wrong).unwrap().duplicate);
    assert!(rig.chunk(upload, &send(0, &[9; 20]).summed()).unwrap().duplicate);
    assert_eq!(rig.chunk(upload, &send(0, &[1; 21])), Err(Reason::ChunkConflict));
    rig.chunk(upload, &send(1, &[1; 20]).last()).unwrap();
    let object = rig.complete(upload, None).unwrap().record.object.unwrap();
    assert_eq!((object.size_bytes, object.crc64nvme, object.sha256), (40, None, None));
}

#[test]
fn one_object_has_the_same_sum_however_its_chunks_come() {
    let data: Vec<u8> = (0..90).collect();
    for order in [[0, 1, 2], [2, 0, 1]] {
        let mut rig = Rig::new(discard());
        let upload = rig.upload(spec());
        for number in order {
            let at = number as usize * 30;
            rig.chunk(upload, &send(number, &data[at..at + 30])).unwrap();
        }
        let object = rig.complete(upload, Some(3)).unwrap().record.object.unwrap();
        assert_eq!(object.crc64nvme, Some(sluice_proto::checksum::Crc64Nvme::of(&data)));
    }
}

/// What holds a whole chunk is charged for all of it, until the chunk's end whatever that is.
fn assert_held(rig: &Rig, bytes: u64) {
    assert_eq!(rig.shard.stats().budget_used_bytes, bytes);
    assert_eq!(rig.held_in_memory(), if bytes > 0 { 1 } else { 0 });
}

/// A chunk of 80 bytes, open.
fn begun() -> (Rig, sluice_proto::ids::UploadId, Send, crate::keys::StreamKey) {
    let mut rig = Rig::new(whole());
    let upload = rig.upload(spec());
    let chunk = send(0, &[1; 80]).summed();
    let stream = rig.open(upload, &chunk);
    assert_held(&rig, 80);
    (rig, upload, chunk, stream)
}

#[test]
fn a_chunk_held_whole_is_paid_for_until_it_is_in() {
    let (mut rig, _, chunk, stream) = begun();
    rig.body(stream, &chunk);
    assert_held(&rig, 80);
    rig.settle();
    assert!(rig.answer(stream).unwrap().is_ok());
    assert_held(&rig, 0);
    assert_eq!(rig.freed, 1);
}

#[test]
fn a_chunk_held_whole_is_given_back_when_it_is_refused_or_cut() {
    let (mut rig, _, mut chunk, stream) = begun();
    chunk.checks.crc32c = Some(1);
    rig.body(stream, &chunk);
    assert_held(&rig, 80);
    rig.settle();
    assert_eq!(rig.answer(stream), Some(Err(Reason::ChecksumMismatch)));
    assert_held(&rig, 0);
    // A body that is dropped frees itself.
    assert_eq!(rig.freed, 0);

    let (mut rig, _, _, stream) = begun();
    rig.event(Event::ChunkCut { stream });
    rig.settle();
    assert_held(&rig, 0);
    assert_eq!(rig.freed, 0);

    let (mut rig, upload, chunk, stream) = begun();
    rig.body(stream, &chunk);
    rig.event(Event::ChunkCut { stream });
    assert_held(&rig, 80);
    rig.settle();
    assert_held(&rig, 0);
    assert_eq!((rig.freed, rig.view(upload).unwrap().received_count), (1, 1));

    let (mut rig, _, chunk, stream) = begun();
    rig.body(stream, &chunk);
    let close = rig.pick(|effect| matches!(effect, Effect::CloseBody { .. }));
    rig.fail(&close, Failure::Full);
    assert_eq!(rig.answer(stream), Some(Err(Reason::SpoolFull)));
    assert_eq!((rig.shard.stats().budget_used_bytes, rig.freed), (0, 0));
}

#[test]
fn a_chunk_held_whole_is_given_back_when_its_upload_ends_first() {
    for is_closing in [false, true] {
        let (mut rig, upload, chunk, stream) = begun();
        if is_closing {
            rig.body(stream, &chunk);
            let close = rig.pick(|effect| matches!(effect, Effect::CloseBody { .. }));
            rig.abort(upload).unwrap();
            rig.finish(close);
            rig.settle();
        } else {
            rig.abort(upload).unwrap();
        }
        assert_eq!(rig.answer(stream), Some(Err(Reason::UploadEnded)));
        assert_held(&rig, 0);
        assert_eq!(rig.freed, usize::from(is_closing));
    }
}

#[test]
fn rivals_held_whole_are_each_given_back_once() {
    let (mut rig, upload, chunk, stream) = begun();
    let rival = rig.open(upload, &chunk);
    let other = send(0, &[2; 80]);
    let loser = rig.open(upload, &other);
    assert_eq!(rig.shard.stats().budget_used_bytes, 240);
    for (stream, chunk) in [(stream, &chunk), (rival, &chunk), (loser, &other)] {
        rig.body(stream, chunk);
    }
    rig.settle();
    assert!(!rig.answer(stream).unwrap().unwrap().duplicate);
    assert!(rig.answer(rival).unwrap().unwrap().duplicate);
    assert_eq!(rig.answer(loser), Some(Err(Reason::ChunkConflict)));
    assert_held(&rig, 0);
    assert_eq!(rig.freed, 3);
    // What is in already is only summed.
    let repeat = rig.open(upload, &send(0, &[1; 80]));
    assert_eq!(rig.shard.stats().budget_used_bytes, config().hold_bytes);
    assert_eq!(rig.held_in_memory(), 0);
    rig.body(repeat, &chunk);
    rig.settle();
    assert!(rig.answer(repeat).unwrap().unwrap().duplicate);
    assert_eq!((rig.freed, rig.shard.stats().budget_used_bytes), (3, 0));
}
