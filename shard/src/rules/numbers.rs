//! N, and the lengths that were promised.

use sluice_proto::error::Reason;

use super::rig::{Rig, config, send, spec};
use crate::{
    Effect,
    effect::CallReply,
    record::{State, Transition, UploadSpec},
};

fn promised(chunk_bytes: u64, size_bytes: Option<u64>) -> UploadSpec {
    let chunk_size_bytes = Some(chunk_bytes);
    UploadSpec { chunk_size_bytes, expected_size_bytes: size_bytes, ..spec() }
}

#[test]
fn n_is_fixed_once_by_whoever_says_it_first() {
    let mut rig = Rig::new(config());
    let upload = rig.upload(spec());
    rig.chunk(upload, &send(2, &[2; 20]).last()).unwrap();
    let reason = |result: Result<_, Reason>| result.map(drop).unwrap_err();
    assert_eq!(reason(rig.chunk(upload, &send(3, &[3; 20]))), Reason::LastConflict);
    assert_eq!(reason(rig.chunk(upload, &send(1, &[1; 20]).last())), Reason::LastConflict);
    let asked = rig.complete(upload, Some(4)).unwrap_err();
    assert_eq!(asked.reason, Reason::LastConflict);
    assert_eq!(rig.stored[&upload].record.total_chunks, Some(3));
}

#[test]
fn a_repeat_may_still_say_that_it_is_the_last() {
    let mut rig = Rig::new(config());
    let upload = rig.upload(spec());
    let chunk = send(0, &[1; 20]).summed();
    rig.chunk(upload, &chunk).unwrap();
    let ack = rig.chunk(upload, &chunk.last()).unwrap();
    assert!(ack.duplicate);
    assert_eq!(rig.state(upload), State::Completed);
}

#[test]
fn completing_with_holes_fixes_n_and_names_them() {
    let mut rig = Rig::new(config());
    let upload = rig.upload(spec());
    for number in [1, 3, 4] {
        rig.chunk(upload, &send(number, &[number as u8; 20])).unwrap();
    }
    let refusal = rig.complete(upload, None).unwrap_err();
    assert_eq!(refusal.reason, Reason::MissingChunks);
    assert!(refusal.metadata.contains(&("missing_count", "2".to_owned())));
    assert!(refusal.metadata.contains(&("missing_ranges", "0-0,2-2".to_owned())));
    assert_eq!(rig.stored[&upload].record.total_chunks, Some(5));
    assert_eq!(rig.chunk(upload, &send(5, &[5; 20])).unwrap_err(), Reason::LastConflict);
    rig.chunk(upload, &send(0, &[0; 20])).unwrap();
    rig.chunk(upload, &send(2, &[2; 20])).unwrap();
    assert_eq!(rig.state(upload), State::Completed, "the last hole ends it");
    let object: Vec<u8> = (0..5).flat_map(|number| [number; 20]).collect();
    assert_eq!(rig.object(upload), object);
}

