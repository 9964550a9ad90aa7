//! Whether a chunk may come, by what is known of its upload.

use sluice_proto::error::Refusal;

use crate::{refuse, upload::Upload};

impl Upload {
    /// Whether a chunk may come, and the N that it fixes.
    pub(crate) fn judge(
        &self,
        number: u32,
        bytes: u64,
        is_last: bool,
    ) -> Result<Option<u32>, Refusal> {
        let spec = &self.stored.record.spec;
        let total = self.stored.record.total_chunks;
        if self.stored.lost.get(&number).is_some_and(|lost| lost.bytes != bytes) {
            return Err(refuse::sealed(number));
        }
        if let Some(total) = total.filter(|&total| number >= total) {
            return Err(refuse::last_conflict(number, total));
        }
        let mut fixes = is_last;
        if let Some(promised) = spec.chunk_size_bytes {
            let last = total.is_some_and(|total| number + 1 == total);
            let whole = if let (Some(size), true) = (spec.expected_size_bytes, last) {
                size - u64::from(number) * promised
            } else {
                promised
            };
            let may_be_short = spec.expected_size_bytes.is_none()
                && (last || (total.is_none() && self.highest() <= Some(number)));
            if bytes > whole || (bytes < whole && !may_be_short) {
                return Err(refuse::chunk_size_broken(bytes, whole));
            }
            fixes |= bytes < promised;
        }
        let fixed = self.judge_last(number, fixes)?;
        let before = self.stored.chunks.get(&number).map_or(0, |chunk| chunk.bytes);
        let others = self.received_bytes - before;
        let end = self.offset_of(number).map_or(0, |offset| offset.saturating_add(bytes));
        let size = end.max(others.saturating_add(bytes));
        let limit = spec.expected_size_bytes.unwrap_or(u64::MAX).min(spec.max_size_bytes);
        let schedule = self.stored.record.schedule;
        let limit = schedule.map_or(limit, |schedule| limit.min(schedule.object_bytes_max()));
        if size > limit {
            return Err(refuse::size_mismatch(size, limit));
        }
        Ok(fixed)
    }

    /// The N that a chunk fixes, if it is the last and N isn't fixed yet.
    pub(crate) fn judge_last(&self, number: u32, is_last: bool) -> Result<Option<u32>, Refusal> {
        if !is_last {
            return Ok(None);
        }
        match self.stored.record.total_chunks {
            Some(total) if total != number + 1 => Err(refuse::last_conflict(number, total)),
            Some(_) => Ok(None),
            None => match self.highest() {
                Some(highest) if highest > number => {
                    Err(refuse::last_conflict(number, highest + 1))
                }
                _ => Ok(Some(number + 1)),
            },
        }
    }

    /// The highest chunk that came, also if it must come again.
    pub(crate) fn highest(&self) -> Option<u32> {
        let lost = self.stored.lost.last_key_value().map(|(&number, _)| number);
        self.received.highest().max(lost)
    }
}
