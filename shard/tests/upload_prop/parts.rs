//! Whatever the chunks are, the parts under them are S3's, and the same for every order.

use std::{collections::BTreeMap, ops::Range};

use proptest::prelude::*;
use sluice_shard::parts::{
    PART_BYTES_BASE, PART_BYTES_MAX, PART_BYTES_MIN, PARTS_MAX, Plan, Schedule,
};

const MIB: u64 = 1 << 20;

fn plans() -> impl Strategy<Value = Plan> {
    (0u64..=64, prop::option::of(5u64..=128)).prop_map(|(single_mib, equal_mib)| Plan {
        part_bytes_base: PART_BYTES_BASE,
        part_bytes_max: PART_BYTES_MAX,
        single_put_bytes: single_mib * MIB,
        equal_part_bytes: equal_mib.map(|mib| mib * MIB),
    })
}

/// The parts that a chunk's bytes fall into, found by its offsets alone.
fn touched(schedule: Schedule, chunk: Range<u64>) -> Vec<(u32, Range<u64>)> {
    let mut parts = Vec::new();
    let mut offset = chunk.start;
    while offset < chunk.end {
        let (number, range) = schedule.part_at(offset).expect("within the schedule");
        assert!(range.contains(&offset));
        offset = range.end;
        parts.push((number, range));
    }
    parts
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn chunks_of_any_size_and_order_make_legal_parts(
        plan in plans(),
        chunk_bytes in prop::collection::vec(1u64..=300 * MIB, 1..60),
        known in any::<bool>(),
        turn in any::<prop::sample::Index>(),
        backwards in any::<bool>(),
    ) {
        let size: u64 = chunk_bytes.iter().sum();
        let schedule = plan.schedule(known.then_some(size)).expect("far from any cap");
        let mut chunks = Vec::new();
        let mut offset = 0;
        for bytes in chunk_bytes {
            chunks.push(offset..offset + bytes);
            offset += bytes;
        }
        let turn = turn.index(chunks.len());
        chunks.rotate_left(turn);
        if backwards {
            chunks.reverse();
        }
        let mut parts = BTreeMap::new();
        for chunk in chunks {
            for (number, range) in touched(schedule, chunk) {
                let held = parts.entry(number).or_insert_with(|| range.clone());
                prop_assert_eq!(held, &range, "a part never changes");
            }
        }
        prop_assert!(parts.len() as u64 <= PARTS_MAX);
        let mut end = 0;
        for (index, (&number, range)) in parts.iter().enumerate() {
            prop_assert_eq!(number as usize, index + 1, "dense, from 1");
            prop_assert_eq!(range.start, end, "neither hole nor overlap");
            let bytes = range.end - range.start;
            let is_last = index + 1 == parts.len();
            prop_assert!(is_last || bytes >= PART_BYTES_MIN, "only the last is small");
            let single = matches!(schedule, Schedule::Single { .. });
            prop_assert!(single || bytes <= PART_BYTES_MAX);
            if plan.equal_part_bytes.is_some() && !is_last {
                prop_assert_eq!(bytes, parts[&1].end, "equal where the store wants it");
            }
            end = range.end;
        }
        prop_assert!(end >= size);
    }
}
