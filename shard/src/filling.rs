//! How much of each part is in, and where in the chunks it begins.
//!
//! Chunks may straddle parts. Each is counted once where it lies is known: at once under a promised
//! length, else when all before it are in.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};

use crate::parts::Schedule;

/// Where a chunk lies in the object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct At {
    pub number: u32,
    /// Where it begins, bytes.
    pub offset: u64,
}

/// A part that isn't stored.
#[derive(Clone, Copy, Debug, Default)]
struct Part {
    filled_bytes: u64,
    /// The chunk that its first byte is in, if that is in.
    first: Option<At>,
}

/// The parts of one object that aren't stored, and have bytes.
#[derive(Debug, Default)]
pub(crate) struct Filling {
    parts: BTreeMap<u32, Part>,
    /// Those that have all that the schedule gives them.
    full: BTreeSet<u32>,
    /// Without a promise: the chunk up to which all were counted.
    counted: u32,
}

impl Filling {
    /// Counts a chunk that is in. `is_stored`: which parts need nothing any more.
    pub(crate) fn count(
        &mut self,
        schedule: Schedule,
        at: At,
        bytes: u64,
        is_stored: impl Fn(u32) -> bool,
    ) {
        let end = at.offset + bytes;
        let mut offset = at.offset;
        while offset < end {
            let (number, range) = schedule.part_at(offset).expect("no chunk beyond the last part");
            if !is_stored(number) {
                self.fill(number, &range, offset..end.min(range.end), at);
            }
            offset = range.end;
        }
        self.counted = self.counted.max(at.number + 1);
    }

    fn fill(&mut self, number: u32, whole: &Range<u64>, filled: Range<u64>, at: At) {
        let part = self.parts.entry(number).or_default();
        part.filled_bytes += filled.end - filled.start;
        if filled.start == whole.start {
            part.first = Some(at);
        }
        if part.filled_bytes == whole.end - whole.start {
            self.full.insert(number);
        }
    }

    /// The chunk up to which all were counted.
    pub(crate) fn counted(&self) -> u32 {
        self.counted
    }

    /// Bytes of a part that are in.
    pub(crate) fn filled_bytes(&self, part: u32) -> u64 {
        self.parts.get(&part).map_or(0, |part| part.filled_bytes)
    }

    /// The chunk in which a part begins.
    pub(crate) fn first(&self, part: u32) -> Option<At> {
        self.parts.get(&part)?.first
    }

    /// Parts that have all that the schedule gives them, from one on.
    pub(crate) fn full(&self, from: u32) -> impl Iterator<Item = u32> {
        self.full.range(from..).copied()
    }

    /// A part is stored, or is about to be: nobody looks for it among those that are full.
    pub(crate) fn take(&mut self, part: u32) {
        self.full.remove(&part);
    }

    /// A part is stored.
    pub(crate) fn forget(&mut self, part: u32) {
        self.full.remove(&part);
        self.parts.remove(&part);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SCHEDULE: Schedule = Schedule::Fixed { part_bytes: 50 };

    proptest! {
        #[test]
        fn parts_fill_in_whatever_order_chunks_come(
            lengths in prop::collection::vec(1u64..120, 1..20),
            order in any::<prop::sample::Index>(),
        ) {
            let mut offset = 0;
            let mut chunks: Vec<_> = (0..).zip(&lengths).map(|(number, &bytes)| {
                let at = At { number, offset };
                offset += bytes;
                (at, bytes)
            }).collect();
            let middle = order.index(chunks.len());
            chunks.rotate_left(middle);
            let mut filling = Filling::default();
            for &(at, bytes) in &chunks {
                filling.count(SCHEDULE, at, bytes, |part| part == 2);
            }
            let whole: Vec<u32> = (1..=(offset / 50) as u32).filter(|&part| part != 2).collect();
            prop_assert_eq!(filling.full(0).collect::<Vec<_>>(), whole);
            for part in (1..=offset.div_ceil(50) as u32).filter(|&part| part != 2) {
                let start = u64::from(part - 1) * 50;
                prop_assert_eq!(filling.filled_bytes(part), 50.min(offset - start));
                let holds = chunks.iter().find(|(at, bytes)| {
                    (at.offset..at.offset + bytes).contains(&start)
                });
                prop_assert_eq!(filling.first(part), holds.map(|(at, _)| *at));
            }
        }
    }
}
