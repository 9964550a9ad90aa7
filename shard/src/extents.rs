//! Which slices of a store's spool segments are taken.
//!
//! A segment is written from its start to its end once and removed when nothing names it: no
//! slice is used twice, so a record that outlived its bytes can only name bytes that were its
//! own. Whoever frees an extent has made durable before that no record names it.

use std::collections::BTreeMap;

use crate::record::Extent;

/// Extents start on whole disk blocks, so that two never share one.
pub(crate) const ALIGN_BYTES: u64 = 4096;

/// The segments of one store.
#[derive(Debug)]
pub struct Extents {
    segment_bytes: u64,
    total_bytes_max: u64,
    segments: BTreeMap<u32, Segment>,
    filling: Option<u32>,
    next_segment: u32,
}

#[derive(Debug, Default)]
struct Segment {
    used_bytes: u64,
    live: u64,
}

impl Extents {
    /// No segments yet. `segment_bytes` bounds one extent, `total_bytes_max` all segments.
    #[must_use]
    pub fn new(segment_bytes: u64, total_bytes_max: u64) -> Self {
        Self {
            segment_bytes,
            total_bytes_max,
            segments: BTreeMap::new(),
            filling: None,
            next_segment: 0,
        }
    }

    /// Whether as much room is left.
    #[must_use]
    pub fn has(&self, bytes: u64) -> bool {
        self.held_bytes() + bytes <= self.total_bytes_max
    }

    /// Takes `bytes`, or `None` when the spool is full: when no more than `kept_bytes` are left.
    ///
    /// # Panics
    /// When one extent can't fit a segment: config sees to that.
    pub fn take(&mut self, bytes: u64, kept_bytes: u64) -> Option<Extent> {
        assert!(bytes > 0 && bytes <= self.segment_bytes, "a chunk fits a segment");
        let fits = |segment: &Segment| self.segment_bytes - segment.used_bytes >= bytes;
        let segment = match self.filling {
            Some(number) if self.segments.get(&number).is_some_and(fits) => number,
            _ => self.begin_segment(kept_bytes)?,
        };
        let taken = self.segments.get_mut(&segment)?;
        let offset = taken.used_bytes;
        taken.used_bytes = (offset + bytes).next_multiple_of(ALIGN_BYTES).min(self.segment_bytes);
        taken.live += 1;
        Some(Extent { segment, offset, bytes })
    }

    fn begin_segment(&mut self, kept_bytes: u64) -> Option<u32> {
        if !self.has(self.segment_bytes + kept_bytes) {
            return None;
        }
        let number = self.next_segment;
        self.next_segment += 1;
        self.segments.insert(number, Segment::default());
        self.filling = Some(number);
        Some(number)
    }

    /// Gives an extent back; tells the segment that can be removed, if it was its last.
    ///
    /// # Panics
    /// When it was not taken: then two chunks would share bytes.
    pub fn free(&mut self, extent: Extent) -> Option<u32> {
        let segment = self.segments.get_mut(&extent.segment).expect("only what was taken is freed");
        segment.live = segment.live.checked_sub(1).expect("freed once");
        if segment.live > 0 {
            return None;
        }
        self.segments.remove(&extent.segment);
        if self.filling == Some(extent.segment) {
            self.filling = None;
        }
        Some(extent.segment)
    }

    /// Takes again what a record named when the store was loaded. Its segment isn't filled
    /// further.
    pub fn retake(&mut self, extent: Extent) {
        let segment = self.segments.entry(extent.segment).or_default();
        segment.used_bytes = self.segment_bytes;
        segment.live += 1;
        self.next_segment = self.next_segment.max(extent.segment + 1);
    }

    /// A segment file was found; `true` if nothing names it. Its number isn't used again.
    pub fn is_dead(&mut self, segment: u32) -> bool {
        self.next_segment = self.next_segment.max(segment + 1);
        !self.segments.contains_key(&segment)
    }

    /// Bytes of all segments.
    #[must_use]
    pub fn held_bytes(&self) -> u64 {
        self.segments.len() as u64 * self.segment_bytes
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn live_extents_never_overlap_and_segments_go_when_they_are_empty(
            steps in prop::collection::vec((1u64..20_000, any::<prop::sample::Index>(), any::<bool>()), 1..200),
        ) {
            let mut extents = Extents::new(32 << 10, 4 * (32 << 10));
            let mut live: Vec<Extent> = Vec::new();
            for (bytes, which, free) in steps {
                if free && !live.is_empty() {
                    let extent = live.swap_remove(which.index(live.len()));
                    let removed = extents.free(extent);
                    let alone = live.iter().all(|other| other.segment != extent.segment);
                    prop_assert_eq!(removed.is_some(), alone);
                } else if let Some(extent) = extents.take(bytes, 0) {
                    prop_assert!(extent.offset % 4096 == 0);
                    prop_assert!(extent.offset + extent.bytes <= 32 << 10);
                    for other in live.iter().filter(|other| other.segment == extent.segment) {
                        prop_assert!(other.offset + other.bytes <= extent.offset);
                    }
                    live.push(extent);
                }
                prop_assert!(extents.held_bytes() <= 4 * (32 << 10));
            }
        }
    }

    #[test]
    fn numbers_found_at_start_are_not_used_again() {
        let mut extents = Extents::new(8192, 1 << 20);
        extents.retake(Extent { segment: 4, offset: 0, bytes: 100 });
        assert!(!extents.is_dead(4));
        assert!(extents.is_dead(7));
        assert_eq!(extents.take(1, 0).map(|extent| extent.segment), Some(8));
    }
}
