//! Whether parts and what is lost of chunks may be recorded as they are.

use std::ops::Range;

use sluice_proto::checksum::Sha256State;
use sluice_shard::{
    parts::Plan,
    record::{State, StoredUpload, Transition, WHOLE},
};

/// Chunks that are in, or must come again as they were, by number: where they lie, if it is known.
fn places(stored: &StoredUpload) -> Vec<(u32, Range<u64>)> {
    let promised = stored.record.spec.chunk_size_bytes;
    let bytes = |number| {
        let lost = || stored.lost.get(&number).map(|lost| lost.bytes);
        stored.chunks.get(&number).map(|chunk| chunk.bytes).or_else(lost)
    };
    let numbers: std::collections::BTreeSet<u32> =
        stored.chunks.keys().chain(stored.lost.keys()).copied().collect();
    let mut places = Vec::new();
    let (mut next, mut end) = (0, 0);
    for number in numbers {
        let offset = match promised {
            Some(promised) => u64::from(number) * promised,
            None if number == next => end,
            None => break,
        };
        (next, end) = (number + 1, offset + bytes(number).unwrap());
        places.push((number, offset..end));
    }
    places
}

fn place(stored: &StoredUpload, number: u32) -> Option<Range<u64>> {
    places(stored).into_iter().find(|(of, _)| *of == number).map(|(_, range)| range)
}

fn range_of(stored: &StoredUpload, part: u32, bytes: u64) -> Range<u64> {
    let start = match part {
        WHOLE => 0,
        _ => stored.record.schedule.expect("its parts are planned").part_start(part),
    };
    start..start + bytes
}

/// The parts that meet a range.
fn parts_over(stored: &StoredUpload, range: &Range<u64>) -> Vec<u32> {
    let meets = |&(&part, planned): &(&u32, &sluice_shard::record::PartRecord)| {
        let other = range_of(stored, part, planned.bytes);
        other.start < range.end && range.start < other.end
    };
    stored.parts.iter().filter(meets).map(|(&part, _)| part).collect()
}

fn hashed_bytes(stored: &StoredUpload) -> u64 {
    let state = stored.hash_state.as_deref().map(|state| Sha256State::import(state).unwrap());
    state.map_or(0, |state| state.bytes_hashed())
}

pub(crate) fn judge(stored: &StoredUpload, plan: Plan, step: &Transition) {
    if stored.record.schedule.is_none() {
        return;
    }
    match step {
        Transition::PutChunk { number, chunk, .. } => {
            if let Some(lost) = stored.lost.get(number) {
                assert_eq!((lost.bytes, lost.crc64nvme), (chunk.bytes, chunk.crc64nvme));
            } else if let Some(range) = place(stored, *number) {
                assert_eq!(parts_over(stored, &range), [], "sealed");
                assert!(hashed_bytes(stored) <= range.start, "hashed");
            }
        }
        Transition::LoseChunk { number } => {
            if let Some(range) = place(stored, *number) {
                assert_eq!(parts_over(stored, &range), [], "it must come again as it was");
                assert!(hashed_bytes(stored) <= range.start, "it must come again as it was");
            }
        }
        Transition::BeginMultipart { .. } => {
            assert!(stored.record.multipart_id.is_none() && !stored.parts.contains_key(&WHOLE));
        }
        Transition::PlanPart { part, bytes } => judge_plan(stored, plan, *part, *bytes),
        Transition::StorePart { part, .. } => assert!(stored.parts.contains_key(part), "planned"),
        Transition::PlaceChunk { number, .. } => judge_placed(stored, *number),
        Transition::FixTotal { total_chunks, .. } => {
            assert!(stored.lost.keys().all(|number| number < total_chunks));
        }
        Transition::Completing { .. } => {
            assert!(stored.lost.is_empty() && stored.record.state <= State::Uploading);
        }
        _ => {}
    }
}

fn judge_plan(stored: &StoredUpload, plan: Plan, part: u32, bytes: u64) {
    assert!(!stored.parts.contains_key(&part), "planned once");
    let range = range_of(stored, part, bytes);
    let covered: u64 = places(stored)
        .into_iter()
        .filter(|(number, _)| stored.chunks.contains_key(number))
        .map(|(_, chunk)| chunk.end.min(range.end).saturating_sub(chunk.start.max(range.start)))
        .sum();
    assert_eq!(covered, bytes, "all of part {part} is in");
    let total = stored.record.total_chunks;
    let end = total.and_then(|total| match total {
        0 => Some(0),
        total => place(stored, total - 1).map(|range| range.end),
    });
    if part == WHOLE {
        assert!(stored.parts.is_empty() && stored.record.multipart_id.is_none());
        assert_eq!(Some(bytes), end);
        return;
    }
    assert!(stored.record.multipart_id.is_some(), "begun before");
    let _ = plan;
    let schedule = stored.record.schedule.unwrap();
    let (number, whole) = schedule.part_at(range.start).unwrap();
    assert_eq!((number, whole.start), (part, range.start));
    assert!(whole.end == range.end || Some(range.end) == end, "as the schedule has it");
}

fn judge_placed(stored: &StoredUpload, number: u32) {
    let range = place(stored, number).expect("it is known where it lies");
    let parts = parts_over(stored, &range);
    let covered: u64 = parts
        .iter()
        .map(|part| (part, &stored.parts[part]))
        .filter(|(_, planned)| planned.stored.is_some())
        .map(|(&part, planned)| {
            let part = range_of(stored, part, planned.bytes);
            part.end.min(range.end) - part.start.max(range.start)
        })
        .sum();
    assert_eq!(covered, range.end - range.start, "every part over chunk {number} is stored");
    assert!(!stored.record.spec.hash || hashed_bytes(stored) >= range.end, "not hashed yet");
}
