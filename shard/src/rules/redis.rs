//! With `spool = redis`: every chunk is there first, is freed once its place is durable, and is
//! asked for again if Redis loses it.

use sluice_proto::{error::Reason, ids::UploadId};

use super::rig::{Rig, config, send, spec};
use crate::{
    Effect, Event, ShardConfig,
    config::{Objects, Spool},
    effect::StreamReply,
    event::Failure,
    keys::StreamKey,
    record::{ChunkPlace, State, UploadSpec},
};

fn redis() -> ShardConfig {
    ShardConfig { spool: Spool::Redis, spool_bytes_max: 1_000, ..config() }
}

fn discard() -> ShardConfig {
    ShardConfig { objects: Objects::Discard, ..redis() }
}

fn promised() -> UploadSpec {
    UploadSpec { chunk_size_bytes: Some(20), ..spec() }
}

fn is_place(effect: &Effect) -> bool {
    matches!(effect, Effect::Place { .. })
}

fn is_record(effect: &Effect) -> bool {
    matches!(effect, Effect::Record { .. })
}

fn is_close(effect: &Effect) -> bool {
    matches!(effect, Effect::CloseBody { .. })
}

fn is_sweep(effect: &Effect) -> bool {
    matches!(effect, Effect::SweepBodies { .. })
}

/// Sends a chunk whose copy to its place is held.
fn queued(rig: &mut Rig, upload: UploadId, number: u32, data: &[u8]) -> StreamKey {
    let chunk = send(number, data);
    let stream = rig.open(upload, &chunk);
    rig.body(stream, &chunk);
    rig.settle_but(is_place);
    assert!(rig.answer(stream).unwrap().is_ok());
    stream
}

fn spool_used_bytes(rig: &Rig) -> u64 {
    rig.shard.stats().spool_used_bytes
}

#[test]
fn a_chunk_is_in_redis_first_and_freed_once_its_place_is_durable() {
    let mut rig = Rig::new(redis());
    let upload = rig.upload(spec());
    let chunk = send(0, &[1; 80]);
    let stream = rig.open(upload, &chunk);
    let stats = rig.shard.stats();
    assert_eq!((stats.budget_used_bytes, stats.spool_used_bytes), (50, 80));
    rig.body(stream, &chunk);
    rig.settle_but(is_place);
    assert!(rig.answer(stream).unwrap().unwrap().spooled, "it survives this process");
    assert_eq!(rig.stored[&upload].chunks[&0].place, ChunkPlace::Redis);
    assert_eq!((rig.redis.keys(), rig.shard.stats().budget_used_bytes), (vec![(0, 0)], 0));
    let copy = rig.pick(is_place);
    rig.finish(copy);
    assert_eq!(rig.redis.keys(), [(0, 0)], "a restart would look for it there");
    rig.settle();
    assert_eq!((rig.redis.keys(), spool_used_bytes(&rig)), (vec![], 0));
    rig.complete(upload, Some(1)).unwrap();
    assert_eq!(rig.object(upload), [1; 80]);
}

/// Rivals, bodies that were cut or failed, and one that was begun before the one it replaces.
#[test]
fn no_two_bodies_of_a_chunk_have_the_same_attempt() {
    let mut rig = Rig::new(redis());
    let upload = rig.upload(promised());
    let (first, forced) = (send(0, &[1; 20]), send(0, &[2; 20]).force());
    let slow = rig.open(upload, &send(0, &[3; 20]).force());
    let cut = rig.open(upload, &first);
    rig.event(Event::ChunkCut { stream: cut });
    rig.settle();
    let failed = rig.open(upload, &first);
    rig.body(failed, &first);
    let close = rig.pick(is_close);
    rig.fail(&close, Failure::Unavailable);
    rig.chunk(upload, &first).unwrap();
    rig.chunk(upload, &forced).unwrap();
    rig.body(slow, &send(0, &[3; 20]).force());
    rig.settle();
    assert_eq!(rig.stored[&upload].chunks[&0].attempt, 0, "it was begun first");
    // The rig takes no key twice.
    rig.chunk(upload, &forced).unwrap();
    assert_eq!(rig.stored[&upload].chunks[&0].attempt, 5);
    rig.complete(upload, Some(1)).unwrap();
    assert_eq!(rig.object(upload), [2; 20]);
    assert_eq!(rig.redis.keys(), []);
}

#[test]
fn attempts_of_what_another_process_began_go_on_at_the_base() {
    let mut rig = Rig::new(redis());
    let upload = rig.upload(promised());
    rig.open(upload, &send(1, &[2; 20]));
    queued(&mut rig, upload, 0, &[1; 20]);
    rig.restart(ShardConfig { attempt_base: 7, ..redis() });
    rig.chunk(upload, &send(1, &[2; 20])).unwrap();
    rig.chunk(upload, &send(0, &[3; 20]).force()).unwrap();
    let attempt = |rig: &Rig, number| rig.stored[&upload].chunks[&number].attempt;
    assert_eq!((attempt(&rig, 0), attempt(&rig, 1)), (7, 7));
    let fresh = rig.upload(spec());
    rig.chunk(fresh, &send(0, &[1; 20])).unwrap();
    assert_eq!(rig.stored[&fresh].chunks[&0].attempt, 0);
}