/// It was answered that none of its chunks were missing, as an error.
#[test]
fn a_hole_that_is_filled_while_n_is_recorded_is_not_told() {
    let mut rig = Rig::new(config());
    let upload = rig.upload(spec());
    rig.chunk(upload, &send(1, &[1; 20])).unwrap();
    let call = rig.ask_complete(upload, Some(2));
    let first = send(0, &[0; 20]);
    let stream = rig.open(upload, &first);
    rig.body(stream, &first);
    let close = rig.pick(|effect| matches!(effect, Effect::CloseBody { .. }));
    rig.finish(close);
    assert!(!rig.replies.contains_key(&call), "N isn't durable yet");
    rig.settle();
    match &rig.replies[&call] {
        Ok(CallReply::Completed(view)) => assert_eq!(view.record.state, State::Completed),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_nobody_sent_has_no_number_of_chunks() {
    let mut rig = Rig::new(config());
    let upload = rig.upload(spec());
    let refusal = rig.complete(upload, None).unwrap_err();
    assert_eq!((refusal.reason, refusal.field), (Reason::FieldInvalid, Some("total_chunks")));
    rig.complete(upload, Some(0)).unwrap();
    assert_eq!(rig.object(upload), b"", "no chunks are an empty object");
}

#[test]
fn with_size_and_chunk_length_every_length_is_known() {
    let mut rig = Rig::new(config());
    let upload = rig.upload(promised(20, Some(50)));
    assert_eq!(rig.stored[&upload].record.total_chunks, Some(3));
    for (number, bytes) in [(0, 19), (0, 21), (1, 10), (2, 9), (2, 11), (2, 20)] {
        let chunk = send(number, &vec![1; bytes]);
        assert_eq!(rig.chunk(upload, &chunk).unwrap_err(), Reason::ChunkSizeBroken, "{number}");
    }
    for (number, bytes) in [(2, 10), (1, 20), (0, 20)] {
        rig.chunk(upload, &send(number, &vec![number as u8; bytes])).unwrap();
    }
    assert_eq!(rig.object(upload), [&[0; 20][..], &[1; 20], &[2; 10]].concat());
}

#[test]
fn without_the_size_a_shorter_chunk_is_the_last() {
    let mut rig = Rig::new(config());
    let upload = rig.upload(promised(20, None));
    assert_eq!(rig.chunk(upload, &send(0, &[0; 21])).unwrap_err(), Reason::ChunkSizeBroken);
    rig.chunk(upload, &send(3, &[3; 20])).unwrap();
    assert_eq!(rig.chunk(upload, &send(1, &[1; 5])).unwrap_err(), Reason::ChunkSizeBroken);
    rig.chunk(upload, &send(4, &[4; 5])).unwrap();
    assert_eq!(rig.stored[&upload].record.total_chunks, Some(5));
    assert_eq!(rig.chunk(upload, &send(5, &[5; 20])).unwrap_err(), Reason::LastConflict);
}

/// With a promised length every place is known, so nothing waits in the spool.
#[test]
fn promised_chunks_go_straight_to_their_place_in_any_order() {
    let mut rig = Rig::new(config());
    let upload = rig.upload(promised(20, None));
    for number in [2, 0, 1] {
        rig.chunk(upload, &send(number, &[number as u8; 20])).unwrap();
        let steps: Vec<_> = rig.stored[&upload].chunks.values().map(|chunk| chunk.place).collect();
        assert!(steps.iter().all(|place| *place == crate::record::ChunkPlace::Object));
    }
    rig.complete(upload, Some(3)).unwrap();
    assert_eq!(rig.object(upload), [[0; 20], [1; 20], [2; 20]].concat());
}

#[test]
fn more_than_was_declared_is_refused_at_once() {
    let mut rig = Rig::new(config());
    let upload = rig.upload(UploadSpec { expected_size_bytes: Some(30), ..spec() });
    rig.chunk(upload, &send(1, &[1; 20])).unwrap();
    assert_eq!(rig.chunk(upload, &send(0, &[0; 11])).unwrap_err(), Reason::SizeMismatch);
    rig.chunk(upload, &send(0, &[0; 10])).unwrap();
    rig.complete(upload, Some(2)).unwrap();
}

/// Less shows only when all is in.
#[test]
fn less_than_was_declared_fails_the_upload_and_gives_all_back() {
    let mut rig = Rig::new(config());
    let upload = rig.upload(UploadSpec { expected_size_bytes: Some(30), ..spec() });
    rig.chunk(upload, &send(0, &[0; 20]).last()).unwrap();
    assert_eq!(rig.state(upload), State::Failed);
    assert_eq!(rig.complete(upload, None).unwrap_err().reason, Reason::SizeMismatch);
    assert!(rig.partials.is_empty() && rig.objects.is_empty());
    let record = &rig.stored[&upload].record;
    assert_eq!(record.error.as_ref().unwrap().reason, Reason::SizeMismatch);
    assert!(!record.cleanup_pending);
}

#[test]
fn n_is_durable_before_the_holes_are_told() {
    let mut rig = Rig::new(config());
    let upload = rig.upload(spec());
    rig.chunk(upload, &send(1, &[1; 20])).unwrap();
    let call = rig.ask_complete(upload, Some(2));
    let record = rig.pick(|effect| {
        let fixes = |step: &Transition| matches!(step, Transition::FixTotal { .. });
        matches!(effect, Effect::Record { steps, .. } if steps.iter().any(fixes))
    });
    assert!(!rig.replies.contains_key(&call));
    rig.finish(record);
    assert_eq!(rig.replies[&call].as_ref().unwrap_err().reason, Reason::MissingChunks);
}
