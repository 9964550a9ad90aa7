//! Which chunks an earlier try left to send.

use std::collections::BTreeMap;

use crate::pb;

/// What the server has: everything else is missing.
#[derive(Debug, Default)]
pub(super) struct Missing {
    /// First to last of every received range.
    received: BTreeMap<u32, u32>,
}

impl Missing {
    /// Takes in one page of a status.
    pub fn add(&mut self, page: &pb::GetUploadStatusResponse) {
        for range in &page.received_ranges {
            if let (Ok(first), Ok(last)) = (range.first.try_into(), range.last.try_into()) {
                self.received.insert(first, last);
            }
        }
    }

    /// Whether this chunk must be sent.
    pub fn contains(&self, number: u32) -> bool {
        let before = self.received.range(..=number).next_back();
        before.is_none_or(|(_, &last)| last < number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_page_names_is_missing() {
        let mut missing = Missing::default();
        for (first, last) in [(0, 2), (5, 5)] {
            let received_ranges = vec![pb::ChunkRange { first, last }];
            missing.add(&pb::GetUploadStatusResponse { received_ranges, ..Default::default() });
        }
        let numbers: Vec<u32> = (0..8).filter(|&number| missing.contains(number)).collect();
        assert_eq!(numbers, [3, 4, 6, 7]);
    }
}
