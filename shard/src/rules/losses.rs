//! What Redis lost is asked for again, and ends nothing.

use sluice_proto::{error::Reason, ids::UploadId};

use super::rig::{Rig, WAIT_MS, config, send, spec};
use crate::{
    Effect, Event, ShardConfig,
    config::Spool,
    effect::{CallReply, StreamReply},
    event::Failure,
    keys::{CallId, StreamKey},
    record::{ChunkPlace, State, UploadSpec},
};

fn redis() -> ShardConfig {
    // Lost chunks don't count any more.
    let chunk_records_max = 3;
    ShardConfig { spool: Spool::Redis, spool_bytes_max: 1_000, chunk_records_max, ..config() }
}

fn promised() -> UploadSpec {
    UploadSpec { chunk_size_bytes: Some(20), ..spec() }
}

fn is_place(effect: &Effect) -> bool {
    matches!(effect, Effect::Place { .. })
}

fn is_place_at(effect: &Effect, at: u64) -> bool {
    matches!(effect, Effect::Place { offset, .. } if *offset == at)
}

fn is_record(effect: &Effect) -> bool {
    matches!(effect, Effect::Record { .. })
}

/// Sends a chunk whose copy to its place is held.
fn queued(rig: &mut Rig, upload: UploadId, number: u32, data: &[u8]) {
    let chunk = send(number, data);
    let stream = rig.open(upload, &chunk);
    rig.body(stream, &chunk);
    rig.settle_but(is_place);
    assert!(rig.answer(stream).unwrap().is_ok());
}

/// Two chunks, N among them, of which Redis has lost the first.
fn lost(spec: UploadSpec) -> (Rig, UploadId) {
    let mut rig = Rig::new(redis());
    let upload = rig.upload(spec);
    queued(&mut rig, upload, 0, &[1; 20]);
    queued(&mut rig, upload, 1, &[2; 20]);
    rig.redis.bodies.remove(&(upload, 0, 0)).unwrap();
    (rig, upload)
}

fn missing(rig: &Rig, call: CallId) -> String {
    let refusal = rig.replies[&call].as_ref().unwrap_err();
    assert_eq!(refusal.reason, Reason::MissingChunks);
    let told = refusal.metadata.iter().find(|(name, _)| *name == "missing_ranges");
    told.unwrap().1.clone()
}

#[test]
fn a_lost_chunk_is_missing_again_and_comes_again() {
    let (mut rig, upload) = lost(promised());
    rig.settle();
    assert_eq!(rig.stored[&upload].chunks.keys().collect::<Vec<_>>(), [&1]);
    let view = rig.view(upload).unwrap();
    assert_eq!((view.received_bytes, view.received_count, view.stored_bytes), (20, 1, 20));
    let stats = rig.shard.stats();
    assert_eq!((stats.queue_chunks, stats.spool_used_bytes), (0, 0));
    let ack = rig.chunk(upload, &send(0, &[3; 20])).unwrap();
    assert_eq!((ack.duplicate, ack.received_bytes, ack.received_count), (false, 40, 2));
    assert_eq!(rig.stored[&upload].chunks[&0].attempt, 1, "the lost attempt may still be written");
    rig.complete(upload, Some(2)).unwrap();
    assert_eq!(rig.object(upload), [[3; 20], [2; 20]].concat());
}

/// It may come again with another length: what lies behind it at its place is asked for again,
/// what is in Redis isn't.
#[test]
fn without_a_promise_what_is_placed_behind_a_lost_chunk_is_lost_with_it() {
    let (mut rig, upload) = lost(spec());
    queued(&mut rig, upload, 2, &[3; 20]);
    let second = rig.pick(|effect| is_place_at(effect, 20));
    rig.finish(second);
    rig.settle_but(is_place);
    let third = rig.pick(|effect| is_place_at(effect, 40));
    let first = rig.pick(|effect| is_place_at(effect, 0));
    rig.finish(first);
    // It was on its way to a place that isn't its own any more.
    rig.finish(third);
    rig.settle();
    let left = &rig.stored[&upload].chunks;
    assert_eq!((left.len(), left[&2].place), (1, ChunkPlace::Redis));
    assert_eq!(rig.redis.keys(), [(2, 0)]);
    rig.chunk(upload, &send(0, &[4; 25])).unwrap();
    rig.chunk(upload, &send(1, &[5; 10])).unwrap();
    rig.complete(upload, Some(3)).unwrap();
    assert_eq!(rig.object(upload), [[4; 25].as_slice(), &[5; 10], &[3; 20]].concat());
}

