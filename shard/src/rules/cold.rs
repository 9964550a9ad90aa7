//! Ended uploads make room, and are there all the same for whoever asks.

use std::collections::BTreeMap;

use sluice_proto::{error::Reason, ids::UploadId};

use super::rig::{Rig, config, send, spec};
use crate::{
    Effect, Event, ShardConfig,
    event::Failure,
    record::{Object, State, Transition, UploadSpec},
};

fn is_load(effect: &Effect) -> bool {
    matches!(effect, Effect::Load { .. })
}

/// More uploads than may be open, one after the other.
fn ended(rig: &mut Rig) -> Vec<UploadId> {
    let uploads = (0..3 * config().uploads_max).map(|number| {
        let upload = rig.upload(spec());
        rig.chunk(upload, &send(0, &[number as u8; 20]).last()).unwrap();
        upload
    });
    uploads.collect()
}

#[test]
fn only_open_uploads_count_against_their_limit() {
    let mut rig = Rig::new(config());
    let uploads = ended(&mut rig);
    assert_eq!(rig.shard.stats().uploads[State::Completed as usize], config().ended_max);
    assert_eq!(rig.state(uploads[0]), State::Completed);
    assert!(rig.chunk(uploads[1], &send(0, &[1; 20]).last()).unwrap().duplicate);
    assert_eq!(rig.abort(uploads[2]), Err(Reason::UploadEnded));
    assert_eq!(rig.shard.stats().uploads[State::Completed as usize], config().ended_max);
}

#[test]
fn records_of_ended_uploads_give_way_to_new_chunks() {
    let records_max = 8;
    let mut rig =
        Rig::new(ShardConfig { ended_max: 100, chunk_records_max: records_max, ..config() });
    ended(&mut rig);
    let upload = rig.upload(spec());
    rig.chunk(upload, &send(0, &[1; 20])).unwrap();
    assert!(rig.shard.stats().uploads[State::Completed as usize] <= records_max * 3 / 4);
}

#[test]
fn long_metadata_counts_against_the_memory_for_uploads() {
    let mut rig = Rig::new(ShardConfig { upload_bytes_max: 30_000, ..config() });
    let long =
        UploadSpec { metadata: BTreeMap::from([("k".to_owned(), "v".repeat(8_000))]), ..spec() };
    let open: Vec<_> = (0..4).map(|_| rig.upload(long.clone())).collect();
    let (_, call) = rig.initiate(spec());
    assert_eq!(rig.replies[&call].as_ref().unwrap_err().reason, Reason::TooManyUploads);
    rig.abort(open[0]).unwrap();
    rig.upload(spec());
    assert_eq!(rig.state(open[0]), State::Aborted);
}

#[test]
fn what_no_store_knows_is_unknown_and_a_store_that_fails_is_down() {
    let mut rig = Rig::new(config());
    let uploads = ended(&mut rig);
    rig.stored.remove(&uploads[0]);
    assert_eq!(rig.view(uploads[0]).unwrap_err(), Reason::UploadUnknown);
    rig.holds_loads = true;
    let stream = rig.open(uploads[1], &send(0, &[1; 20]).last());
    let Effect::Load { op, .. } = rig.pick(is_load) else { unreachable!("it was picked") };
    rig.event(Event::Done { op, result: Err(Failure::Unavailable) });
    assert_eq!(rig.answer(stream), Some(Err(Reason::BackendDown)));
}

/// It would wait for bytes that never come.
#[test]
fn a_chunk_that_is_cut_while_its_upload_is_read_leaves_nothing() {
    let mut rig = Rig::new(config());
    let uploads = ended(&mut rig);
    rig.holds_loads = true;
    let stream = rig.open(uploads[0], &send(0, &[7; 21]));
    rig.event(Event::ChunkCut { stream });
    rig.settle();
    assert_eq!(rig.answer(stream), None);
    assert_eq!((rig.shard.in_flight(), rig.shard.stats().streams), (0, 0));
    assert_eq!(rig.shard.stats().uploads[State::Completed as usize], config().ended_max);
}

/// As its store had it when one of two chunks was in, and the metadata when it was over.
fn gone_back(rig: &mut Rig, end: impl FnOnce(&mut Rig, UploadId) -> Transition) -> UploadId {
    let upload = rig.upload(spec());
    rig.chunk(upload, &send(0, &[1; 20])).unwrap();
    let before = rig.stored[&upload].clone();
    rig.chunk(upload, &send(1, &[2; 20])).unwrap();
    let end = end(rig, upload);
    assert!(!rig.stored[&upload].record.cleanup_pending);
    rig.stored.insert(upload, before);
    rig.lost_ends.insert(upload, end);
    upload
}

fn complete(rig: &mut Rig, upload: UploadId) -> Transition {
    rig.complete(upload, Some(2)).unwrap();
    Transition::Completed(rig.stored[&upload].record.object.clone().unwrap())
}

fn abort(rig: &mut Rig, upload: UploadId) -> Transition {
    rig.abort(upload).unwrap();
    Transition::End { state: State::Aborted, error: None }
}

#[test]
fn an_upload_whose_store_lost_its_end_isnt_open_again() {
    for is_asked in [true, false] {
        for end in [complete, abort] {
            let mut rig = Rig::new(config());
            let upload = gone_back(&mut rig, end);
            let state = rig.lost_ends[&upload].clone();
            // The first to end is the first to leave memory.
            ended(&mut rig);
            if !is_asked {
                rig.restart(config());
            }
            let size_bytes = match &state {
                Transition::Completed(Object { size_bytes, .. }) => *size_bytes,
                _ => 20,
            };
            let view = rig.view(upload).unwrap();
            rig.settle();
            let record = &rig.stored[&upload].record;
            assert!(record.state.ended() && !record.cleanup_pending, "recorded again");
            assert_eq!((view.record.state, view.received_bytes), (record.state, size_bytes));
            assert_eq!(rig.abort(upload).is_ok(), record_is_aborted(&rig, upload));
            assert!(rig.chunk(upload, &send(1, &[3; 20])).is_err(), "nothing more comes");
        }
    }
}

fn record_is_aborted(rig: &Rig, upload: UploadId) -> bool {
    rig.stored[&upload].record.state == State::Aborted
}
