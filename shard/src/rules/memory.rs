//! Who gets memory, who waits for it, and when it is given back.

use sluice_proto::error::Reason;

use super::rig::{Rig, config, send, spec};
use crate::{Effect, Event, ShardConfig, config::Spool, effect::StreamReply, record::UploadSpec};

/// A body that is given up may hold memory until its last write has ended.
#[test]
fn a_beaten_rival_pays_until_its_writes_have_ended() {
    let mut rig = Rig::new(config());
    let upload = rig.upload(spec());
    let slow = send(0, &[1; 80]);
    let rival = rig.open(upload, &slow);
    let quick = rig.open(upload, &slow);
    rig.body(quick, &slow);
    let close = rig.pick(|effect| matches!(effect, Effect::CloseBody { .. }));
    rig.finish(close);
    let drop_place = rig.pick(|effect| matches!(effect, Effect::DropBody { .. }));
    rig.body(rival, &slow);
    rig.settle();
    assert!(rig.answer(rival).unwrap().unwrap().duplicate);
    assert_eq!(rig.shard.stats().budget_used_bytes, 50);
    rig.finish(drop_place);
    assert_eq!(rig.shard.stats().budget_used_bytes, 0);
}

/// However many chunks wait for a hole, the one that fills it gets in.
#[test]
fn a_front_gets_in_beside_any_number_of_chunks_ahead() {
    let mut rig = Rig::new(config());
    let upload = rig.upload(spec());
    let ahead: Vec<_> = (1..9).map(|number| rig.open(upload, &send(number, &[1; 100]))).collect();
    let parked = |rig: &Rig, stream| rig.told[&stream] == [StreamReply::Parked];
    // Half of 400 bytes, at 50 a chunk.
    let waiting: Vec<_> = ahead.iter().filter(|&&stream| parked(&rig, stream)).collect();
    assert_eq!((ahead.len() - waiting.len(), waiting.len()), (4, 4));
    let front = rig.open(upload, &send(0, &[1; 100]));
    assert!(matches!(rig.told[&front][..], [StreamReply::Granted { bytes: 100 }]));
}

#[test]
fn fronts_are_first_when_memory_comes_free() {
    let mut rig = Rig::new(ShardConfig { budget_bytes: 100, ..config() });
    let (one, other) = (rig.upload(spec()), rig.upload(spec()));
    let held = [rig.open(one, &send(0, &[1; 100])), rig.open(other, &send(0, &[1; 100]))];
    let ahead = rig.open(one, &send(2, &[3; 100]));
    let third = rig.upload(spec());
    let front = rig.open(third, &send(0, &[2; 100]));
    assert_eq!(rig.told[&ahead], [StreamReply::Parked]);
    assert_eq!(rig.told[&front], [StreamReply::Parked]);
    rig.event(Event::ChunkCut { stream: held[0] });
    rig.settle();
    assert_eq!(rig.told[&ahead], [StreamReply::Parked], "it came first, and still waits");
    assert_eq!(rig.told[&front][1..], [StreamReply::Granted { bytes: 100 }]);
}

#[test]
fn whoever_waits_too_long_is_asked_to_come_back() {
    let mut rig = Rig::new(ShardConfig { budget_bytes: 100, waiting_max: 1, ..config() });
    let upload = rig.upload(UploadSpec { chunk_size_bytes: Some(100), ..spec() });
    rig.open(upload, &send(0, &[1; 100]));
    let waits = rig.open(upload, &send(1, &[1; 100]));
    let refused = rig.open(upload, &send(2, &[1; 100]));
    assert_eq!(rig.answer(refused), Some(Err(Reason::Budget)), "only so many may wait");
    rig.pass_ms(config().admission_wait_ms - 1);
    assert_eq!(rig.answer(waits), None);
    rig.pass_ms(1);
    match rig.told[&waits].last() {
        Some(StreamReply::Refused(refusal)) => {
            assert_eq!(refusal.reason, Reason::Budget);
            assert!(refusal.retry_after_ms.is_some());
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(rig.shard.stats().parked_streams, 0);
}

#[test]
fn a_full_spool_turns_back_what_is_ahead_and_takes_the_front() {
    let room = ShardConfig { segment_bytes: 4096, spool_bytes_max: 4096, ..config() };
    let mut rig = Rig::new(room);
    let upload = rig.upload(spec());
    rig.chunk(upload, &send(1, &[1; 20])).unwrap();
    let full = rig.open(upload, &send(2, &[2; 20]));
    assert_eq!(rig.answer(full), Some(Err(Reason::SpoolFull)));
    assert_eq!(rig.shard.stats().budget_used_bytes, 0);
    rig.chunk(upload, &send(0, &[0; 20])).unwrap();
    rig.chunk(upload, &send(2, &[2; 20]).last()).unwrap();
    assert_eq!(rig.object(upload), [[0; 20], [1; 20], [2; 20]].concat());
}

/// Memory that holds a chunk is charged until the chunk is at its place.
#[test]
fn what_waits_in_memory_is_paid_for_until_it_is_placed() {
    let mut rig = Rig::new(ShardConfig { spool: Spool::Memory, ..config() });
    let upload = rig.upload(spec());
    let ack = rig.chunk(upload, &send(1, &[1; 20])).unwrap();
    assert!(!ack.spooled, "memory survives nothing");
    assert_eq!(rig.shard.stats().budget_used_bytes, 20);
    rig.chunk(upload, &send(0, &[0; 20]).last()).unwrap_err();
    rig.chunk(upload, &send(0, &[0; 20])).unwrap();
    assert_eq!(rig.shard.stats().budget_used_bytes, 0);
    rig.complete(upload, Some(2)).unwrap();
    assert_eq!(rig.object(upload), [[0; 20], [1; 20]].concat());
}

#[test]
fn draining_ends_what_is_open_and_begins_nothing() {
    let mut rig = Rig::new(config());
    let upload = rig.upload(spec());
    let first = send(0, &[0; 20]);
    let open = rig.open(upload, &first);
    rig.event(Event::Drain);
    let late = rig.open(upload, &send(1, &[1; 20]));
    assert_eq!(rig.answer(late), Some(Err(Reason::Draining)));
    let (_, call) = rig.initiate(spec());
    assert_eq!(rig.replies[&call].as_ref().unwrap_err().reason, Reason::Draining);
    rig.body(open, &first);
    rig.settle();
    assert!(rig.answer(open).unwrap().is_ok());
    assert_eq!(rig.shard.in_flight(), 0, "drained");
}

#[test]
fn a_body_that_could_not_be_written_is_sent_again() {
    let mut rig = Rig::new(config());
    let upload = rig.upload(spec());
    let chunk = send(0, &[0; 20]);
    for (failure, reason) in [
        (crate::event::Failure::Full, Reason::SpoolFull),
        (crate::event::Failure::Unavailable, Reason::BackendDown),
    ] {
        let stream = rig.open(upload, &chunk);
        rig.body(stream, &chunk);
        let close = rig.pick(|effect| matches!(effect, Effect::CloseBody { .. }));
        rig.fail(&close, failure);
        assert_eq!(rig.answer(stream), Some(Err(reason)));
        assert_eq!(rig.shard.stats().budget_used_bytes, 0);
    }
    rig.chunk(upload, &chunk).unwrap();
}
