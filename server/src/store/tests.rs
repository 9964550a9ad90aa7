mod list;

use std::collections::BTreeMap;

use proptest::{collection::vec, option, prelude::*};
use rusqlite::Connection;
use sluice_proto::{
    error::Reason,
    ids::{DriveId, Filename, NodeId, RequestId, StoreId, UploadId},
};
use sluice_shard::{
    effect::UploadView,
    keys::BodyId,
    record::{
        ChunkPlace, ChunkRecord, EndError, Extent, Object, State, StoredUpload, Transition,
        UploadRecord, UploadSpec,
    },
};

use super::{Fence, Loaded, forget_ended, load_one, load_open, migrations, take_fence, take_steps};

const NODE: u64 = u64::MAX - 7;

fn open() -> (Connection, Fence) {
    let conn = Connection::open_in_memory().unwrap();
    migrations().iter().for_each(|migration| conn.execute_batch(migration).unwrap());
    let fence = take_fence(&conn, NODE).unwrap();
    (conn, fence)
}

fn record() -> UploadRecord {
    UploadRecord {
        upload_id: UploadId::new(NODE, StoreId(3), [9; 15]),
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
    }
}

fn place() -> impl Strategy<Value = ChunkPlace> {
    prop_oneof![
        Just(ChunkPlace::Object),
        Just(ChunkPlace::Discarded),
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

fn step() -> impl Strategy<Value = Transition> {
    let error =
        || option::of(Just(EndError { reason: Reason::ObjectMismatch, message: "bad sum".into() }));
    let object = || {
        let parts = (any::<u32>(), option::of(any::<u64>()), option::of(any::<[u8; 32]>()));
        parts.prop_map(|(size_bytes, crc64nvme, sha256)| Object {
            size_bytes: size_bytes.into(),
            crc64nvme,
            sha256,
        })
    };
    let ends = prop_oneof![Just(State::Failed), Just(State::Aborted), Just(State::Expired)];
    prop_oneof![
        6 => put_chunk(),
        1 => (0..6u32).prop_map(|number| Transition::LoseChunk { number }),
        2 => (0..6u32, 0..3u32)
            .prop_map(|(number, attempt)| Transition::PlaceChunk { number, attempt }),
        1 => (6..9u32, option::of(any::<[u8; 32]>()))
            .prop_map(|(total_chunks, sha256)| Transition::FixTotal { total_chunks, sha256 }),
        1 => vec(any::<u8>(), 0..90).prop_map(Transition::HashState),
        1 => option::of(object()).prop_map(|object| Transition::Completing { object }),
        1 => object().prop_map(Transition::Completed),
        1 => (ends, error()).prop_map(|(state, error)| Transition::End { state, error }),
        1 => Just(Transition::CleanedUp),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// What is loaded is what the reference says, also if batches come twice and overlap.
    #[test]
    fn a_store_holds_what_its_steps_say(steps in vec(step(), 0..40), cuts in vec(0..40usize, 1..6)) {
        let (conn, fence) = open();
        let upload_id = record().upload_id;
        let mut all = vec![Transition::Create(Box::new(record()))];
        all.extend(steps);
        let mut stored =
            StoredUpload { record: record(), chunks: BTreeMap::new(), hash_state: None, rev: 1 };
        all[1..].iter().for_each(|step| stored.apply(step, 0));
        let mut done = 0;
        for cut in cuts.into_iter().chain([all.len()]) {
            let (from, to) = (cut.min(done), cut.max(done).min(all.len()));
            take_steps(&conn, fence, &upload_id, from as u64 + 1, 77, &all[from..to]).unwrap();
            done = done.max(to);
        }
        stored.record.update_ms = 77;
        let is_open = !stored.record.state.ended() || stored.record.cleanup_pending;
        let open = if is_open { vec![stored.clone()] } else { Vec::new() };
        prop_assert_eq!(load_open(&conn).unwrap(), open);
        let one = load_one(&conn, &upload_id, stored.chunks.len()).unwrap();
        prop_assert_eq!(one, Loaded::Whole(Box::new(stored)));
    }
}

#[test]
fn a_process_that_was_succeeded_records_nothing() {
    let (conn, old) = open();
    let new = take_fence(&conn, NODE).unwrap();
    assert_ne!(old, new);
    let create = [Transition::Create(Box::new(record()))];
    let upload_id = record().upload_id;
    let error = take_steps(&conn, old, &upload_id, 1, 5, &create).unwrap_err();
    assert!(error.to_string().contains("succeeded"), "{error}");
    assert_eq!(load_open(&conn).unwrap(), []);
    take_steps(&conn, new, &upload_id, 1, 5, &create).unwrap();
    assert_eq!(load_open(&conn).unwrap().len(), 1);
}

#[test]
fn a_step_whose_predecessor_is_missing_is_refused() {
    let (conn, fence) = open();
    let upload_id = record().upload_id;
    let step = [Transition::Completing { object: None }];
    assert!(take_steps(&conn, fence, &upload_id, 2, 5, &step).is_err());
    take_steps(&conn, fence, &upload_id, 1, 5, &[Transition::Create(Box::new(record()))]).unwrap();
    assert!(take_steps(&conn, fence, &upload_id, 3, 5, &step).is_err());
    take_steps(&conn, fence, &upload_id, 2, 5, &step).unwrap();
}

#[test]
fn what_ended_long_ago_is_forgotten_and_nothing_else() {
    let (conn, fence) = open();
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
    take_steps(&conn, fence, &upload_id, 1, 5, &steps).unwrap();
    assert!(!forget_ended(&conn, fence, 1_000, 9).unwrap(), "it isn't swept");
    take_steps(&conn, fence, &upload_id, 5, 6, &[Transition::CleanedUp]).unwrap();
    assert!(!forget_ended(&conn, fence, 6, 9).unwrap(), "it is too young");
    assert_eq!(load_one(&conn, &upload_id, 0).unwrap(), Loaded::TooLarge);
    assert!(forget_ended(&conn, fence, 7, 1).unwrap());
    assert_eq!(load_one(&conn, &upload_id, 9).unwrap(), Loaded::Nothing);
    while forget_ended(&conn, fence, 7, 1).unwrap() {}
    let chunks: i64 = conn.query_row("SELECT count(*) FROM chunks", (), |row| row.get(0)).unwrap();
    assert_eq!(chunks, 0);
    take_fence(&conn, NODE).unwrap();
    assert!(forget_ended(&conn, fence, 7, 9).is_err());
}

#[test]
fn a_start_reads_by_index_what_is_open_alone() {
    let (conn, _) = open();
    for (select, index) in [
        ("SELECT * FROM uploads WHERE state < 3 OR cleanup_pending", "uploads_open"),
        (
            "SELECT upload FROM uploads WHERE NOT (state < 3 OR cleanup_pending)
             AND update_ms < 1 LIMIT 1",
            "uploads_ended",
        ),
    ] {
        let plan: String = conn
            .query_row(&format!("EXPLAIN QUERY PLAN {select}"), (), |row| row.get("detail"))
            .unwrap();
        assert!(plan.contains(index), "{plan}");
    }
}