#[test]
fn while_redis_is_full_nothing_begins_and_what_is_there_leaves() {
    let mut rig = Rig::new(ShardConfig { budget_bytes: 100, ..redis() });
    let upload = rig.upload(promised());
    queued(&mut rig, upload, 0, &[1; 20]);
    let held: Vec<_> =
        (1..6).map(|number| (number, rig.open(upload, &send(number, &[1; 20])))).collect();
    let waits = rig.open(upload, &send(6, &[1; 20]));
    assert_eq!(rig.told[&waits], [StreamReply::Parked]);
    rig.event(Event::SpoolRoom { admits: false });
    let late = rig.open(upload, &send(7, &[1; 20]));
    match rig.told[&late].last() {
        Some(StreamReply::Refused(refusal)) => {
            assert_eq!(refusal.reason, Reason::SpoolFull);
            assert!(refusal.retry_after_ms.is_some());
        }
        other => panic!("{other:?}"),
    }
    for (number, stream) in held {
        rig.body(stream, &send(number, &[1; 20]));
    }
    rig.settle();
    assert_eq!(rig.answer(waits), Some(Err(Reason::SpoolFull)), "when its turn came");
    assert_eq!((rig.redis.keys(), spool_used_bytes(&rig)), (vec![], 0));
    rig.event(Event::SpoolRoom { admits: true });
    rig.chunk(upload, &send(6, &[1; 20])).unwrap();
}

/// What waits for a chunk takes half of the room at most, and whoever goes to its place at once
/// gets in beside all others: so what waits leaves in the end.
#[test]
fn the_next_to_be_placed_gets_in_however_much_waits() {
    let mut rig = Rig::new(ShardConfig { spool_bytes_max: 200, budget_bytes: 4_000, ..redis() });
    let (ahead, other) = (rig.upload(spec()), rig.upload(promised()));
    rig.chunk(ahead, &send(1, &[1; 100])).unwrap();
    assert_eq!(rig.chunk(ahead, &send(2, &[2; 1])), Err(Reason::SpoolFull));
    assert_eq!(rig.chunk(other, &send(1, &[2; 20])), Err(Reason::SpoolFull));
    assert_eq!(spool_used_bytes(&rig), 100);
    rig.chunk(other, &send(0, &[1; 20])).unwrap();
    rig.chunk(ahead, &send(0, &[0; 100])).unwrap();
    rig.chunk(ahead, &send(2, &[2; 1])).unwrap();
    rig.complete(ahead, Some(3)).unwrap();
    assert_eq!(rig.object(ahead).len(), 201);
    assert_eq!(spool_used_bytes(&rig), 0);
}

#[test]
fn what_waits_for_another_chunk_takes_half_of_the_room() {
    let mut rig = Rig::new(ShardConfig { spool_bytes_max: 400, budget_bytes: 4_000, ..redis() });
    let (ahead, other) = (rig.upload(spec()), rig.upload(promised()));
    rig.chunk(ahead, &send(1, &[1; 100])).unwrap();
    rig.chunk(ahead, &send(2, &[2; 100])).unwrap();
    assert_eq!(rig.chunk(ahead, &send(3, &[3; 1])), Err(Reason::SpoolFull));
    rig.chunk(other, &send(1, &[2; 20])).unwrap();
    rig.abort(ahead).unwrap();
    assert_eq!(spool_used_bytes(&rig), 0);
}

#[test]
fn what_is_there_at_start_takes_room_even_beyond_the_bound() {
    let mut rig = Rig::new(redis());
    let upload = rig.upload(spec());
    for number in 1..4 {
        rig.chunk(upload, &send(number, &[1; 100])).unwrap();
    }
    rig.restart(ShardConfig { spool_bytes_max: 200, attempt_base: 1, ..redis() });
    assert_eq!(spool_used_bytes(&rig), 300);
    assert_eq!(rig.chunk(upload, &send(0, &[1; 20])), Err(Reason::SpoolFull));
    rig.abort(upload).unwrap();
    assert_eq!((rig.redis.keys(), spool_used_bytes(&rig)), (vec![], 0));
}

#[test]
fn a_beaten_rival_gives_its_room_back_at_once() {
    let mut rig = Rig::new(redis());
    let upload = rig.upload(spec());
    let chunk = send(0, &[1; 80]);
    let rival = rig.open(upload, &chunk);
    rig.chunk(upload, &chunk).unwrap();
    assert_eq!(spool_used_bytes(&rig), 0);
    rig.body(rival, &chunk);
    rig.settle();
    assert!(rig.answer(rival).unwrap().unwrap().duplicate);
}

/// Forced bytes replace a record; what that named is freed when none does, and no copy reads it.
#[test]
fn what_force_replaced_is_freed_once_nobody_reads_it() {
    let mut rig = Rig::new(redis());
    let upload = rig.upload(spec());
    queued(&mut rig, upload, 0, &[1; 20]);
    let copy = rig.pick(is_place);
    let forced = send(0, &[2; 20]).force();
    let stream = rig.open(upload, &forced);
    rig.body(stream, &forced);
    rig.settle();
    assert_eq!(rig.redis.keys(), [(0, 0), (0, 1)], "the copy still reads the old one");
    rig.finish(copy);
    assert_eq!(rig.redis.keys(), [(0, 1)]);
    rig.complete(upload, Some(1)).unwrap();
    assert_eq!(rig.object(upload), [2; 20]);
}

