//! With `objects = s3`: parts follow from a schedule that was recorded, each is recorded before it is
//! sent, and what was sent never changes.

use sluice_proto::error::Reason;

use super::rig::{Rig, config, send, spec};
use crate::{
    Effect, Event, ShardConfig,
    config::{Objects, Spool},
    event::{Failure, Outcome},
    keys::CallId,
    parts::{Plan, Schedule},
    record::{ChunkPlace, EndError, State, StoredAs, UploadSpec, WHOLE},
};

/// Parts of 50 bytes, and one PUT up to 100.
fn s3() -> ShardConfig {
    ShardConfig { objects: Objects::S3, ..config() }
}

fn sized(bytes: u64) -> UploadSpec {
    UploadSpec { expected_size_bytes: Some(bytes), ..spec() }
}

fn is_part(effect: &Effect) -> bool {
    matches!(effect, Effect::SendPart { .. })
}

fn is_put(effect: &Effect) -> bool {
    matches!(effect, Effect::PutObject { .. })
}

fn is_complete(effect: &Effect) -> bool {
    matches!(effect, Effect::CompleteMultipart { .. })
}

#[test]
fn a_small_object_is_one_put() {
    let mut rig = Rig::new(s3());
    let upload = rig.upload(spec());
    rig.chunk(upload, &send(1, &[2; 40])).unwrap();
    rig.chunk(upload, &send(0, &[1; 60])).unwrap();
    rig.complete(upload, Some(2)).unwrap();
    assert_eq!(rig.s3.objects[&upload], [[1; 60].as_slice(), &[2; 40]].concat());
    assert!(rig.s3.multiparts.is_empty());
    let object = rig.stored[&upload].record.object.clone().unwrap();
    assert!(object.stored.is_some(), "the store's answer is kept");
}

#[test]
fn nothing_at_all_is_one_empty_object() {
    let mut rig = Rig::new(s3());
    let upload = rig.upload(sized(0));
    rig.complete(upload, Some(0)).unwrap();
    assert_eq!(rig.s3.objects[&upload], []);
}

/// S3 makes nothing of no part.
#[test]
fn what_turns_out_empty_after_it_was_begun_by_parts_is_one_empty_part() {
    let memory = || ShardConfig { spool: Spool::Memory, budget_bytes: 2_000, ..s3() };
    let plan = Plan { single_put_bytes: 0, ..s3().plan };
    let config = || ShardConfig { plan, ..memory() };
    let mut rig = Rig::new(config());
    let upload = rig.upload(spec());
    rig.chunk(upload, &send(0, &[1; 40])).unwrap();
    assert!(rig.stored[&upload].record.multipart_id.is_some());
    rig.restart(config());
    rig.settle();
    rig.complete(upload, Some(0)).unwrap();
    assert_eq!(rig.s3.objects[&upload], []);
    assert!(rig.s3.multiparts.is_empty());
}

/// A large one is begun before any byte has come; parts go as they fill, also out of order where a
/// promise says where they are.
#[test]
fn parts_go_as_they_fill_and_their_bytes_are_freed() {
    let mut rig = Rig::new(s3());
    let promised = UploadSpec { chunk_size_bytes: Some(40), ..sized(220) };
    let upload = rig.upload(promised);
    let record = rig.stored[&upload].record.clone();
    assert_eq!(record.schedule, Some(Schedule::Fixed { part_bytes: 50 }));
    assert!(record.multipart_id.is_some(), "begun early");
    for number in [5, 4, 3, 2, 1, 0] {
        let bytes = if number == 5 { 20 } else { 40 };
        rig.chunk(upload, &send(number, &[number as u8; 40][..bytes])).unwrap();
        // Bytes 150 to 200 are in chunks 3 and 4. An ended upload keeps none of its parts.
        let is_planned = rig.stored[&upload].parts.contains_key(&4);
        assert_eq!(is_planned, (1..=3).contains(&number));
    }
    let data = rig.s3.objects[&upload].clone();
    assert_eq!(data.chunks(40).map(|chunk| chunk[0]).collect::<Vec<_>>(), [0, 1, 2, 3, 4, 5]);
    assert_eq!((rig.state(upload), data.len()), (State::Completed, 220));
    assert_eq!(rig.shard.stats().spool_used_bytes, 0, "all that was in the spool is freed");
}

#[test]
fn a_part_is_sent_only_once_it_is_durable_and_then_its_chunks_are_sealed() {
    let mut rig = Rig::new(s3());
    let upload = rig.upload(sized(200));
    let first = send(0, &[1; 60]);
    let stream = rig.open(upload, &first);
    rig.body(stream, &first);
    let is_record = |effect: &Effect| matches!(effect, Effect::Record { .. });
    rig.settle_but(|effect| is_record(effect) || is_part(effect));
    assert!(!rig.held.iter().any(is_part), "its chunk isn't durable");
    while rig.held.iter().any(is_record) {
        assert!(!rig.held.iter().any(is_part), "its plan isn't durable");
        let record = rig.pick(is_record);
        rig.finish(record);
    }
    assert!(rig.held.iter().any(is_part));
    let refused = rig.chunk(upload, &send(0, &[9; 60]).force()).unwrap_err();
    assert_eq!(refused, Reason::ChunkSealed);
}

