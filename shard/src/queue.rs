//! Chunks that are recorded and not at their place yet, and since when.

use std::collections::{BTreeMap, VecDeque};

/// Arrivals that left already are kept up to so many beyond one for each that waits.
const LEFT_MAX: usize = 32;

/// What waits, by number and by arrival.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    /// Number to when it came, monotonic ms.
    by_number: BTreeMap<u32, u64>,
    /// In the order of arrival. The first always waits; others may have left, so that whoever
    /// leaves out of turn isn't searched for.
    arrivals: VecDeque<(u64, u32)>,
}

impl Queue {
    /// Of chunks that are in the queue some wait since `before` it was made anew.
    pub(crate) fn anew(numbers: impl Iterator<Item = u32>, before: &Self, now_ms: u64) -> Self {
        let since_ms = |number| before.by_number.get(&number).copied().unwrap_or(now_ms);
        let by_number: BTreeMap<u32, u64> =
            numbers.map(|number| (number, since_ms(number))).collect();
        let mut arrivals: Vec<_> = by_number.iter().map(|(&number, &ms)| (ms, number)).collect();
        arrivals.sort_unstable();
        Self { by_number, arrivals: arrivals.into() }
    }

    /// A chunk that isn't in the queue comes.
    pub(crate) fn insert(&mut self, number: u32, now_ms: u64) {
        if self.arrivals.len() > 2 * self.by_number.len() + LEFT_MAX {
            let by_number = &self.by_number;
            self.arrivals.retain(|(ms, number)| by_number.get(number) == Some(ms));
        }
        self.by_number.insert(number, now_ms);
        self.arrivals.push_back((now_ms, number));
    }

    /// A chunk is at its place, or gone.
    pub(crate) fn remove(&mut self, number: u32) {
        self.by_number.remove(&number);
        if self.arrivals.front().is_none_or(|&(_, first)| first != number) {
            return;
        }
        while let Some((ms, first)) = self.arrivals.front()
            && self.by_number.get(first) != Some(ms)
        {
            self.arrivals.pop_front();
        }
    }

    /// The first number that waits, from one on.
    pub(crate) fn next(&self, from: u32) -> Option<u32> {
        // Every step of an upload asks for the first of all; mostly nothing waits, or it can't go.
        let first = self.by_number.first_key_value().map(|(&number, _)| number);
        if from == 0 || first.is_none() {
            return first;
        }
        self.by_number.range(from..).next().map(|(&number, _)| number)
    }

    /// The numbers that wait, from one on, in order.
    pub(crate) fn numbers(&self, from: u32) -> impl Iterator<Item = u32> {
        self.by_number.range(from..).map(|(&number, _)| number)
    }

    pub(crate) fn contains(&self, number: u32) -> bool {
        self.by_number.contains_key(&number)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.by_number.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.by_number.len()
    }

    /// Since when the longest has waited, monotonic ms.
    pub(crate) fn oldest_ms(&self) -> Option<u64> {
        self.arrivals.front().map(|&(ms, _)| ms)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_oldest_is_known_in_whatever_order_they_leave(
            steps in prop::collection::vec((0u32..60, 0u64..3, any::<bool>()), 1..400),
        ) {
            let (mut queue, mut model, mut now_ms) = (Queue::default(), BTreeMap::new(), 0);
            for (number, passed_ms, comes) in steps {
                now_ms += passed_ms;
                match comes {
                    true if model.contains_key(&number) => {
                        queue = Queue::anew(model.keys().copied(), &queue, now_ms);
                    }
                    true => {
                        queue.insert(number, now_ms);
                        model.insert(number, now_ms);
                    }
                    false => {
                        queue.remove(number);
                        model.remove(&number);
                    }
                }
                prop_assert_eq!(queue.oldest_ms(), model.values().min().copied());
                prop_assert_eq!(queue.len(), model.len());
                prop_assert!(queue.numbers(0).eq(model.keys().copied()));
                let most = 2 * model.len() + LEFT_MAX + 2;
                prop_assert!(queue.arrivals.len() <= most.max(2 * 60 + LEFT_MAX));
            }
        }
    }
}
