//! Where bytes are written, and that no two writers ever meet.

use super::rig::{Rig, config, send, spec};
use crate::{
    Effect,
    effect::PlaceFrom,
    record::{ChunkPlace, State},
};

fn is_record(effect: &Effect) -> bool {
    matches!(effect, Effect::Record { .. })
}

fn is_place(effect: &Effect) -> bool {
    matches!(effect, Effect::Place { .. })
}

/// Without a promise the winner's length says where the next chunk goes: a longer rival that is
/// still being written in place would write into it.
#[test]
fn a_rival_in_place_keeps_its_neighbours_out() {
    let mut rig = Rig::new(config());
    let upload = rig.upload(spec());
    let long = send(0, &[1; 80]).force();
    let slow = rig.open(upload, &long);
    rig.chunk(upload, &send(0, &[2; 20])).unwrap();
    let next = send(1, &[3; 30]);
    let stream = rig.open(upload, &next);
    rig.body(stream, &next);
    let mut in_place = Vec::new();
    for effect in &rig.held {
        if let Effect::Place { offset, .. } = effect {
            in_place.push(*offset);
        }
    }
    assert_eq!(in_place, [], "nothing is copied where the rival may write");
    rig.settle();
    let place = rig.stored[&upload].chunks[&1].place;
    assert!(matches!(place, ChunkPlace::Spool(_)), "{place:?}");
    rig.body(slow, &long);
    rig.settle();
    assert!(rig.answer(slow).unwrap().is_err());
    rig.complete(upload, Some(2)).unwrap();
    assert_eq!(rig.object(upload), [[2; 20].as_slice(), &[3; 30]].concat());
}

/// A crash between the copy and the record would leave the acked attempt's record with the
/// forced attempt's bytes.
#[test]
fn force_overwrites_nothing_before_it_is_durable() {
    let mut rig = Rig::new(config());
    let upload = rig.upload(spec());
    rig.chunk(upload, &send(0, &[1; 20])).unwrap();
    let forced = send(0, &[2; 20]).force();
    let stream = rig.open(upload, &forced);
    rig.body(stream, &forced);
    let close = rig.pick(|effect| matches!(effect, Effect::CloseBody { .. }));
    rig.finish(close);
    assert!(!rig.held.iter().any(is_place), "the record comes first");
    let record = rig.pick(is_record);
    rig.finish(record);
    assert!(rig.held.iter().any(is_place));
    rig.settle();
    rig.complete(upload, Some(1)).unwrap();
    assert_eq!(rig.object(upload), [2; 20]);
}

#[test]
fn what_is_copied_is_not_freed_under_the_copy() {
    let mut rig = Rig::new(config());
    let upload = rig.upload(spec());
    rig.chunk(upload, &send(1, &[1; 20])).unwrap();
    let first = send(0, &[9; 20]);
    let stream = rig.open(upload, &first);
    rig.body(stream, &first);
    let close = rig.pick(|effect| matches!(effect, Effect::CloseBody { .. }));
    rig.finish(close);
    let copy = rig.pick(is_place);
    let forced = send(1, &[2; 20]).force();
    rig.chunk(upload, &forced).unwrap();
    assert_eq!(rig.segments_removed, [], "the copy still reads it");
    rig.finish(copy);
    rig.settle();
    rig.complete(upload, Some(2)).unwrap();
    assert_eq!(rig.object(upload), [[9; 20], [2; 20]].concat());
    assert_eq!(rig.segments_removed.len(), 1, "both attempts were in one segment");
}

/// What is sealed is never opened again, so whatever recovery would redo on it is durable first.
#[test]
fn all_steps_are_durable_before_the_object_is_sealed() {
    let mut rig = Rig::new(config());
    let upload = rig.upload(crate::record::UploadSpec { hash: true, ..spec() });
    rig.chunk(upload, &send(1, &[1; 20]).last()).unwrap();
    let first = send(0, &[9; 20]);
    let stream = rig.open(upload, &first);
    rig.body(stream, &first);
    while let Some(effect) = rig.held.pop_front() {
        if let Effect::Seal { .. } = effect {
            let stored = &rig.stored[&upload];
            assert!(stored.chunks.values().all(|chunk| chunk.place == ChunkPlace::Object));
            let hashed = stored.hash_state.as_deref().map(|state| &state[32..40]);
            assert_eq!(hashed, Some(40u64.to_be_bytes().as_slice()));
        }
        rig.finish(effect);
    }
    assert_eq!(rig.state(upload), State::Completed);
}

#[test]
fn bytes_go_straight_to_their_place_when_it_is_known() {
    let mut rig = Rig::new(config());
    let upload = rig.upload(spec());
    rig.chunk(upload, &send(0, &[1; 20])).unwrap();
    assert_eq!(rig.stored[&upload].chunks[&0].place, ChunkPlace::Object);
    rig.chunk(upload, &send(2, &[3; 20])).unwrap();
    assert!(matches!(rig.stored[&upload].chunks[&2].place, ChunkPlace::Spool(_)));
    let filler = send(1, &[2; 20]);
    let stream = rig.open(upload, &filler);
    rig.body(stream, &filler);
    let close = rig.pick(|effect| matches!(effect, Effect::CloseBody { .. }));
    rig.finish(close);
    let copies = rig.held.iter().filter(|e| {
        matches!(e, Effect::Place { from: PlaceFrom::Spool(_), offset: 40, bytes: 20, .. })
    });
    assert_eq!(copies.count(), 1);
}
