//! How an upload's chunks lie in the parts of its object.

use std::ops::Range;

use crate::{
    effect::Slice,
    filling::{At, Filling},
    parts::Schedule,
    placing,
    record::{StoredAs, WHOLE},
    upload::Upload,
};

impl Upload {
    /// The object's length, bytes, once its last chunk is in and lies where it is known.
    pub(crate) fn object_bytes(&self) -> Option<u64> {
        match self.stored.record.total_chunks? {
            0 => Some(0),
            total => {
                let last = self.stored.chunks.get(&(total - 1))?;
                Some(self.offset_of(total - 1)? + last.bytes)
            }
        }
    }

    fn part_is_stored(&self, part: u32) -> bool {
        self.stored.parts.get(&part).is_some_and(|part| part.stored.is_some())
    }

    /// What a part covers, once it was recorded.
    pub(crate) fn part_range(&self, part: u32) -> Range<u64> {
        let bytes = self.stored.parts[&part].bytes;
        let schedule = self.stored.record.schedule.expect("its parts are planned");
        let start = if part == WHOLE { 0 } else { schedule.part_start(part) };
        start..start + bytes
    }

    /// Whether a part over any of these bytes was recorded.
    fn is_planned(&self, range: &Range<u64>) -> bool {
        if self.is_sent_whole() {
            return true;
        }
        let Some(schedule) = self.stored.record.schedule else { return false };
        let number = |offset| schedule.part_at(offset).map(|(number, _)| number);
        let (Some(first), Some(last)) = (number(range.start), number(range.end - 1)) else {
            return false;
        };
        self.stored.parts.range(first..=last).next().is_some()
    }

    /// All chunks that are in from the first on are hashed, if they are to be.
    pub(crate) fn is_hashed_whole(&self) -> bool {
        let hash = self.hash.as_ref();
        hash.is_none_or(|hash| hash.state.bytes_hashed() == self.front_bytes)
    }

    /// So many bytes from the object's first on can be hashed.
    pub(crate) fn known_bytes(&self) -> u64 {
        match self.stored.record.schedule {
            Some(_) => self.front_bytes,
            None => self.placed_bytes,
        }
    }

    /// Whether a part over a chunk that is in was recorded.
    pub(crate) fn is_sent(&self, number: u32) -> bool {
        let Some(chunk) = self.stored.chunks.get(&number) else { return false };
        let offset = self.offset_of(number);
        offset.is_some_and(|offset| self.is_planned(&(offset..offset + chunk.bytes)))
    }

    /// All of it is sent by one PUT, or about to be.
    pub(crate) fn is_sent_whole(&self) -> bool {
        self.stored.parts.contains_key(&WHOLE)
    }

    /// Where a chunk behind the front lies, if all between came and must come again as it was.
    pub(crate) fn offset_behind_lost(&self, number: u32) -> Option<u64> {
        if self.stored.lost.is_empty() {
            return None;
        }
        let between = self.received.front()..number;
        let bytes: Option<u64> = between.map(|number| self.stored.chunk_bytes(number)).sum();
        Some(self.front_bytes + bytes?)
    }

    /// Where a chunk lies, from the place of one before it.
    pub(crate) fn chunk_at(&self, mut at: At, offset: u64) -> Option<At> {
        if let Some(promised) = self.stored.record.spec.chunk_size_bytes {
            let number = u32::try_from(offset / promised).ok()?;
            return Some(At { number, offset: u64::from(number) * promised });
        }
        while let Some(bytes) = self.stored.chunk_bytes(at.number) {
            if offset < at.offset + bytes {
                return Some(at);
            }
            at = At { number: at.number + 1, offset: at.offset + bytes };
        }
        None
    }

    /// The slices of chunks that make up a range, which begins in the chunk at `at`.
    pub(crate) fn slices(&self, at: At, range: Range<u64>) -> Vec<Slice> {
        let (mut at, mut from) = (at, range.start);
        let mut slices = Vec::new();
        while from < range.end {
            let chunk = &self.stored.chunks[&at.number];
            let end = (at.offset + chunk.bytes).min(range.end);
            slices.push(Slice {
                from: placing::source(at.number, chunk),
                offset: from - at.offset,
                bytes: end - from,
            });
            from = end;
            at = At { number: at.number + 1, offset: at.offset + chunk.bytes };
        }
        slices
    }

