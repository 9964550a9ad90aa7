//! Which slices of a store's spool segments are taken.
//!
//! A segment is written from its start to its end once and removed when nothing names it: no
//! slice is used twice, so a record that outlived its bytes can only name bytes that were its
//! own. Whoever frees an extent has made durable before that no record names it. Where room gets
//! scarce the disk gets back what lies between extents: an upload that goes on slowly holds its own
//! bytes, not whole segments.

use std::{collections::BTreeMap, ops::Range};

use crate::record::Extent;

/// Extents start on whole disk blocks, so that two never share one.
pub(crate) const ALIGN_BYTES: u64 = 4096;

/// So many times the segments that there is room for, if most of each is holes: each is a file.
const HOLEY_MAX: u64 = 16;

/// The segments of one store.
#[derive(Debug)]
pub struct Extents {
    segment_bytes: u64,
    total_bytes_max: u64,
    segments: BTreeMap<u32, Segment>,
    filling: Option<u32>,
    next_segment: u32,
    punched: Vec<Holes>,
}

#[derive(Debug)]
struct Segment {
    /// Where the next extent begins.
    filled_bytes: u64,
    /// Whole blocks of extents, by where they begin: their lengths, bytes.
    live: BTreeMap<u64, u64>,
    live_bytes: u64,
    /// What it takes of the disk.
    held_bytes: u64,
    /// Records that can't be read may name any of it.
    is_pinned: bool,
}

/// Bytes of a segment that nothing names, and the disk can have back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holes {
    /// Its number.
    pub segment: u32,
    /// Where they are, bytes.
    pub ranges: Vec<Range<u64>>,
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
            punched: Vec::new(),
        }
    }

    /// Whether as much room is left, also where holes are to be punched for it.
    #[must_use]
    pub fn has(&self, bytes: u64) -> bool {
        self.needed_bytes() + bytes <= self.total_bytes_max
    }

    /// Takes `bytes`, or `None` when the spool is full: when no more than `kept_bytes` are left.
    /// [`Self::punched`] tells what the disk must be given back for it.
    ///
    /// # Panics
    /// When one extent can't fit a segment: config sees to that.
    pub fn take(&mut self, bytes: u64, kept_bytes: u64) -> Option<Extent> {
        assert!(bytes > 0 && bytes <= self.segment_bytes, "a chunk fits a segment");
        let fits = |segment: &Segment| self.segment_bytes - segment.filled_bytes >= bytes;
        let segment = match self.filling {
            Some(number) if self.segments.get(&number).is_some_and(fits) => number,
            _ => self.begin_segment(kept_bytes)?,
        };
        let taken = self.segments.get_mut(&segment)?;
        let extent = Extent { segment, offset: taken.filled_bytes, bytes };
        taken.filled_bytes = taken.insert(extent, self.segment_bytes);
        Some(extent)
    }

    fn begin_segment(&mut self, kept_bytes: u64) -> Option<u32> {
        // What is left of the one before isn't filled any more.
        let filling = self.filling.take();
        let room_bytes = self.segment_bytes + kept_bytes;
        let segments_max = HOLEY_MAX * (self.total_bytes_max / self.segment_bytes);
        if !self.has(room_bytes) || self.segments.len() as u64 >= segments_max {
            self.filling = filling;
            return None;
        }
        self.punch(room_bytes);
        let number = self.next_segment;
        self.next_segment += 1;
        self.segments.insert(number, Segment::empty(self.segment_bytes));
        self.filling = Some(number);
        Some(number)
    }

    /// Gives the disk back what nothing names, from where that is most, until as much has room. A
    /// segment goes as a whole when its last extent does, which costs less: so this is for when a
    /// few extents hold many segments.
    fn punch(&mut self, room_bytes: u64) {
        while self.held_bytes() + room_bytes > self.total_bytes_max {
            let holey = self.segments.iter_mut().filter(|(_, segment)| !segment.is_pinned);
            let Some((&number, segment)) = holey.max_by_key(|(_, segment)| segment.hole_bytes())
            else {
                return;
            };
            if segment.hole_bytes() == 0 {
                return;
            }
            segment.held_bytes = segment.live_bytes;
            let ranges = segment.holes(self.segment_bytes);
            self.punched.push(Holes { segment: number, ranges });
        }
    }

    /// What the disk is to be given back, since this was asked for last.
    pub fn punched(&mut self) -> Vec<Holes> {
        std::mem::take(&mut self.punched)
    }

    /// Gives an extent back; tells the segment that can be removed, if it was its last.
    ///
    /// # Panics
    /// When it was not taken: then two chunks would share bytes.
    pub fn free(&mut self, extent: Extent) -> Option<u32> {
        let segment = self.segments.get_mut(&extent.segment).expect("only what was taken is freed");
        segment.live_bytes -= segment.live.remove(&extent.offset).expect("freed once");
        if !segment.live.is_empty() || segment.is_pinned {
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
        let segment_bytes = self.segment_bytes;
        self.found(extent.segment).insert(extent, segment_bytes);
    }

    /// Keeps all of a segment that was found: records that can't be read may name any of it.
    pub fn pin(&mut self, segment: u32) {
        self.found(segment).is_pinned = true;
    }

    fn found(&mut self, segment: u32) -> &mut Segment {
        self.next_segment = self.next_segment.max(segment + 1);
        let empty = || Segment::empty(self.segment_bytes);
        self.segments.entry(segment).or_insert_with(empty)
    }

    /// A segment file was found; `true` if nothing names it. Its number isn't used again.
    pub fn is_dead(&mut self, segment: u32) -> bool {
        self.next_segment = self.next_segment.max(segment + 1);
        !self.segments.contains_key(&segment)
    }

    /// What all segments take of the disk, bytes.
    #[must_use]
    pub fn held_bytes(&self) -> u64 {
        self.segments.values().map(|segment| segment.held_bytes).sum()
    }

    /// What they take at least, bytes: once there is a hole wherever nothing is named.
    fn needed_bytes(&self) -> u64 {
        let needed = |(number, segment): (&u32, &Segment)| {
            let is_whole = segment.is_pinned || self.filling == Some(*number);
            if is_whole { segment.held_bytes } else { segment.live_bytes }
        };
        self.segments.iter().map(needed).sum()
    }
}

