//! A model disk: partial objects, whole objects, spool segments, and who writes where.

use std::{collections::BTreeMap, ops::Range};

use sluice_proto::ids::{StoreId, UploadId};
use sluice_shard::{
    extents::Holes,
    keys::{BodyId, OpId},
    record::Extent,
};

/// Who writes: a body or a copy, of one life of a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Writer {
    Body(u64, BodyId),
    Copy(u64, OpId),
}

impl Writer {
    fn life(self) -> u64 {
        match self {
            Writer::Body(life, _) | Writer::Copy(life, _) => life,
        }
    }
}

#[derive(Default)]
pub(crate) struct Disk {
    pub partials: BTreeMap<UploadId, Vec<u8>>,
    pub objects: BTreeMap<UploadId, Vec<u8>>,
    pub segments: BTreeMap<(StoreId, u32), Segment>,
    writers: BTreeMap<Writer, (UploadId, Range<u64>)>,
}

#[derive(Default)]
pub(crate) struct Segment {
    taken: Vec<Range<u64>>,
    by_offset: BTreeMap<u64, Vec<u8>>,
}

impl Disk {
    /// From now on this range may change at any time.
    pub(crate) fn begin_write(&mut self, writer: Writer, upload: UploadId, range: Range<u64>) {
        self.assert_still(upload, &range);
        assert!(self.writers.insert(writer, (upload, range)).is_none());
    }

    pub(crate) fn end_write(&mut self, writer: Writer) {
        self.writers.remove(&writer);
    }

    /// The process is gone, and with it all writes that hadn't happened.
    pub(crate) fn end_life(&mut self, life: u64) {
        self.writers.retain(|writer, _| writer.life() != life);
    }

    /// Nobody writes here.
    pub(crate) fn assert_still(&self, upload: UploadId, range: &Range<u64>) {
        for (writer, (of, other)) in &self.writers {
            let meets = *of == upload && other.start < range.end && range.start < other.end;
            assert!(!meets, "{range:?} of {upload} meets {other:?} of {writer:?}");
        }
    }

    pub(crate) fn write(&mut self, upload: UploadId, offset: u64, data: &[u8]) {
        let partial = self.partials.entry(upload).or_default();
        let end = offset as usize + data.len();
        partial.resize(partial.len().max(end), 0);
        partial[offset as usize..end].copy_from_slice(data);
    }

    /// Bytes of the partial object.
    pub(crate) fn read(&self, upload: UploadId, range: Range<u64>) -> &[u8] {
        self.assert_still(upload, &range);
        let partial = self.partials.get(&upload).expect("what is read was written");
        &partial[range.start as usize..range.end as usize]
    }

    /// Makes the partial object visible, once.
    pub(crate) fn seal(&mut self, upload: UploadId, size_bytes: u64) {
        self.assert_still(upload, &(0..u64::MAX));
        if self.objects.contains_key(&upload) {
            assert!(!self.partials.contains_key(&upload), "a sealed object is open again");
            return;
        }
        let mut bytes = self.partials.remove(&upload).unwrap_or_default();
        assert!(bytes.len() as u64 >= size_bytes, "the object ends before its size");
        bytes.truncate(size_bytes as usize);
        self.objects.insert(upload, bytes);
    }

    pub(crate) fn remove_partial(&mut self, upload: UploadId) {
        self.assert_still(upload, &(0..u64::MAX));
        self.partials.remove(&upload);
    }

    /// Takes a slice of a segment, which no other may ever have had.
    pub(crate) fn open_extent(&mut self, store: StoreId, extent: Extent) {
        let segment = self.segments.entry((store, extent.segment)).or_default();
        let range = extent.offset..extent.offset + extent.bytes;
        for other in &segment.taken {
            assert!(other.end <= range.start || range.end <= other.start, "{extent:?} taken twice");
        }
        segment.taken.push(range);
        segment.by_offset.insert(extent.offset, Vec::new());
    }

    pub(crate) fn write_extent(&mut self, store: StoreId, extent: Extent, data: &[u8]) {
        let segment = self.segments.get_mut(&(store, extent.segment)).expect("it is being written");
        segment.by_offset.get_mut(&extent.offset).expect("it was opened").extend_from_slice(data);
    }

    pub(crate) fn read_extent(&self, store: StoreId, extent: Extent) -> &[u8] {
        let segment = self.segments.get(&(store, extent.segment)).expect("what is read is there");
        let data = segment.by_offset.get(&extent.offset).expect("what is read was written");
        assert_eq!(data.len() as u64, extent.bytes, "what is read is whole");
        data
    }

    /// Nothing that lies there is read again; what is still being written there is lost.
    pub(crate) fn punch(&mut self, store: StoreId, holes: &Holes) {
        let Some(segment) = self.segments.get_mut(&(store, holes.segment)) else { return };
        let is_hole = |at: u64| holes.ranges.iter().any(|range| range.contains(&at));
        segment.by_offset.iter_mut().filter(|(at, _)| is_hole(**at)).for_each(|(_, data)| {
            data.clear();
        });
    }

    pub(crate) fn segments_of(&self, store: StoreId) -> Vec<u32> {
        self.segments.keys().filter(|(of, _)| *of == store).map(|&(_, number)| number).collect()
    }
}
