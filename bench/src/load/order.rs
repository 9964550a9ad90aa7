//! In which order the chunks of one upload are sent.

use crate::job::Order;
use crate::load::chance;

/// The numbers of an upload's chunks, each once.
#[derive(Debug)]
pub struct Numbers {
    chunks: u32,
    next: u32,
    order: Order,
    /// Only of a shuffled upload: 4 bytes a chunk.
    shuffled: Vec<u32>,
}

impl Numbers {
    /// Of upload `nth` of a run, which has `chunks`: another shuffle for each, the same in every run.
    pub fn new(chunks: u32, order: Order, nth: u64) -> Self {
        let shuffled = match order {
            Order::Shuffled => shuffled(chunks, nth),
            Order::InOrder | Order::LastFirst => Vec::new(),
        };
        Self { chunks, next: 0, order, shuffled }
    }
}

impl Iterator for Numbers {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        let place = self.next;
        if place == self.chunks {
            return None;
        }
        self.next += 1;
        Some(match self.order {
            Order::InOrder => place,
            Order::Shuffled => self.shuffled[place as usize],
            Order::LastFirst => place.checked_sub(1).unwrap_or(self.chunks - 1),
        })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = (self.chunks - self.next) as usize;
        (left, Some(left))
    }
}

impl ExactSizeIterator for Numbers {}

/// Fisher and Yates.
fn shuffled(chunks: u32, nth: u64) -> Vec<u32> {
    let mut numbers: Vec<u32> = (0..chunks).collect();
    let mut random = chance::Stream::of(nth);
    for last in (1..numbers.len()).rev() {
        numbers.swap(last, random.below(last as u64 + 1) as usize);
    }
    numbers
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn numbers(chunks: u32, order: Order, nth: u64) -> Vec<u32> {
        Numbers::new(chunks, order, nth).collect()
    }

    #[test]
    fn the_last_one_can_come_first() {
        assert_eq!(numbers(4, Order::LastFirst, 0), [3, 0, 1, 2]);
        assert_eq!(numbers(1, Order::LastFirst, 0), [0]);
        assert_eq!(numbers(4, Order::InOrder, 0), [0, 1, 2, 3]);
    }

    #[test]
    fn each_upload_is_shuffled_in_its_own_way_and_alike_in_every_run() {
        assert_eq!(numbers(100, Order::Shuffled, 7), numbers(100, Order::Shuffled, 7));
        assert_ne!(numbers(100, Order::Shuffled, 7), numbers(100, Order::Shuffled, 8));
        assert_ne!(numbers(100, Order::Shuffled, 7), numbers(100, Order::InOrder, 7));
    }

    proptest! {
        #[test]
        fn every_chunk_comes_once(chunks in 1u32..500, nth: u64) {
            for order in [Order::InOrder, Order::Shuffled, Order::LastFirst] {
                let mut numbers = numbers(chunks, order, nth);
                numbers.sort_unstable();
                prop_assert_eq!(numbers, (0..chunks).collect::<Vec<_>>());
            }
        }
    }
}