    /// Counts chunks for the parts that they lie in, as far as it is known where they lie.
    pub(crate) fn count_parts(&mut self, number: u32) {
        let Some(schedule) = self.stored.record.schedule else { return };
        if self.stored.record.spec.chunk_size_bytes.is_some() {
            let offset = self.offset_of(number).expect("it was promised");
            return self.count_chunk(schedule, At { number, offset });
        }
        let from = self.filling.counted();
        if number != from {
            return;
        }
        let mut at = At { number, offset: self.offset_of(number).expect("it is behind the front") };
        while at.number < self.received.front() {
            self.count_chunk(schedule, at);
            let bytes = self.stored.chunks[&at.number].bytes;
            at = At { number: at.number + 1, offset: at.offset + bytes };
        }
    }

    fn count_chunk(&mut self, schedule: Schedule, at: At) {
        let bytes = self.stored.chunks[&at.number].bytes;
        let parts = &self.stored.parts;
        let is_stored = |part| parts.get(&part).is_some_and(|part| part.stored.is_some());
        self.filling.count(schedule, at, bytes, is_stored);
        self.note_done(at, bytes);
    }

    /// Notes a chunk that needs no part any more.
    pub(crate) fn note_done(&mut self, at: At, bytes: u64) {
        let schedule = self.stored.record.schedule.expect("its parts are planned");
        let end = at.offset + bytes;
        let is_done = self.part_is_stored(WHOLE) || {
            let number = |offset| schedule.part_at(offset).expect("it fits the schedule").0;
            (number(at.offset)..=number(end - 1)).all(|part| self.part_is_stored(part))
        };
        if is_done && self.unplaced.contains(at.number) {
            self.storing.done.insert(end, at.number);
        }
    }

    /// Works out from chunks and parts what is kept beside them.
    pub(crate) fn recount_parts(&mut self) {
        if self.stored.record.schedule.is_none() {
            return;
        }
        self.filling = Filling::default();
        self.storing.done.clear();
        match self.stored.record.spec.chunk_size_bytes {
            Some(_) => {
                let numbers: Vec<u32> = self.stored.chunks.keys().copied().collect();
                numbers.into_iter().for_each(|number| self.count_parts(number));
            }
            None if self.received.front() > 0 => self.count_parts(0),
            None => {}
        }
        for (&part, _) in self.stored.parts.iter().filter(|(_, part)| part.stored.is_none()) {
            if !self.storing.sending.contains(&part) {
                self.storing.unsent.entry(part).or_default();
            }
        }
    }

    /// What is known of a process before this one: it may have begun what it didn't record.
    pub(crate) fn suspect_strays(&mut self) {
        let schedule = self.stored.record.schedule;
        self.storing.has_strays =
            matches!(schedule, Some(Schedule::Fixed { .. } | Schedule::Growing { .. }));
    }

    /// What the store answered to the whole.
    pub(crate) fn stored_as(&self) -> Option<StoredAs> {
        let whole = self.stored.parts.get(&WHOLE).and_then(|part| part.stored.clone());
        self.storing.made.clone().or(whole)
    }

    /// The last part of an object that goes by parts, and its length, bytes, once that is known. S3
    /// makes nothing of no part: what turns out empty is one empty part.
    pub(crate) fn last_part(&self) -> Option<(u32, u64)> {
        let (schedule, bytes) = (self.stored.record.schedule?, self.object_bytes()?);
        let (last, range) = schedule.part_at(bytes.saturating_sub(1))?;
        Some((last, bytes - range.start))
    }

    /// Every byte is in parts that the store has.
    pub(crate) fn is_stored(&self) -> bool {
        if self.stored.record.schedule.is_none() || self.part_is_stored(WHOLE) {
            return true;
        }
        let Some((last, _)) = self.last_part() else { return false };
        self.stored.record.multipart_id.is_some()
            && (1..=last).all(|part| self.part_is_stored(part))
    }
}