/// A restart would trust what is at its place behind the lost chunk.
#[test]
fn nothing_is_overwritten_before_a_loss_is_durable() {
    let (mut rig, upload) = lost(spec());
    let second = rig.pick(|effect| is_place_at(effect, 20));
    rig.finish(second);
    rig.settle_but(is_place);
    let first = rig.pick(|effect| is_place_at(effect, 0));
    rig.finish(first);
    let longer = send(0, &[4; 30]);
    let stream = rig.open(upload, &longer);
    rig.body(stream, &longer);
    rig.settle_but(is_record);
    assert_eq!(rig.stored[&upload].chunks[&1].place, ChunkPlace::Object);
    assert_eq!(rig.partials[&upload][20..], [2; 20]);
    rig.settle();
    assert_eq!(rig.partials[&upload][..30], [4; 30]);
}

#[test]
fn completing_is_not_recorded_while_a_chunk_is_only_in_redis() {
    let (mut rig, upload) = lost(promised());
    let call = rig.ask_complete(upload, Some(2));
    rig.settle_but(is_place);
    assert_eq!(rig.stored[&upload].record.total_chunks, Some(2));
    assert_eq!(rig.stored[&upload].record.state, State::Uploading);
    assert!(!rig.replies.contains_key(&call), "it waits for the end");
    rig.settle();
    assert_eq!(missing(&rig, call), "0-0");
    // The next one completes.
    rig.chunk(upload, &send(0, &[1; 20])).unwrap();
    assert_eq!(rig.state(upload), State::Completed);
}

/// The loss is known before N is durable.
#[test]
fn who_asked_to_complete_before_a_loss_is_told_what_is_missing() {
    let (mut rig, upload) = lost(promised());
    let call = rig.ask_complete(upload, Some(2));
    let first = rig.pick(|effect| is_place_at(effect, 0));
    rig.finish(first);
    rig.settle();
    assert_eq!(missing(&rig, call), "0-0");
}

#[test]
fn who_waits_for_the_end_while_redis_is_away_is_answered_in_time() {
    let (mut rig, upload) = lost(promised());
    let call = rig.ask_complete(upload, Some(2));
    rig.settle_but(is_place);
    let first = rig.pick(|effect| is_place_at(effect, 0));
    rig.fail(&first, Failure::Unavailable);
    rig.pass_ms(WAIT_MS);
    match rig.replies[&call].as_ref().unwrap() {
        CallReply::Completed(view) => assert_eq!(view.record.state, State::Uploading),
        other => panic!("{other:?}"),
    }
}

fn ending(rig: &mut Rig, upload: UploadId, number: u32) -> StreamKey {
    let chunk = send(number, &[7; 20]);
    let stream = rig.open(upload, &super::rig::Send { end_wait: true, ..chunk.clone() });
    rig.body(stream, &chunk);
    stream
}

/// The ack that waits for the end is told without it, or asks for its chunk again.
#[test]
fn an_ack_that_waits_for_the_end_says_what_is_left_of_it() {
    for last_is_lost in [false, true] {
        let mut rig = Rig::new(redis());
        let upload = rig.upload(UploadSpec { expected_size_bytes: Some(40), ..promised() });
        queued(&mut rig, upload, 0, &[1; 20]);
        let stream = ending(&mut rig, upload, 1);
        rig.settle_but(is_place);
        assert_eq!(rig.answer(stream), None);
        let number = u32::from(last_is_lost);
        rig.redis.bodies.remove(&(upload, number, 0)).unwrap();
        rig.settle();
        match rig.answer(stream).unwrap() {
            Ok(ack) => assert_eq!((ack.state, last_is_lost), (State::Uploading, false)),
            Err(reason) => assert_eq!((reason, last_is_lost), (Reason::BackendDown, true)),
        }
        rig.chunk(upload, &send(number, &[1; 20])).unwrap();
        assert_eq!(rig.state(upload), State::Completed);
    }
}