/// The store may keep a request of a process that is gone: it must carry the same bytes.
#[test]
fn what_was_sent_of_a_chunk_that_is_lost_must_come_again() {
    let mut rig = Rig::new(ShardConfig { spool: Spool::Memory, budget_bytes: 2_000, ..s3() });
    let upload = rig.upload(sized(200));
    rig.chunk(upload, &send(0, &[1; 80])).unwrap();
    assert_eq!(rig.stored[&upload].chunks[&0].place, ChunkPlace::Memory(crate::keys::BodyId(1)));
    assert!(rig.stored[&upload].parts[&1].stored.is_some());
    rig.restart(ShardConfig { spool: Spool::Memory, budget_bytes: 2_000, ..s3() });
    rig.settle();
    assert_eq!(rig.stored[&upload].chunks.len(), 0, "it is asked for again");
    for other in [vec![9; 80], vec![1; 70]] {
        let refused = rig.chunk(upload, &send(0, &other)).unwrap_err();
        assert_eq!(refused, Reason::ChunkSealed);
    }
    rig.chunk(upload, &send(0, &[1; 80])).unwrap();
    rig.chunk(upload, &send(1, &[2; 80])).unwrap();
    rig.chunk(upload, &send(2, &[3; 40])).unwrap();
    rig.complete(upload, Some(3)).unwrap();
    let whole = [[1; 80].as_slice(), &[2; 80], &[3; 40]].concat();
    assert_eq!(rig.s3.objects[&upload], whole);
}

/// It would be visible before anybody held it against what was declared.
#[test]
fn a_small_object_is_held_against_its_sha256_before_it_is_sent() {
    let mut rig = Rig::new(s3());
    let upload = rig.upload(UploadSpec { sha256: Some([7; 32]), hash: true, ..spec() });
    rig.chunk(upload, &send(0, &[1; 60])).unwrap();
    let refused = rig.complete(upload, Some(1)).unwrap_err();
    assert_eq!(refused.reason, Reason::ObjectMismatch);
    assert!(rig.s3.objects.is_empty());
}

/// Nothing else happens by then that would have it sent.
#[test]
fn a_small_object_is_sent_as_soon_as_its_sha256_is_known() {
    let mut rig = Rig::new(s3());
    rig.holds_hashes = true;
    let upload = rig.upload(UploadSpec { hash: true, chunk_size_bytes: Some(40), ..sized(80) });
    for number in [0, 1] {
        rig.chunk(upload, &send(number, &[7; 40])).unwrap();
    }
    assert!(!rig.s3.objects.contains_key(&upload));
    rig.tell_hashes();
    rig.settle();
    assert_eq!(rig.s3.objects[&upload], [7; 80]);
    assert_eq!(rig.state(upload), State::Completed);
}

#[test]
fn bytes_stay_until_a_recorded_sha256_is_behind_them() {
    let mut rig = Rig::new(ShardConfig { hash_step_bytes: 10, hash_record_bytes: 1_000, ..s3() });
    let upload = rig.upload(UploadSpec { hash: true, ..sized(200) });
    let first = send(0, &[1; 60]);
    let stream = rig.open(upload, &first);
    rig.holds_hashes = true;
    rig.body(stream, &first);
    rig.settle();
    let stored = &rig.stored[&upload];
    assert!(stored.parts[&1].stored.is_some());
    assert!(matches!(stored.chunks[&0].place, ChunkPlace::Spool(_)), "not hashed yet");
    rig.holds_hashes = false;
    rig.tell_hashes();
    rig.chunk(upload, &send(1, &[2; 100])).unwrap();
    rig.chunk(upload, &send(2, &[3; 40])).unwrap();
    rig.complete(upload, Some(3)).unwrap();
    let whole = [[1; 60].as_slice(), &[2; 100], &[3; 40]].concat();
    let sum = sluice_proto::checksum::Sha256State::of(&whole);
    assert_eq!(rig.stored[&upload].record.object.as_ref().unwrap().sha256, Some(sum));
}

#[test]
fn an_aborted_upload_leaves_nothing_at_the_store() {
    for bytes in [60, 200] {
        let mut rig = Rig::new(ShardConfig { spool: Spool::Memory, budget_bytes: 2_000, ..s3() });
        let upload = rig.upload(sized(bytes));
        let first = send(0, &[1; 60]);
        let stream = rig.open(upload, &first);
        rig.body(stream, &first);
        rig.settle_but(|effect| is_part(effect) || is_put(effect));
        let (call, tenant) = (CallId(u64::MAX), "t".to_owned());
        rig.event(Event::Abort { call, tenant, upload_id: upload });
        rig.settle_but(|effect| is_part(effect) || is_put(effect));
        let removes = |effect: &Effect| matches!(effect, Effect::Unstore { .. });
        assert!(!rig.held.iter().any(removes), "a request is still under way");
        rig.settle();
        assert!(rig.s3.objects.is_empty() && rig.s3.multiparts.is_empty(), "{bytes}");
        assert_eq!(rig.state(upload), State::Aborted);
    }
}

