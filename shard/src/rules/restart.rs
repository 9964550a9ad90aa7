//! What a new process makes of what the old one left.

use super::rig::{Rig, STORE, config, send, spec};
use crate::{
    Effect, Event, Shard, ShardConfig,
    config::Spool,
    record::{ChunkPlace, UploadSpec},
};

fn in_memory() -> ShardConfig {
    ShardConfig { spool: Spool::Memory, ..config() }
}

/// Chunk 0 comes again with another length: chunk 1, at its place behind the old one, would be
/// overwritten, and the object would end before its size.
#[test]
fn what_lies_behind_a_lost_chunk_is_lost_with_it() {
    let mut rig = Rig::new(in_memory());
    let upload = rig.upload(spec());
    rig.open(upload, &send(0, &[9; 10]));
    for chunk in [send(0, &[1; 20]), send(1, &[2; 20])] {
        let stream = rig.open(upload, &chunk);
        rig.body(stream, &chunk);
        rig.settle_but(|effect| matches!(effect, Effect::DropBody { .. }));
        assert!(rig.answer(stream).unwrap().is_ok());
    }
    let place = |rig: &Rig, number| rig.stored[&upload].chunks[&number].place;
    assert!(matches!(place(&rig, 0), ChunkPlace::Memory(_)), "a rival holds its place");
    assert_eq!(place(&rig, 1), ChunkPlace::Object);
    rig.restart(in_memory());
    rig.settle();
    assert!(rig.stored[&upload].chunks.is_empty());
    rig.chunk(upload, &send(0, &[3; 25])).unwrap();
    rig.chunk(upload, &send(1, &[2; 20]).last()).unwrap();
    assert_eq!(rig.object(upload), [[3; 25].as_slice(), &[2; 20]].concat());
}

/// With a promise every place is known for good.
#[test]
fn what_has_its_promised_place_outlives_the_chunk_before_it() {
    let mut rig = Rig::new(in_memory());
    let upload = rig.upload(UploadSpec { chunk_size_bytes: Some(20), ..spec() });
    rig.open(upload, &send(0, &[9; 20]));
    for chunk in [send(0, &[1; 20]), send(1, &[2; 20])] {
        let stream = rig.open(upload, &chunk);
        rig.body(stream, &chunk);
        rig.settle_but(|effect| matches!(effect, Effect::DropBody { .. }));
    }
    rig.restart(in_memory());
    rig.settle();
    let left: Vec<_> = rig.stored[&upload].chunks.keys().copied().collect();
    assert_eq!(left, [1]);
    rig.chunk(upload, &send(0, &[1; 20])).unwrap();
    rig.complete(upload, Some(2)).unwrap();
    assert_eq!(rig.object(upload), [[1; 20], [2; 20]].concat());
}

/// What was acked as safe is there, and goes to its place without its client.
#[test]
fn chunks_in_the_spool_outlive_the_process() {
    let mut rig = Rig::new(config());
    let upload = rig.upload(spec());
    rig.chunk(upload, &send(1, &[2; 20]).last()).unwrap();
    rig.restart(config());
    rig.chunk(upload, &send(0, &[1; 20])).unwrap();
    assert_eq!(rig.object(upload), [[1; 20], [2; 20]].concat());
    assert_eq!(rig.segments_removed, [0]);
}

/// An upload that can't be read may have bytes there, beside those of uploads that end.
#[test]
fn no_segment_goes_while_an_upload_is_damaged() {
    let mut rig = Rig::new(config());
    let upload = rig.upload(spec());
    rig.chunk(upload, &send(1, &[2; 20]).last()).unwrap();
    rig.shard = Shard::new(config());
    let uploads = vec![rig.stored[&upload].clone().into()];
    let segments = vec![0, 7];
    rig.event(Event::StoreLoaded { store: STORE, uploads, segments, keeps_segments: true });
    rig.chunk(upload, &send(0, &[1; 20])).unwrap();
    assert_eq!(rig.object(upload), [[1; 20], [2; 20]].concat());
    assert_eq!(rig.segments_removed, []);
}
