//! Bytes in pieces, in order, never joined.

use std::collections::VecDeque;

use bytes::{Buf, Bytes};

/// A queue of slices that reads as one buffer. Taking from it shares memory.
#[derive(Debug, Default, Clone)]
pub struct Rope {
    /// Never empty ones.
    pieces: VecDeque<Bytes>,
    len_bytes: usize,
}

impl Rope {
    /// With nothing in it.
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts a slice at the end.
    pub fn push(&mut self, piece: Bytes) {
        if !piece.is_empty() {
            self.len_bytes += piece.len();
            self.pieces.push_back(piece);
        }
    }

    /// Takes the first slice, cut to at most `max_bytes`.
    pub fn pop_front(&mut self, max_bytes: usize) -> Option<Bytes> {
        if max_bytes == 0 {
            return None;
        }
        let front = self.pieces.front_mut()?;
        let piece = if front.len() <= max_bytes {
            self.pieces.pop_front().expect("looked at above")
        } else {
            front.split_to(max_bytes)
        };
        self.len_bytes -= piece.len();
        Some(piece)
    }

    /// Takes the first `len_bytes` bytes.
    ///
    /// # Panics
    /// If there are fewer.
    pub fn split_to(&mut self, len_bytes: usize) -> Rope {
        assert!(len_bytes <= self.len_bytes, "split_to past the end of a rope");
        let mut taken = Rope::new();
        while taken.len_bytes < len_bytes {
            let piece = self.pop_front(len_bytes - taken.len_bytes);
            taken.push(piece.expect("the length was checked"));
        }
        taken
    }

    /// Copies from the start without taking; answers how many bytes.
    pub fn peek(&self, out: &mut [u8]) -> usize {
        let mut filled = 0;
        for piece in &self.pieces {
            let fit = piece.len().min(out.len() - filled);
            out[filled..filled + fit].copy_from_slice(&piece[..fit]);
            filled += fit;
            if filled == out.len() {
                break;
            }
        }
        filled
    }

    /// Takes the first `len_bytes` bytes as a copy of their own, which pins no
    /// block. For what is small.
    ///
    /// # Panics
    /// If there are fewer.
    pub fn take_copy(&mut self, len_bytes: usize) -> Bytes {
        assert!(len_bytes <= self.len_bytes, "take_copy past the end of a rope");
        let mut out = vec![0; len_bytes];
        self.copy_to_slice(&mut out);
        out.into()
    }

    /// Copies all of it, so that it pins no block any more. For what is small and has to wait.
    pub fn unpin(&mut self) {
        let all = self.take_copy(self.len_bytes);
        self.push(all);
    }

    /// Bytes in it.
    pub const fn len(&self) -> usize {
        self.len_bytes
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.len_bytes == 0
    }

    /// Its slices, in order; none is empty.
    pub fn pieces(&self) -> impl ExactSizeIterator<Item = &Bytes> {
        self.pieces.iter()
    }

    /// Takes its slices, in order.
    pub fn into_pieces(self) -> impl ExactSizeIterator<Item = Bytes> {
        self.pieces.into_iter()
    }
}

impl FromIterator<Bytes> for Rope {
    fn from_iter<I: IntoIterator<Item = Bytes>>(pieces: I) -> Self {
        let mut rope = Rope::new();
        pieces.into_iter().for_each(|piece| rope.push(piece));
        rope
    }
}

impl Buf for Rope {
    fn remaining(&self) -> usize {
        self.len_bytes
    }

    fn chunk(&self) -> &[u8] {
        self.pieces.front().map_or(&[], |piece| piece)
    }

    fn advance(&mut self, mut len_bytes: usize) {
        assert!(len_bytes <= self.len_bytes, "advance past the end of a rope");
        while len_bytes > 0 {
            let piece = self.pop_front(len_bytes).expect("the length was checked");
            len_bytes -= piece.len();
        }
    }

    fn copy_to_bytes(&mut self, len_bytes: usize) -> Bytes {
        if self.pieces.front().is_some_and(|front| front.len() >= len_bytes) {
            return self.pop_front(len_bytes).unwrap_or_default();
        }
        self.take_copy(len_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_rope_reads_as_its_pieces_joined(pieces: Vec<Vec<u8>>, cut: usize) {
            let whole = pieces.concat();
            let mut rope: Rope = pieces.into_iter().map(Bytes::from).collect();
            prop_assert_eq!(rope.len(), whole.len());
            let mut start = [0; 20];
            let peeked = rope.peek(&mut start);
            prop_assert_eq!(&start[..peeked], &whole[..whole.len().min(20)]);
            let cut = cut % (whole.len() + 1);
            let mut first = rope.split_to(cut);
            prop_assert_eq!(first.copy_to_bytes(cut), &whole[..cut]);
            prop_assert_eq!(rope.take_copy(whole.len() - cut), &whole[cut..]);
            prop_assert!(rope.is_empty() && rope.pieces().len() == 0);
        }
    }

    #[test]
    fn what_is_unpinned_reads_the_same_and_shares_nothing() {
        let block = Bytes::from(vec![7; 100]);
        let mut rope: Rope = [block.slice(..40), block.slice(60..)].into_iter().collect();
        rope.unpin();
        assert!(block.is_unique());
        assert_eq!(rope.copy_to_bytes(80), vec![7; 80]);
        rope.unpin();
        assert!(rope.is_empty() && rope.pieces().len() == 0);
    }

    #[test]
    fn splitting_shares_memory() {
        let block = Bytes::from(vec![7; 100]);
        let mut rope: Rope = [block.clone()].into_iter().collect();
        let first = rope.split_to(40);
        assert_eq!(first.chunk().as_ptr(), block.as_ptr());
        assert_eq!(rope.chunk().as_ptr(), block[40..].as_ptr());
    }
}