#[test]
fn what_the_store_refuses_for_good_fails_the_upload_in_its_words() {
    let mut rig = Rig::new(s3());
    let message = "NoSuchBucket: no such bucket".to_owned();
    rig.s3.refuses = Some(EndError { reason: Reason::ObjectMismatch, message: message.clone() });
    let upload = rig.upload(spec());
    rig.chunk(upload, &send(0, &[1; 60]).last()).unwrap();
    rig.settle();
    let error = rig.stored[&upload].record.error.clone().unwrap();
    assert_eq!((rig.state(upload), error.message), (State::Failed, message));
}

/// The same bytes may have gone there twice, and the store may name them anew.
#[test]
fn parts_that_the_store_names_otherwise_are_named_anew() {
    let mut rig = Rig::new(s3());
    let upload = rig.upload(sized(120));
    rig.chunk(upload, &send(0, &[1; 100])).unwrap();
    let rest = send(1, &[2; 20]).last();
    let stream = rig.open(upload, &rest);
    rig.body(stream, &rest);
    rig.settle_but(is_complete);
    let op = rig.pick(is_complete).op().unwrap();
    let anew = StoredAs { etag: "another".to_owned(), version_id: None };
    let differ = Outcome::PartsDiffer(vec![(2, Some(anew.clone()))]);
    rig.event(Event::Done { op, result: Ok(differ) });
    rig.settle_but(is_complete);
    let Effect::CompleteMultipart { parts, .. } = rig.pick(is_complete) else { unreachable!() };
    assert_eq!(parts[1].1.stored, Some(anew));
}

#[test]
fn a_part_that_the_store_has_lost_fails_the_upload() {
    let mut rig = Rig::new(s3());
    let upload = rig.upload(sized(120));
    rig.chunk(upload, &send(0, &[1; 100])).unwrap();
    let rest = send(1, &[2; 20]).last();
    let stream = rig.open(upload, &rest);
    rig.body(stream, &rest);
    rig.settle_but(is_complete);
    let op = rig.pick(is_complete).op().unwrap();
    rig.event(Event::Done { op, result: Ok(Outcome::PartsDiffer(vec![(2, None)])) });
    rig.settle();
    let error = rig.stored[&upload].record.error.clone().unwrap();
    assert_eq!((rig.state(upload), error.reason), (State::Failed, Reason::ObjectMismatch));
    assert!(rig.s3.multiparts.is_empty(), "aborted");
}

/// Nothing FAILED while the store is away.
#[test]
fn what_cannot_be_sent_just_now_is_sent_later() {
    let mut rig = Rig::new(s3());
    let upload = rig.upload(spec());
    let only = send(0, &[1; 60]).last();
    let stream = rig.open(upload, &only);
    rig.body(stream, &only);
    for _ in 0..20 {
        rig.settle_but(is_put);
        let put = rig.pick(is_put);
        rig.fail(&put, Failure::Unavailable);
        rig.pass_ms(20_000);
    }
    assert_eq!(rig.state(upload), State::Completing);
    rig.settle();
    assert_eq!(rig.state(upload), State::Completed);
}

/// Uploads that have each filled part of a part fill all room but that of one.
#[test]
fn one_upload_goes_on_where_all_are_stuck() {
    let config = ShardConfig { spool: Spool::Redis, ..s3() };
    let spool_bytes_max = config.kept_bytes() * 2;
    let mut rig = Rig::new(ShardConfig { spool_bytes_max, ..config });
    let uploads: Vec<_> = (0..8).map(|_| rig.upload(spec())).collect();
    let mut refused = 0;
    for _ in 0..2 * uploads.len() {
        for &upload in &uploads {
            let stored = &rig.stored[&upload];
            let next = stored.chunks.len() as u32;
            if stored.record.state.ended() {
                continue;
            }
            let chunk = send(next, &[1; 90]);
            let chunk = if next == 1 { chunk.last() } else { chunk };
            refused += usize::from(rig.chunk(upload, &chunk).is_err());
            rig.settle();
        }
    }
    assert!(refused > 0, "there wasn't room for all");
    let states: Vec<_> = uploads.iter().map(|&upload| rig.state(upload)).collect();
    assert_eq!(states, [State::Completed; 8]);
}

#[test]
fn a_restart_goes_on_with_what_was_planned() {
    let mut rig = Rig::new(s3());
    let upload = rig.upload(sized(200));
    let first = send(0, &[1; 60]);
    let stream = rig.open(upload, &first);
    rig.body(stream, &first);
    rig.settle_but(is_part);
    assert!(rig.stored[&upload].parts[&1].stored.is_none());
    rig.restart(s3());
    rig.settle();
    assert!(rig.stored[&upload].parts[&1].stored.is_some());
    rig.chunk(upload, &send(1, &[2; 100])).unwrap();
    rig.chunk(upload, &send(2, &[3; 40]).last()).unwrap();
    assert_eq!(rig.s3.objects[&upload].len(), 200);
    assert!(!rig.stored[&upload].parts.contains_key(&WHOLE));
}
