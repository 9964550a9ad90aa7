//! A set of chunk numbers, kept as ranges: small while they come more or less in order.

use std::{collections::BTreeMap, ops::RangeInclusive};

/// Numbers that are in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ranges {
    /// First number of a range to its last; ranges neither touch nor overlap.
    by_first: BTreeMap<u32, u32>,
    count: u32,
}

impl Ranges {
    /// The first `count` numbers.
    #[must_use]
    pub fn first(count: u32) -> Self {
        let last = count.checked_sub(1);
        Self { by_first: last.map(|last| (0, last)).into_iter().collect(), count }
    }

    /// Adds a number; `false` if it was in.
    pub fn insert(&mut self, number: u32) -> bool {
        if self.contains(number) {
            return false;
        }
        self.count += 1;
        let below = self.by_first.range(..number).next_back().map(|(&first, &last)| (first, last));
        let first = match below {
            Some((first, last)) if last + 1 == number => first,
            _ => number,
        };
        let above = number.checked_add(1).and_then(|next| self.by_first.remove(&next));
        self.by_first.insert(first, above.unwrap_or(number));
        true
    }

    /// Takes a number out; `false` if it was not in.
    pub fn remove(&mut self, number: u32) -> bool {
        let Some((&first, &last)) = self.by_first.range(..=number).next_back() else {
            return false;
        };
        if last < number {
            return false;
        }
        self.count -= 1;
        self.by_first.remove(&first);
        if first < number {
            self.by_first.insert(first, number - 1);
        }
        if number < last {
            self.by_first.insert(number + 1, last);
        }
        true
    }

    /// Whether a number is in.
    #[must_use]
    pub fn contains(&self, number: u32) -> bool {
        self.by_first.range(..=number).next_back().is_some_and(|(_, &last)| number <= last)
    }

    /// How many numbers are in.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.count
    }

    /// The highest number.
    #[must_use]
    pub fn highest(&self) -> Option<u32> {
        self.by_first.last_key_value().map(|(_, &last)| last)
    }

    /// The first number that isn't in.
    #[must_use]
    pub fn front(&self) -> u32 {
        self.by_first.get(&0).map_or(0, |&last| last + 1)
    }

    /// The ranges from a number on, in order; the first is cut at it.
    pub fn present(&self, from: u32) -> impl Iterator<Item = RangeInclusive<u32>> {
        let start = self.by_first.range(..=from).next_back().map_or(from, |(&first, _)| first);
        self.by_first
            .range(start..)
            .map(move |(&first, &last)| first.max(from)..=last)
            .filter(|range| !range.is_empty())
    }

    /// The holes from a number on, below `end`, in order.
    pub fn missing(&self, from: u32, end: u32) -> impl Iterator<Item = RangeInclusive<u32>> {
        let mut next = from;
        let mut present = self.present(from);
        std::iter::from_fn(move || {
            while next < end {
                let hole_from = next;
                let range = present.next();
                next = range.as_ref().map_or(end, |range| range.end() + 1);
                let hole_end = range.map_or(end, |range| end.min(*range.start()));
                if hole_from < hole_end {
                    return Some(hole_from..=hole_end - 1);
                }
            }
            None
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn numbers(ranges: impl Iterator<Item = RangeInclusive<u32>>) -> Vec<u32> {
        ranges.flatten().collect()
    }

    proptest! {
        #[test]
        fn agrees_with_a_plain_set(
            steps in prop::collection::vec((0u32..40, any::<bool>()), 0..80),
            from in 0u32..45,
            end in 0u32..45,
        ) {
            let mut ranges = Ranges::default();
            let mut model = BTreeSet::new();
            for (number, add) in steps {
                if add {
                    prop_assert_eq!(ranges.insert(number), model.insert(number));
                } else {
                    prop_assert_eq!(ranges.remove(number), model.remove(&number));
                }
                prop_assert_eq!(ranges.count() as usize, model.len());
                prop_assert_eq!(ranges.highest(), model.last().copied());
                prop_assert_eq!(ranges.front(), (0..).find(|n| !model.contains(n)).unwrap());
            }
            let present: Vec<_> = model.range(from..).copied().collect();
            prop_assert_eq!(numbers(ranges.present(from)), present);
            let missing: Vec<_> = (from..end).filter(|n| !model.contains(n)).collect();
            prop_assert_eq!(numbers(ranges.missing(from, end)), missing);
        }
    }

    #[test]
    fn the_first_numbers_are_those_added_one_by_one() {
        for count in 0..4 {
            let mut added = Ranges::default();
            assert!((0..count).all(|number| added.insert(number)));
            assert_eq!(Ranges::first(count), added);
        }
    }

    #[test]
    fn the_last_number_of_all_has_no_neighbour_above() {
        let mut ranges = Ranges::default();
        assert!(ranges.insert(u32::MAX));
        assert_eq!(ranges.highest(), Some(u32::MAX));
    }
}
