//! What every store must do, each test against both.

mod damaged;
mod kept;
mod list;
mod local;
mod redis;

use std::collections::BTreeMap;

use proptest::{collection::vec, option, prelude::*};
use sluice_proto::{
    error::Reason,
    ids::{DriveId, Filename, NodeId, RequestId, StoreId, UploadId},
};
use sluice_shard::{
    effect::UploadView,
    keys::BodyId,
    parts::Schedule,
    record::{
        ChunkPlace, ChunkRecord, EndError, Extent, Object, State, StoredAs, StoredUpload,
        Transition, UploadRecord, UploadSpec,
    },
};

use self::kept::Kept;
use super::Loaded;

const NODE: u64 = u64::MAX - 7;
const STORE: StoreId = StoreId(3);

fn record() -> UploadRecord {
    UploadRecord {
        upload_id: UploadId::new(NODE, STORE, [9; 15]),
        spec: UploadSpec {
            tenant: "t".into(),
            drive_id: DriveId::parse("d").unwrap(),
            node_id: NodeId::parse("n").unwrap(),
            filename: Filename::parse("é\u{202e}.txt").unwrap(),
            mime_type: "text/plain".into(),
            metadata: BTreeMap::from([("k".into(), "\"v\"\n".into())]),
            expected_size_bytes: Some(1 << 40),
            chunk_size_bytes: None,
            max_size_bytes: 1 << 41,
            sha256: None,
            hash: false,
            if_not_exists: true,
            request_id: Some(RequestId::parse("r").unwrap()),
            fingerprint: [200; 32],
        },
        state: State::Pending,
        total_chunks: None,
        create_ms: 10,
        update_ms: 10,
        expire_ms: 99,
        object: None,
        error: None,
        cleanup_pending: false,
        schedule: None,
        multipart_id: None,
    }
}

fn place() -> impl Strategy<Value = ChunkPlace> {
    prop_oneof![
        Just(ChunkPlace::Object),
        Just(ChunkPlace::Discarded),
        Just(ChunkPlace::Redis),
        any::<u64>().prop_map(|body| ChunkPlace::Memory(BodyId(body))),
        (any::<u32>(), any::<u32>(), any::<u32>()).prop_map(|(segment, offset, bytes)| {
            ChunkPlace::Spool(Extent { segment, offset: offset.into(), bytes: bytes.into() })
        }),
    ]
}

fn put_chunk() -> impl Strategy<Value = Transition> {
    let chunk = (0..3u32, any::<u32>(), any::<u64>(), any::<u32>(), option::of(any::<[u8; 32]>()));
    (0..6u32, chunk, place(), option::of(6..9u32)).prop_map(
        |(number, chunk, place, total_chunks)| {
            let (attempt, bytes, crc64nvme, crc32c, sha256) = chunk;
            let sha256 = sha256.map(Box::new);
            let bytes = bytes.into();
            let chunk = ChunkRecord { attempt, bytes, crc64nvme, crc32c, sha256, place };
            Transition::PutChunk { number, chunk, total_chunks }
        },
    )
}

fn schedule() -> impl Strategy<Value = Option<Schedule>> {
    option::of((0..3u8, any::<u32>()).prop_map(|(kind, bytes)| match (kind, bytes.into()) {
        (0, size_bytes) => Schedule::Single { size_bytes },
        (1, part_bytes) => Schedule::Fixed { part_bytes },
        (_, first_part_bytes) => Schedule::Growing { first_part_bytes },
    }))
}

/// Few, so that parts are often alike.
fn stored_as() -> impl Strategy<Value = StoredAs> {
    let etag = prop_oneof![Just("a"), Just("\u{e9}\" b-2 c")];
    (etag, option::of(prop_oneof![Just("null"), Just("v.1_-")])).prop_map(|(etag, version)| {
        StoredAs { etag: etag.to_owned(), version_id: version.map(str::to_owned) }
    })
}

/// What is done for objects in S3 alone.
fn step_of_parts() -> impl Strategy<Value = Transition> {
    prop_oneof![
        1 => (0..6u32).prop_map(|number| Transition::BindChunk { number }),
        1 => "[ -~]{1,9}".prop_map(|multipart_id| Transition::BeginMultipart { multipart_id }),
        2 => (0..4u32, any::<u32>())
            .prop_map(|(part, bytes)| Transition::PlanPart { part, bytes: bytes.into() }),
        3 => (0..4u32, stored_as())
            .prop_map(|(part, stored)| Transition::StorePart { part, stored }),
    ]
}

fn step() -> impl Strategy<Value = Transition> {
    let error =
        || option::of(Just(EndError { reason: Reason::ObjectMismatch, message: "bad sum".into() }));
    let object = || {
        let sums = (option::of(any::<u64>()), option::of(any::<[u8; 32]>()));
        (any::<u32>(), sums, option::of(stored_as())).prop_map(
            |(size_bytes, (crc64nvme, sha256), stored)| Object {
                size_bytes: size_bytes.into(),
                crc64nvme,
                sha256,
                stored,
            },
        )
    };
    let ends = prop_oneof![Just(State::Failed), Just(State::Aborted), Just(State::Expired)];
    prop_oneof![
        6 => put_chunk(),
        5 => step_of_parts(),
        1 => (0..6u32).prop_map(|number| Transition::LoseChunk { number }),
        2 => (0..6u32, 0..3u32)
            .prop_map(|(number, attempt)| Transition::PlaceChunk { number, attempt }),
        1 => (0..6u32, 0..3u32)
            .prop_map(|(number, attempt)| Transition::DropChunk { number, attempt }),
        1 => (6..9u32, option::of(any::<[u8; 32]>()))
            .prop_map(|(total_chunks, sha256)| Transition::FixTotal { total_chunks, sha256 }),
        1 => vec(any::<u8>(), 0..90).prop_map(Transition::HashState),
        1 => option::of(object()).prop_map(|object| Transition::Completing { object }),
        1 => object().prop_map(Transition::Completed),
        1 => (ends, error()).prop_map(|(state, error)| Transition::End { state, error }),
        1 => Just(Transition::CleanedUp),
    ]
}

