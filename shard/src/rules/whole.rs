//! Small chunks that come whole with their header: taken at once, or not at all.

use sluice_proto::error::Reason;

use super::rig::{Rig, config, send, spec};
use crate::{
    Effect, ShardConfig,
    config::{Objects, Spool},
    effect::StreamReply,
    record::UploadSpec,
};

fn discards() -> ShardConfig {
    ShardConfig { objects: Objects::Discard, spool: Spool::Memory, ..config() }
}

fn opens(effect: &Effect) -> bool {
    matches!(effect, Effect::CloseBody { .. } | Effect::DropBody { .. })
}

#[test]
fn it_is_answered_by_one_word_and_holds_nothing_after() {
    for config in [config(), discards()] {
        let mut rig = Rig::new(config);
        let upload = rig.upload(spec());
        let stream = rig.whole(upload, &send(0, &[1; 20]).summed());
        rig.settle();
        assert!(matches!(rig.told[&stream][..], [StreamReply::Acked(_)]), "{:?}", rig.told);
        let last = rig.whole(upload, &send(1, &[2; 20]).last());
        rig.settle();
        assert_eq!(rig.answer(last).unwrap().unwrap().received_bytes, 40);
        assert_eq!(rig.shard.stats().budget_used_bytes, 0);
        assert_eq!(rig.shard.in_flight(), 0);
    }
}

#[test]
fn what_is_dropped_opens_no_body() {
    let mut rig = Rig::new(discards());
    let upload = rig.upload(spec());
    for (number, wrong) in [(0, false), (1, true), (0, false)] {
        let mut send = send(number, &[number as u8; 20]).summed();
        if wrong {
            send.checks.crc32c = Some(7);
        }
        rig.whole(upload, &send);
        assert!(!rig.held.iter().any(opens));
        assert_eq!(rig.shard.stats().budget_used_bytes, 0);
    }
}

#[test]
fn the_same_rules_hold_as_for_any_other() {
    for config in [config(), discards()] {
        let mut rig = Rig::new(config);
        let upload = rig.upload(spec());
        rig.chunk(upload, &send(0, &[1; 20])).unwrap();
        let mut answer = |send| {
            let stream = rig.whole(upload, &send);
            rig.settle();
            rig.answer(stream).expect("it is answered")
        };
        assert!(answer(send(0, &[1; 20])).unwrap().duplicate, "by its bytes");
        assert!(answer(send(0, &[1; 20]).summed()).unwrap().duplicate, "by its sums");
        assert_eq!(answer(send(0, &[2; 20])), Err(Reason::ChunkConflict));
        let mut wrong = send(1, &[2; 20]).summed();
        wrong.checks.crc64nvme = Some(7);
        assert_eq!(answer(wrong), Err(Reason::ChecksumMismatch));
        assert_eq!(answer(send(1, &[2; 20])).unwrap().received_count, 2);
        assert_eq!(rig.shard.stats().budget_used_bytes, 0);
        assert_eq!(rig.shard.in_flight(), 0);
    }
}

/// Its bytes are already there: they must not wait where nobody counts them.
#[test]
fn without_memory_it_is_to_be_opened_as_any_other() {
    let mut rig = Rig::new(ShardConfig { budget_bytes: 100, ..config() });
    let upload = rig.upload(UploadSpec { chunk_size_bytes: Some(100), ..spec() });
    let first = rig.open(upload, &send(0, &[1; 100]));
    let small = send(1, &[2; 100]);
    let stream = rig.whole(upload, &small);
    assert_eq!(rig.told[&stream], [StreamReply::Again]);
    assert_eq!(rig.shard.stats().parked_streams, 0);
    let waits = rig.open(upload, &small);
    assert_eq!(rig.told[&waits], [StreamReply::Parked]);
    rig.body(first, &send(0, &[1; 100]));
    rig.settle();
    rig.body(waits, &small);
    rig.settle();
    assert!(rig.answer(waits).unwrap().is_ok());
}

#[test]
fn an_upload_that_must_be_read_first_has_it_opened_as_any_other() {
    let mut rig = Rig::new(ShardConfig { ended_max: 0, ..config() });
    let upload = rig.upload(spec());
    rig.chunk(upload, &send(0, &[1; 20]).last()).unwrap();
    let stream = rig.whole(upload, &send(0, &[1; 20]).last());
    assert_eq!(rig.told[&stream], [StreamReply::Again]);
    assert!(rig.chunk(upload, &send(0, &[1; 20]).last()).unwrap().duplicate);
}
