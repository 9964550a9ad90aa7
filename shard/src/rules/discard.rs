//! With `objects = discard`: what is recorded, what a restart asks for again, and what is held.

use sluice_proto::error::Reason;

use super::rig::{Rig, STORE, Send, config, send, spec};
use crate::{
    Effect, Event, ShardConfig,
    config::{Objects, Spool},
    effect::StreamReply,
    event::Failure,
    record::{ChunkPlace, ChunkRecord, State, StoredUpload, Transition, UploadSpec},
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

fn is_record(effect: &Effect) -> bool {
    matches!(effect, Effect::Record { .. })
}

fn is_finish(effect: &Effect) -> bool {
    matches!(effect, Effect::Finish { .. })
}

/// Nobody has the bytes, so nobody claims them; N was said for good.
#[test]
fn a_restart_asks_for_all_chunks_again_and_knows_how_many_there_are() {
    let mut rig = Rig::new(discard());
    let upload = rig.upload(spec());
    rig.chunk(upload, &send(2, &[2; 20]).last()).unwrap();
    rig.chunk(upload, &send(0, &[1; 20])).unwrap();
    assert_eq!(rig.state(upload), State::Uploading);
    assert!(rig.stored[&upload].chunks.is_empty());
    rig.restart(discard());
    let view = rig.view(upload).unwrap();
    assert_eq!((view.record.state, view.record.total_chunks), (State::Pending, Some(3)));
    assert_eq!((view.received_bytes, view.received_count, view.stored_bytes), (0, 0, 0));
    let missing = rig.complete(upload, None).unwrap_err();
    assert_eq!(missing.reason, Reason::MissingChunks);
    let told =
        |key: &str| missing.metadata.iter().find(|(name, _)| *name == key).unwrap().1.clone();
    assert_eq!((told("missing_count"), told("missing_ranges")), ("3".into(), "0-2".into()));
    assert_eq!(rig.chunk(upload, &send(3, &[2; 20])), Err(Reason::LastConflict));
    for number in 0..3 {
        assert!(!rig.chunk(upload, &send(number, &[1; 10]).summed()).unwrap().duplicate);
    }
    let object = rig.complete(upload, Some(3)).unwrap().record.object.unwrap();
    assert_eq!((object.size_bytes, object.crc64nvme.is_some()), (30, true));
}

#[test]
fn what_was_begun_can_be_given_up_after_a_restart() {
    let mut rig = Rig::new(discard());
    let (aborted, expired) = (rig.upload(spec()), rig.upload(spec()));
    for upload in [aborted, expired] {
        rig.chunk(upload, &send(1, &[2; 20]).last()).unwrap();
    }
    rig.restart(discard());
    rig.abort(aborted).unwrap();
    assert_eq!(rig.state(aborted), State::Aborted);
    rig.pass_ms(config().upload_lifetime_ms);
    rig.settle();
    assert_eq!(rig.state(expired), State::Expired);
}

#[test]
fn a_chunk_that_fixes_n_is_acked_once_n_is_durable() {
    let mut rig = Rig::new(discard());
    let upload = rig.upload(spec());
    let (first, last) = (send(0, &[1; 20]), send(1, &[1; 20]).last());
    for chunk in [&last, &first] {
        let stream = rig.open(upload, chunk);
        rig.body(stream, chunk);
        let close = rig.pick(|effect| matches!(effect, Effect::CloseBody { .. }));
        rig.finish(close);
        assert_eq!(rig.answer(stream), None);
        assert_eq!(rig.stored[&upload].record.total_chunks, None);
    }
    let record = rig.pick(is_record);
    rig.finish(record);
    assert_eq!(rig.stored[&upload].record.total_chunks, Some(2));
    assert_eq!(
        rig.told.values().filter(|told| matches!(told.last(), Some(StreamReply::Acked(_)))).count(),
        2
    );
    // That all are in isn't durable yet: a restart would ask for them again.
    assert_eq!(rig.state(upload), State::Uploading);
    let record = rig.pick(is_record);
    rig.finish(record);
    let view = rig.view(upload).unwrap();
    assert_eq!((view.record.state, view.record.object), (State::Completing, None));
}

/// The chunks are gone; what they made isn't.
#[test]
fn a_process_that_dies_in_completing_leaves_its_object_to_the_next() {
    let mut rig = Rig::new(discard());
    let upload = rig.upload(spec());
    rig.chunk(upload, &send(1, &[2; 20]).summed().last()).unwrap();
    let first = send(0, &[1; 15]);
    let stream = rig.open(upload, &first);
    rig.body(stream, &first);
    rig.settle_but(is_finish);
    let made = rig.stored[&upload].record.object.clone().unwrap();
    assert_eq!(made.size_bytes, 35);
    rig.restart(discard());
    let view = rig.view(upload).unwrap();
    assert_eq!((view.record.state, view.record.object), (State::Completing, None));
    assert_eq!((view.received_bytes, view.received_count, view.stored_bytes), (35, 2, 35));
    assert_eq!(rig.chunk(upload, &first), Err(Reason::UploadEnded), "nothing to compare it with");
    let view = rig.complete(upload, Some(2)).unwrap();
    assert_eq!((view.record.state, view.record.object), (State::Completed, Some(made)));
    rig.restart(discard());
    let view = rig.complete(upload, None).unwrap();
    assert_eq!((view.record.state, view.received_count), (State::Completed, 2));
}

/// Also where the next process keeps objects: this one is no file.
#[test]
fn what_was_discarded_stays_so_under_other_settings() {
    let mut rig = Rig::new(discard());
    let upload = rig.upload(spec());
    let only = send(0, &[1; 15]).last();
    let stream = rig.open(upload, &only);
    rig.body(stream, &only);
    rig.settle_but(is_finish);
    rig.restart(config());
    rig.settle_but(|effect| matches!(effect, Effect::Seal { .. }));
    assert_eq!(rig.state(upload), State::Completed);
}

#[test]
fn what_failed_shows_no_object() {
    let mut rig = Rig::new(discard());
    let upload = rig.upload(UploadSpec { expected_size_bytes: Some(50), ..spec() });
    rig.chunk(upload, &send(0, &[1; 20]).last()).unwrap();
    let view = rig.view(upload).unwrap();
    assert_eq!((view.record.state, view.record.object), (State::Failed, None));
    assert_eq!(rig.stored[&upload].record.object, None);
}

#[test]
fn forced_chunks_count_in_their_last_version() {
    let mut rig = Rig::new(discard());
    let upload = rig.upload(spec());
    rig.chunk(upload, &send(1, &[2; 20])).unwrap();
    rig.chunk(upload, &send(1, &[3; 30]).force()).unwrap();
    assert_eq!(rig.chunk(upload, &send(1, &[4; 30])), Err(Reason::ChunkConflict));
    assert!(rig.chunk(upload, &send(1, &[3; 30])).unwrap().duplicate);
    rig.chunk(upload, &send(0, &[1; 20])).unwrap();
    let object = rig.complete(upload, Some(2)).unwrap().record.object.unwrap();
    assert_eq!(object.size_bytes, 50);
}

fn discarded(bytes: u64) -> ChunkRecord {
    let place = ChunkPlace::Discarded;
    ChunkRecord { attempt: 0, bytes, crc64nvme: 1, crc32c: 2, sha256: None, place }
}

/// An older version recorded what it had dropped.
fn recorded_before(stored: &mut StoredUpload, total_chunks: Option<u32>, steps: &[Transition]) {
    for number in 0..2 {
        let chunk = discarded(20);
        stored.apply(&Transition::PutChunk { number, chunk, total_chunks }, 0);
    }
    steps.iter().for_each(|step| stored.apply(step, 0));
}

#[test]
fn chunks_that_an_older_version_recorded_are_asked_for_again() {
    let mut rig = Rig::new(discard());
    let upload = rig.upload(spec());
    recorded_before(rig.stored.get_mut(&upload).unwrap(), Some(3), &[]);
    rig.restart(discard());
    rig.settle();
    assert_eq!(rig.view(upload).unwrap().received_count, 0);
    assert!(rig.stored[&upload].chunks.is_empty());
    for number in 0..3 {
        rig.chunk(upload, &send(number, &[1; 10])).unwrap();
    }
    let object = rig.complete(upload, Some(3)).unwrap().record.object.unwrap();
    assert_eq!(object.size_bytes, 30);
}

#[test]
fn what_an_older_version_left_in_completing_ends_by_its_records() {
    let mut rig = Rig::new(discard());
    let upload = rig.upload(spec());
    let completing = Transition::Completing { object: None };
    recorded_before(rig.stored.get_mut(&upload).unwrap(), Some(2), &[completing]);
    rig.restart(discard());
    let view = rig.complete(upload, None).unwrap();
    assert_eq!(view.record.object.unwrap().size_bytes, 40);
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

#[test]
fn a_store_that_is_read_again_knows_what_was_made() {
    let mut rig = Rig::new(ShardConfig { ended_max: 0, ..discard() });
    let upload = rig.upload(spec());
    rig.chunk(upload, &send(0, &[1; 20]).last()).unwrap();
    rig.settle();
    assert!(rig.shard.record(&upload).is_none(), "it left memory");
    assert_eq!(upload.store(), STORE);
    let view = rig.view(upload).unwrap();
    assert_eq!((view.record.state, view.received_bytes), (State::Completed, 20));
    assert_eq!((view.received_count, view.stored_bytes), (1, 20));
}
