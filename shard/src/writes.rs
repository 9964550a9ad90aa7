//! Which byte ranges of one object are being written.
//!
//! No two of them overlap, so whatever the order in which writes reach the disk, no byte is
//! another writer's.

use std::collections::BTreeMap;

/// Ranges under way, each of one chunk.
#[derive(Debug, Default)]
pub(crate) struct Writes {
    by_chunk: BTreeMap<u32, (u64, u64)>,
    /// Start to end, bytes.
    by_start: BTreeMap<u64, u64>,
}

impl Writes {
    /// Whether a chunk can be written: neither it nor any of its bytes is being written.
    pub(crate) fn allow(&self, number: u32, offset: u64, bytes: u64) -> bool {
        let below_end =
            self.by_start.range(..offset + bytes).next_back().map_or(0, |(_, &end)| end);
        !self.by_chunk.contains_key(&number) && below_end <= offset
    }

    /// # Panics
    /// When it isn't allowed.
    pub(crate) fn begin(&mut self, number: u32, offset: u64, bytes: u64) {
        assert!(self.allow(number, offset, bytes), "one writer a byte");
        self.by_chunk.insert(number, (offset, bytes));
        self.by_start.insert(offset, offset + bytes);
    }

    /// No write of this chunk can happen any more.
    pub(crate) fn end(&mut self, number: u32) {
        let (offset, _) = self.by_chunk.remove(&number).expect("what ends was begun");
        self.by_start.remove(&offset);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.by_chunk.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_byte_has_two_writers(
            steps in prop::collection::vec((0u32..6, 0u64..40, 1u64..12, any::<bool>()), 1..60),
        ) {
            let mut writes = Writes::default();
            let mut model: Vec<(u32, std::ops::Range<u64>)> = Vec::new();
            for (number, offset, bytes, end) in steps {
                let held = model.iter().position(|(held, _)| *held == number);
                if let (true, Some(held)) = (end, held) {
                    writes.end(number);
                    model.remove(held);
                    continue;
                }
                let range = offset..offset + bytes;
                let meets = model.iter().any(|(_, r)| r.start < range.end && range.start < r.end);
                prop_assert_eq!(writes.allow(number, offset, bytes), !meets && held.is_none());
                if !meets && held.is_none() {
                    writes.begin(number, offset, bytes);
                    model.push((number, range));
                }
                prop_assert_eq!(writes.is_empty(), model.is_empty());
            }
        }
    }
}
