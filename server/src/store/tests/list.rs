use super::*;
use crate::store::{Filter, Found, Room, Stage, Stretch};

const ROOMY: Room = Room { items: 1_000, bytes: 1 << 30, rows: 1_000_000 };

fn filter(stage: Stage) -> Filter {
    Filter {
        tenant: "t".into(),
        drive_id: DriveId::parse("d").unwrap(),
        request_id: None,
        filename: String::new(),
        stage,
    }
}

fn id(seed: u8) -> UploadId {
    UploadId::new(NODE, STORE, [seed; 15])
}

/// What a test makes of an upload.
#[derive(Clone, Copy, Debug)]
enum Life {
    Open,
    Ended(State),
    Swept(State),
}

fn life() -> impl Strategy<Value = Life> {
    let state = || {
        prop_oneof![
            Just(State::Completed),
            Just(State::Failed),
            Just(State::Aborted),
            Just(State::Expired)
        ]
    };
    prop_oneof![Just(Life::Open), state().prop_map(Life::Ended), state().prop_map(Life::Swept)]
}

/// One of two names, requests and drives each.
fn make(kept: &Kept, seed: u8, life: Life) -> StoredUpload {
    let mut record = UploadRecord { upload_id: id(seed), ..record() };
    let odd = |bit: u8| seed >> bit & 1 == 1;
    record.spec.filename = Filename::parse(if odd(0) { "odd" } else { "even" }).unwrap();
    record.spec.request_id = odd(1).then(|| RequestId::parse("r").unwrap());
    record.spec.drive_id = DriveId::parse(if odd(2) { "other" } else { "d" }).unwrap();
    let mut stored = StoredUpload::new(record.clone(), 1);
    let chunk = |bytes, place| ChunkRecord {
        attempt: 0,
        bytes,
        crc64nvme: 1,
        crc32c: 1,
        sha256: None,
        place,
    };
    let spooled = ChunkPlace::Spool(Extent { segment: 1, offset: 0, bytes: 7 });
    let mut steps = vec![
        Transition::PutChunk {
            number: 0,
            chunk: chunk(5, ChunkPlace::Object),
            total_chunks: Some(2),
        },
        Transition::PutChunk { number: 1, chunk: chunk(7, spooled), total_chunks: None },
    ];
    let object = Object { size_bytes: 12, crc64nvme: Some(1), sha256: None, stored: None };
    match life {
        Life::Open => {}
        Life::Ended(State::Completed) | Life::Swept(State::Completed) => {
            steps.push(Transition::PlaceChunk { number: 1, attempt: 0 });
            steps.push(Transition::Completed(object));
        }
        Life::Ended(state) | Life::Swept(state) => {
            steps.push(Transition::End { state, error: None });
        }
    }
    if matches!(life, Life::Swept(_)) {
        steps.push(Transition::CleanedUp);
    }
    steps.iter().for_each(|step| stored.apply(step, 0));
    steps.insert(0, Transition::Create(Box::new(record)));
    kept.take_steps(id(seed), 1, 77, &steps).unwrap();
    stored.record.update_ms = 77;
    stored
}

/// What a list has to say of an upload.
fn told(stored: &StoredUpload) -> Found {
    if !stored.record.state.ended() || stored.record.cleanup_pending {
        return Found::Live(stored.record.upload_id);
    }
    let bytes = |chunk: &ChunkRecord| chunk.bytes;
    let placed = stored.chunks.values().filter(|chunk| chunk.place == ChunkPlace::Object);
    Found::AtRest(Box::new(UploadView {
        record: stored.record.clone(),
        received_bytes: stored.chunks.values().map(bytes).sum(),
        received_count: stored.chunks.len() as u32,
        stored_bytes: placed.map(bytes).sum(),
    }))
}

fn fits(filter: &Filter, stored: &StoredUpload) -> bool {
    let UploadRecord { spec, state, cleanup_pending, .. } = &stored.record;
    spec.drive_id == filter.drive_id
        && (filter.filename.is_empty() || spec.filename.as_str() == filter.filename)
        && (filter.request_id.is_none() || spec.request_id == filter.request_id)
        && match filter.stage {
            Stage::Any => true,
            Stage::Live => !state.ended() || *cleanup_pending,
            Stage::Ended(wanted) => *state == wanted,
        }
}

fn stage() -> impl Strategy<Value = Stage> {
    let ended = prop_oneof![Just(State::Completed), Just(State::Aborted)].prop_map(Stage::Ended);
    prop_oneof![Just(Stage::Any), Just(Stage::Live), ended]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    /// Whatever room a stretch has, and whatever is made between two, all that was there when the
    /// walk began and fits is told once, in order.
    #[test]
    fn a_walk_tells_each_upload_once(
        old in vec(life(), 0..24),
        fresh in vec(life(), 24),
        rooms in vec((1..5usize, 1..100usize, 1..6usize), 200),
        stage in stage(),
        name in prop_oneof![Just(""), Just("odd")],
        by_request: bool,
    ) {
        let request_id = by_request.then(|| RequestId::parse("r").unwrap());
        let filter = Filter { request_id, filename: name.into(), ..filter(stage) };
        for kept in Kept::empty() {
            let uploads: Vec<StoredUpload> =
                (0..).zip(&old).map(|(seed, &life)| make(&kept, seed, life)).collect();
            let expected: Vec<Found> =
                uploads.iter().filter(|upload| fits(&filter, upload)).map(told).collect();
            let (mut found, mut after, mut fresh) = (Vec::new(), Some(0), (100..).zip(&fresh));
            for &(items, bytes, rows) in &rooms {
                let Some(from) = after else { break };
                let stretch = kept.list(&filter, from, Room { items, bytes, rows });
                prop_assert!(stretch.found.len() <= items);
                found.extend(stretch.found);
                after = stretch.next;
                if let Some((seed, &life)) = fresh.next() {
                    make(&kept, seed, life);
                }
            }
            prop_assert_eq!(after, None, "the walk ends");
            prop_assert_eq!(&found[..expected.len()], &expected[..]);
        }
    }
}

#[test]
fn an_upload_that_ends_or_goes_keeps_nobody_elses_place() {
    for kept in Kept::empty() {
        for seed in [0, 8, 16, 24, 32] {
            make(&kept, seed, Life::Swept(State::Aborted));
        }
        let room = Room { items: 2, ..ROOMY };
        let Stretch { next, .. } = kept.list(&filter(Stage::Any), 0, room);
        while kept.forget_ended(78, 2) {}
        make(&kept, 40, Life::Open);
        let rest = kept.list(&filter(Stage::Any), next.unwrap(), ROOMY);
        assert_eq!(rest.found, [Found::Live(id(40))], "its row isn't one that was used before");
    }
}

#[test]
fn a_list_keeps_to_its_tenant_and_counts_what_it_reads() {
    for kept in Kept::empty() {
        make(&kept, 0, Life::Swept(State::Aborted));
        make(&kept, 8, Life::Swept(State::Completed));
        let all = kept.list(&filter(Stage::Any), 0, ROOMY);
        assert_eq!(ROOMY.items - all.room.items, 2);
        assert_eq!(ROOMY.rows - all.room.rows, 4, "two uploads, and two chunks of the one");
        let foreign = Filter { tenant: "other".into(), ..filter(Stage::Any) };
        let none = kept.list(&foreign, 0, ROOMY);
        assert_eq!((none.found, ROOMY.rows - none.room.rows), (vec![], 2));
    }
}