/// The copy may be quicker than the record.
#[test]
fn a_chunk_that_is_lost_before_it_is_acked_is_not_acked() {
    let mut rig = Rig::new(redis());
    let upload = rig.upload(promised());
    let chunk = send(0, &[1; 20]);
    let stream = rig.open(upload, &chunk);
    rig.body(stream, &chunk);
    let close = rig.pick(|effect| matches!(effect, Effect::CloseBody { .. }));
    rig.finish(close);
    rig.redis.bodies.clear();
    let copy = rig.pick(is_place);
    rig.finish(copy);
    assert_eq!(rig.answer(stream), None);
    rig.settle();
    assert_eq!(rig.answer(stream), Some(Err(Reason::BackendDown)));
    assert!(!rig.chunk(upload, &chunk).unwrap().duplicate);
}

#[test]
fn a_repeat_of_a_chunk_that_is_lost_meanwhile_is_asked_for_again() {
    let (mut rig, upload) = lost(promised());
    let repeat = send(0, &[1; 20]);
    let stream = rig.open(upload, &repeat);
    rig.settle();
    rig.body(stream, &repeat);
    rig.settle();
    assert_eq!(rig.answer(stream), Some(Err(Reason::BackendDown)));
}

/// A client that was told that a chunk is in asks no more for it: else it might send for ever what
/// finds no room behind it.
#[test]
fn whoever_finds_no_room_is_told_which_chunk_is_missing() {
    let mut rig = Rig::new(ShardConfig { spool_bytes_max: 220, ..redis() });
    let upload = rig.upload(spec());
    for number in 0..3 {
        queued(&mut rig, upload, number, &[1; 40]);
    }
    rig.redis.bodies.remove(&(upload, 0, 0)).unwrap();
    let first = rig.pick(|effect| is_place_at(effect, 0));
    rig.finish(first);
    rig.settle();
    let behind = rig.open(upload, &send(3, &[1; 41]));
    match rig.told[&behind].last() {
        Some(StreamReply::Refused(refusal)) => {
            assert_eq!(refusal.reason, Reason::SpoolFull);
            assert_eq!(refusal.metadata, [("missing_chunk", "0".to_owned())]);
        }
        other => panic!("{other:?}"),
    }
    rig.chunk(upload, &send(0, &[2; 40])).unwrap();
    rig.complete(upload, None).unwrap();
}

#[test]
fn what_lost_a_chunk_may_expire_again() {
    let (mut rig, upload) = lost(UploadSpec { expected_size_bytes: Some(40), ..promised() });
    rig.pass_ms(config().upload_lifetime_ms);
    rig.settle_but(is_place);
    assert_eq!(rig.state(upload), State::Uploading, "all its chunks are in");
    let first = rig.pick(|effect| is_place_at(effect, 0));
    rig.finish(first);
    rig.pass_ms(1);
    rig.settle();
    assert_eq!(rig.state(upload), State::Expired);
    assert_eq!((rig.redis.keys(), rig.shard.stats().spool_used_bytes), (vec![], 0));
}

#[test]
fn what_was_lost_and_is_not_wanted_any_more_is_no_loss() {
    let (mut rig, upload) = lost(promised());
    let first = rig.pick(|effect| is_place_at(effect, 0));
    rig.chunk(upload, &send(0, &[3; 20]).force()).unwrap();
    rig.finish(first);
    rig.settle();
    rig.complete(upload, Some(2)).unwrap();
    assert_eq!(rig.object(upload), [[3; 20], [2; 20]].concat());

    let (mut rig, upload) = lost(promised());
    let first = rig.pick(|effect| is_place_at(effect, 0));
    rig.event(Event::Abort { call: CallId(0), tenant: "t".to_owned(), upload_id: upload });
    rig.settle_but(is_place);
    rig.finish(first);
    rig.settle();
    assert_eq!(rig.state(upload), State::Aborted);
    assert_eq!(rig.redis.keys(), []);
}