#[test]
fn the_sweep_waits_for_bodies_and_is_tried_until_it_is_done() {
    let mut rig = Rig::new(redis());
    let upload = rig.upload(spec());
    let chunk = send(0, &[1; 20]);
    let rival = rig.open(upload, &chunk.clone().force());
    rig.chunk(upload, &chunk.clone().last()).unwrap();
    assert_eq!(rig.state(upload), State::Completed);
    assert!(rig.stored[&upload].record.cleanup_pending, "the rival's body would stay");
    rig.body(rival, &chunk);
    rig.settle_but(is_sweep);
    let sweep = rig.pick(is_sweep);
    rig.fail(&sweep, Failure::Unavailable);
    assert!(rig.stored[&upload].record.cleanup_pending);
    rig.pass_ms(20_000);
    rig.settle();
    assert!(!rig.stored[&upload].record.cleanup_pending);
    assert_eq!((rig.redis.swept[&upload], rig.redis.keys()), (1, vec![]));
}

#[test]
fn chunks_in_redis_outlive_the_process() {
    let mut rig = Rig::new(redis());
    let upload = rig.upload(spec());
    queued(&mut rig, upload, 0, &[1; 20]);
    queued(&mut rig, upload, 1, &[2; 20]);
    rig.restart(ShardConfig { attempt_base: 1, ..redis() });
    rig.settle();
    assert_eq!(rig.redis.keys(), []);
    assert!(rig.chunk(upload, &send(1, &[2; 20])).unwrap().duplicate);
    rig.complete(upload, Some(2)).unwrap();
    assert_eq!(rig.object(upload), [[1; 20], [2; 20]].concat());
}

#[test]
fn with_discard_a_chunk_is_recorded_and_acked_before_it_is_dropped() {
    let mut rig = Rig::new(discard());
    let upload = rig.upload(spec());
    let chunk = send(1, &[2; 20]);
    let stream = rig.open(upload, &chunk);
    rig.body(stream, &chunk);
    let close = rig.pick(is_close);
    rig.finish(close);
    let record = rig.pick(is_record);
    rig.finish(record);
    assert!(!rig.answer(stream).unwrap().unwrap().spooled, "nobody keeps its bytes");
    assert_eq!((rig.redis.keys(), rig.shard.stats().queue_chunks), (vec![(1, 0)], 0));
    rig.settle_but(|effect| {
        assert!(!is_place(effect), "nothing is copied");
        false
    });
    assert_eq!(rig.stored[&upload].chunks[&1].place, ChunkPlace::Discarded);
    assert_eq!((rig.redis.keys(), spool_used_bytes(&rig)), (vec![], 0));
    rig.chunk(upload, &send(0, &[1; 20])).unwrap();
    let object = rig.complete(upload, Some(2)).unwrap().record.object.unwrap();
    let sum = sluice_proto::checksum::Crc64Nvme::of(&[[1; 20], [2; 20]].concat());
    assert_eq!((object.size_bytes, object.crc64nvme), (40, Some(sum)));
}

#[test]
fn with_discard_a_restart_asks_for_nothing_that_was_recorded() {
    let mut rig = Rig::new(discard());
    let upload = rig.upload(spec());
    rig.chunk(upload, &send(1, &[2; 20])).unwrap();
    let queued = send(0, &[1; 20]);
    let stream = rig.open(upload, &queued);
    rig.body(stream, &queued);
    for wanted in [is_close, is_record] {
        let effect = rig.pick(wanted);
        rig.finish(effect);
    }
    assert_eq!(rig.stored[&upload].chunks[&0].place, ChunkPlace::Redis);
    rig.restart(ShardConfig { attempt_base: 1, ..discard() });
    rig.settle();
    assert_eq!((rig.redis.keys(), rig.view(upload).unwrap().received_count), (vec![], 2));
    let object = rig.complete(upload, Some(2)).unwrap().record.object.unwrap();
    assert_eq!(object.size_bytes, 40);
}

#[test]
fn the_age_of_the_queue_is_that_of_its_oldest_chunk() {
    let mut rig = Rig::new(redis());
    let upload = rig.upload(spec());
    let age_ms = |rig: &Rig| rig.shard.stats().queue_oldest_ms;
    rig.chunk(upload, &send(2, &[2; 20])).unwrap();
    rig.pass_ms(30);
    queued(&mut rig, upload, 0, &[0; 20]);
    rig.pass_ms(10);
    assert_eq!((age_ms(&rig), rig.shard.stats().queue_chunks), (40, 2));
    rig.settle();
    assert_eq!(age_ms(&rig), 40, "it still waits for chunk 1");
    rig.chunk(upload, &send(1, &[1; 20])).unwrap();
    assert_eq!(age_ms(&rig), 0);
}