impl Segment {
    fn empty(segment_bytes: u64) -> Self {
        Self {
            filled_bytes: 0,
            live: BTreeMap::new(),
            live_bytes: 0,
            held_bytes: segment_bytes,
            is_pinned: false,
        }
    }

    /// Where the extent's last block ends.
    fn insert(&mut self, extent: Extent, segment_bytes: u64) -> u64 {
        let end = (extent.offset + extent.bytes).next_multiple_of(ALIGN_BYTES).min(segment_bytes);
        self.live.insert(extent.offset, end - extent.offset);
        self.live_bytes += end - extent.offset;
        end
    }

    /// What the disk could have back, bytes.
    fn hole_bytes(&self) -> u64 {
        self.held_bytes - self.live_bytes
    }

    /// What lies between its extents, before and behind them.
    fn holes(&self, segment_bytes: u64) -> Vec<Range<u64>> {
        let mut from = 0;
        let mut holes = Vec::new();
        let ends = [(segment_bytes, 0)];
        for (offset, bytes) in self.live.iter().map(|(&at, &bytes)| (at, bytes)).chain(ends) {
            if from < offset {
                holes.push(from..offset);
            }
            from = offset + bytes;
        }
        holes
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
                for Holes { segment, ranges } in extents.punched() {
                    for extent in live.iter().filter(|extent| extent.segment == segment) {
                        let end = extent.offset + extent.bytes;
                        prop_assert!(ranges.iter().all(|r| r.end <= extent.offset || end <= r.start));
                    }
                }
            }
        }
    }

    /// One small extent in each segment, as of uploads that go on slowly beside many others.
    #[test]
    fn few_extents_in_many_segments_leave_room_for_others() {
        const SEGMENT_BYTES: u64 = 10 * ALIGN_BYTES;
        let mut extents = Extents::new(SEGMENT_BYTES, 4 * SEGMENT_BYTES);
        let mut stays = Vec::new();
        for _ in 0..12 {
            stays.push(extents.take(1, 0).expect("most is holes"));
            let goes = extents.take(SEGMENT_BYTES - ALIGN_BYTES, 0).expect("most is holes");
            assert_eq!((goes.segment, extents.free(goes)), (stays.last().unwrap().segment, None));
        }
        let punched = extents.punched();
        assert_eq!(punched[0].ranges, std::slice::from_ref(&(ALIGN_BYTES..SEGMENT_BYTES)));
        assert!(extents.held_bytes() <= 4 * SEGMENT_BYTES);
        let freed: Vec<_> = stays.into_iter().filter_map(|extent| extents.free(extent)).collect();
        assert_eq!((freed.len(), extents.held_bytes()), (12, 0));
    }

    #[test]
    fn what_records_that_cant_be_read_may_name_is_never_punched() {
        let mut extents = Extents::new(8192, 3 * 8192);
        extents.retake(Extent { segment: 0, offset: 0, bytes: 1 });
        extents.pin(0);
        extents.retake(Extent { segment: 1, offset: 4096, bytes: 1 });
        assert!(extents.take(8192, 0).is_some());
        assert_eq!(extents.take(8192, 0), None);
        assert!(extents.take(4096, 0).is_none(), "a segment is whole or isn't");
        assert_eq!(extents.punched(), []);
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
