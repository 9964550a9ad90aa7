//! A chunk that comes again, replaces another, or isn't what it says.

use sluice_proto::{checksum::Sha256State, error::Reason};

use super::rig::{Rig, config, send, spec};
use crate::{Effect, Event, effect::StreamReply, record::UploadSpec};

fn is_record(effect: &Effect) -> bool {
    matches!(effect, Effect::Record { .. })
}

/// Nothing is read that is there already.
#[test]
fn a_repeat_is_known_from_its_header() {
    let mut rig = Rig::new(config());
    let upload = rig.upload(spec());
    let chunk = send(0, &[1; 80]).summed();
    rig.chunk(upload, &chunk).unwrap();
    let stream = rig.open(upload, &chunk);
    assert!(matches!(rig.told[&stream][..], [StreamReply::Acked(ack)] if ack.duplicate));
    let other = send(0, &[2; 80]).summed();
    let stream = rig.open(upload, &other);
    assert_eq!(rig.answer(stream), Some(Err(Reason::ChunkConflict)));
    let longer = rig.open(upload, &send(0, &[1; 81]));
    assert_eq!(rig.answer(longer), Some(Err(Reason::ChunkConflict)));
    assert_eq!(rig.shard.stats().budget_used_bytes, 0);
}

#[test]
fn a_repeat_without_checksums_is_read_and_compared() {
    let mut rig = Rig::new(config());
    let upload = rig.upload(spec());
    rig.chunk(upload, &send(0, &[1; 80])).unwrap();
    assert!(rig.chunk(upload, &send(0, &[1; 80])).unwrap().duplicate);
    assert_eq!(rig.chunk(upload, &send(0, &[2; 80])).unwrap_err(), Reason::ChunkConflict);
    assert_eq!(rig.shard.stats().budget_used_bytes, 0);
}

#[test]
fn a_repeat_is_acked_once_the_first_is_durable() {
    let mut rig = Rig::new(config());
    let upload = rig.upload(spec());
    let chunk = send(0, &[1; 20]).summed();
    let first = rig.open(upload, &chunk);
    rig.body(first, &chunk);
    let close = rig.pick(|effect| matches!(effect, Effect::CloseBody { .. }));
    rig.finish(close);
    let again = rig.open(upload, &chunk);
    assert_eq!((rig.answer(first), rig.answer(again)), (None, None));
    let record = rig.pick(is_record);
    rig.finish(record);
    assert!(!rig.answer(first).unwrap().unwrap().duplicate);
    assert!(rig.answer(again).unwrap().unwrap().duplicate);
}

#[test]
fn repeats_are_acked_when_all_is_over_and_nothing_else_is() {
    let mut rig = Rig::new(config());
    let upload = rig.upload(spec());
    rig.chunk(upload, &send(0, &[1; 20]).last()).unwrap();
    assert!(rig.chunk(upload, &send(0, &[1; 20])).unwrap().duplicate);
    assert!(rig.chunk(upload, &send(0, &[1; 20]).force()).unwrap().duplicate);
    for chunk in [send(0, &[2; 20]), send(0, &[2; 20]).force(), send(1, &[2; 20])] {
        assert_eq!(rig.chunk(upload, &chunk).unwrap_err(), Reason::UploadEnded);
    }
    assert!(rig.partials.is_empty(), "what is sealed isn't opened again");
}

/// The bytes that were acked stay until the ones that replace them are safe.
#[test]
fn a_refused_or_unrecorded_force_harms_nothing() {
    let mut rig = Rig::new(config());
    let upload = rig.upload(spec());
    rig.chunk(upload, &send(0, &[1; 20])).unwrap();
    let mut wrong = send(0, &[2; 20]).force();
    wrong.checks.crc32c = Some(7);
    assert_eq!(rig.chunk(upload, &wrong).unwrap_err(), Reason::ChecksumMismatch);
    let forced = send(0, &[3; 20]).force();
    let stream = rig.open(upload, &forced);
    rig.body(stream, &forced);
    let close = rig.pick(|effect| matches!(effect, Effect::CloseBody { .. }));
    rig.finish(close);
    rig.restart(config());
    rig.settle();
    rig.complete(upload, Some(1)).unwrap();
    assert_eq!(rig.object(upload), [1; 20]);
}

/// Without a promise what lies behind would have to move.
#[test]
fn force_of_another_length_is_refused_within_the_front() {
    let mut rig = Rig::new(config());
    let upload = rig.upload(spec());
    rig.chunk(upload, &send(0, &[1; 20])).unwrap();
    rig.chunk(upload, &send(1, &[1; 20])).unwrap();
    let longer = send(0, &[2; 21]).force();
    assert_eq!(rig.chunk(upload, &longer).unwrap_err(), Reason::ChunkSealed);
    rig.chunk(upload, &send(0, &[2; 20]).force()).unwrap();
    rig.chunk(upload, &send(3, &[3; 20])).unwrap();
    rig.chunk(upload, &send(3, &[4; 30]).force()).unwrap();
    rig.chunk(upload, &send(2, &[5; 1])).unwrap();
    rig.complete(upload, Some(4)).unwrap();
    assert_eq!(rig.object(upload), [&[2; 20][..], &[1; 20], &[5; 1], &[4; 30]].concat());
}