/// What ended is swept once, and then nothing more can come.
fn possible(steps: Vec<Transition>) -> Vec<Transition> {
    let ends = |step: &_| matches!(step, Transition::Completed(_) | Transition::End { .. });
    let last_end = steps.iter().rposition(ends);
    let sweep = (0..steps.len()).rev().find(|&at| steps[at] == Transition::CleanedUp);
    let over = last_end.zip(sweep).filter(|(end, sweep)| end < sweep).map(|(_, sweep)| sweep);
    let steps = steps.into_iter().enumerate().take(over.map_or(usize::MAX, |over| over + 1));
    let is_kept = |at, step: &_| over == Some(at) || *step != Transition::CleanedUp;
    steps.filter(|(at, step)| is_kept(*at, step)).map(|(_, step)| step).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// What is loaded is what the reference says, also if batches come twice and overlap.
    #[test]
    fn a_store_holds_what_its_steps_say(
        schedule in schedule(),
        steps in vec(step(), 0..40),
        cuts in vec(0..40usize, 1..6),
    ) {
        let record = UploadRecord { schedule, ..record() };
        let upload_id = record.upload_id;
        let mut all = vec![Transition::Create(Box::new(record.clone()))];
        all.extend(possible(steps));
        let mut stored = StoredUpload::new(record, 1);
        all[1..].iter().for_each(|step| stored.apply(step, 0));
        stored.record.update_ms = 77;
        for kept in Kept::empty() {
            let mut done = 0;
            for cut in cuts.iter().copied().chain([all.len()]) {
                let (from, to) = (cut.min(done), cut.max(done).min(all.len()));
                kept.take_steps(upload_id, from as u64 + 1, 77, &all[from..to]).unwrap();
                done = done.max(to);
            }
            let one = kept.load_one(upload_id, stored.chunks.len());
            prop_assert_eq!(one, Loaded::Whole(Box::new(stored.clone())));
            let is_open = !stored.record.state.ended() || stored.record.cleanup_pending;
            let open = if is_open { vec![stored.clone()] } else { Vec::new() };
            prop_assert_eq!(kept.load_open(), open);
        }
    }
}

#[test]
fn a_process_that_was_succeeded_records_nothing() {
    for kept in Kept::empty() {
        let create = [Transition::Create(Box::new(record()))];
        let upload_id = record().upload_id;
        kept.take_steps(upload_id, 1, 5, &create).unwrap();
        let step = [Transition::FixTotal { total_chunks: 1, sha256: None }];
        let later = kept.succeed();
        assert_eq!(later.load_open().len(), 1);
        let error = kept.take_steps(upload_id, 2, 5, &step).unwrap_err();
        assert!(error.contains("succeeded"), "{error}");
        later.take_steps(upload_id, 2, 5, &step).unwrap();
        assert_eq!(later.load_open()[0].rev, 2);
    }
}

#[test]
fn a_step_whose_predecessor_is_missing_is_refused() {
    for kept in Kept::empty() {
        let upload_id = record().upload_id;
        let step = [Transition::Completing { object: None }];
        kept.take_steps(upload_id, 1, 5, &step).unwrap_err();
        kept.take_steps(upload_id, 2, 5, &step).unwrap_err();
        assert_eq!(kept.load_one(upload_id, 9), Loaded::Nothing);
        kept.take_steps(upload_id, 1, 5, &[Transition::Create(Box::new(record()))]).unwrap();
        kept.take_steps(upload_id, 3, 5, &step).unwrap_err();
        kept.take_steps(upload_id, 2, 5, &step).unwrap();
    }
}

#[test]
fn what_ended_long_ago_is_forgotten_and_nothing_else() {
    for kept in Kept::empty() {
        let upload_id = record().upload_id;
        let chunk = ChunkRecord {
            attempt: 0,
            bytes: 1,
            crc64nvme: 1,
            crc32c: 1,
            sha256: None,
            place: ChunkPlace::Object,
        };
        let steps = [
            Transition::Create(Box::new(record())),
            Transition::PutChunk { number: 0, chunk: chunk.clone(), total_chunks: None },
            Transition::PutChunk { number: 7, chunk, total_chunks: None },
            Transition::End { state: State::Aborted, error: None },
        ];
        kept.take_steps(upload_id, 1, 5, &steps).unwrap();
        assert!(!kept.forget_ended(1_000, 9), "it isn't swept");
        kept.take_steps(upload_id, 5, 6, &[Transition::CleanedUp]).unwrap();
        assert!(!kept.forget_ended(6, 9), "it is too young");
        assert_eq!(kept.load_one(upload_id, 0), Loaded::TooLarge);
        assert!(kept.forget_ended(7, 1));
        assert_eq!(kept.load_one(upload_id, 9), Loaded::Nothing);
        while kept.forget_ended(7, 1) {}
        assert_eq!(kept.chunk_records(), 0);
    }
}