#[test]
fn force_comes_too_late_for_what_is_hashed() {
    let mut rig = Rig::new(config());
    let upload = rig.upload(UploadSpec { hash: true, ..spec() });
    rig.chunk(upload, &send(0, &[1; 20])).unwrap();
    let forced = send(0, &[2; 20]).force();
    assert_eq!(rig.chunk(upload, &forced).unwrap_err(), Reason::ChunkSealed);
    // Ahead of the front nothing is hashed yet.
    rig.chunk(upload, &send(2, &[3; 20])).unwrap();
    rig.chunk(upload, &send(2, &[4; 20]).force()).unwrap();
    rig.chunk(upload, &send(1, &[5; 20])).unwrap();
    let object = rig.complete(upload, Some(3)).unwrap().record.object.unwrap();
    let bytes = [[1; 20], [5; 20], [4; 20]].concat();
    assert_eq!(object.sha256, Some(Sha256State::of(&bytes)));
}

#[test]
fn wrong_bytes_cost_nothing_and_may_come_again() {
    let mut rig = Rig::new(config());
    let upload = rig.upload(spec());
    let right = send(0, &[1; 80]);
    for spoil in 0..3 {
        let mut wrong = right.clone();
        match spoil {
            0 => wrong.checks.crc32c = Some(7),
            1 => wrong.checks.crc64nvme = Some(7),
            _ => wrong.checks.sha256 = Some([7; 32]),
        }
        assert_eq!(rig.chunk(upload, &wrong).unwrap_err(), Reason::ChecksumMismatch);
        assert_eq!(rig.shard.stats().budget_used_bytes, 0);
    }
    rig.chunk(upload, &right).unwrap();
}

#[test]
fn another_number_of_bytes_than_was_said_is_refused() {
    let mut rig = Rig::new(config());
    let upload = rig.upload(spec());
    let said = send(0, &[1; 80]);
    let (short, long) = (rig.open(upload, &said), rig.open(upload, &said));
    rig.body(short, &send(0, &[1; 79]));
    rig.body(long, &send(0, &[1; 81]));
    rig.settle();
    assert_eq!(rig.answer(short), Some(Err(Reason::FieldInvalid)));
    assert_eq!(rig.answer(long), Some(Err(Reason::FieldInvalid)));
    assert!(rig.stored[&upload].chunks.is_empty());
    assert_eq!(rig.shard.stats().budget_used_bytes, 0);
}

#[test]
fn sizes_that_no_chunk_has_are_refused_from_the_header() {
    let mut rig = Rig::new(config());
    let upload = rig.upload(spec());
    let large = rig.open(upload, &send(0, &[1; 101]));
    let empty = rig.open(upload, &send(0, &[]));
    assert_eq!(rig.answer(large), Some(Err(Reason::ChunkTooLarge)));
    assert_eq!(rig.answer(empty), Some(Err(Reason::FieldInvalid)));
}

#[test]
fn what_was_cut_gives_everything_back() {
    let mut rig = Rig::new(config());
    let upload = rig.upload(spec());
    let in_place = rig.open(upload, &send(0, &[1; 80]));
    let in_spool = rig.open(upload, &send(2, &[1; 80]));
    rig.event(Event::ChunkCut { stream: in_place });
    rig.event(Event::ChunkCut { stream: in_spool });
    rig.settle();
    let stats = rig.shard.stats();
    assert_eq!((stats.budget_used_bytes, stats.spool_used_bytes, stats.streams), (0, 0, 0));
    assert_eq!(rig.shard.in_flight(), 0);
    rig.chunk(upload, &send(0, &[2; 80])).unwrap();
}

/// Whoever isn't the tenant learns nothing, not even that there is something.
#[test]
fn another_tenants_upload_is_unknown() {
    let mut rig = Rig::new(config());
    let upload = rig.upload(UploadSpec { tenant: "other".to_owned(), ..spec() });
    let stream = rig.open(upload, &send(0, &[1; 20]));
    assert_eq!(rig.answer(stream), Some(Err(Reason::UploadUnknown)));
    assert_eq!(rig.view(upload).unwrap_err(), Reason::UploadUnknown);
    assert_eq!(rig.abort(upload).unwrap_err(), Reason::UploadUnknown);
    assert_eq!(rig.complete(upload, Some(0)).unwrap_err().reason, Reason::UploadUnknown);
}
