//! SHA-256 whose state can be taken out and put back, and several of them hashed at once.

use sha2::block_api::compress256;

#[cfg(target_arch = "x86_64")]
use super::sha256_lanes as lanes;
use crate::limits::SHA256_BYTES;

pub(super) const LANES_MAX: usize = 4;

const BLOCK_BYTES: usize = 64;

pub(super) type Words = [u32; 8];
pub(super) type Block = [u8; BLOCK_BYTES];
/// A message's state, and the blocks of it that come next.
pub(super) type Lane<'a> = (&'a mut Words, &'a [Block]);

/// SHA-256 of what was fed so far, with a state that can be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sha256State {
    words: Words,
    bytes_hashed: u64,
    /// The first `bytes_hashed % 64` bytes are those not compressed yet.
    tail: Block,
}

impl Sha256State {
    const INITIAL: Words = [
        0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab,
        0x5be0cd19,
    ];
    /// So many messages are hashed side by side at most: the instructions name 16 registers, and
    /// four messages fill them.
    pub const LANES_MAX: usize = LANES_MAX;
    /// Bytes that [`Sha256State::export`] makes at most.
    pub const EXPORT_BYTES_MAX: usize = 32 + 8 + BLOCK_BYTES - 1;

    /// Of nothing.
    pub const fn new() -> Self {
        Self { words: Self::INITIAL, bytes_hashed: 0, tail: [0; BLOCK_BYTES] }
    }

    /// Of these bytes.
    pub fn of(bytes: &[u8]) -> [u8; SHA256_BYTES] {
        let mut state = Self::new();
        state.update(bytes);
        state.finish()
    }

    /// How many bytes were fed.
    pub const fn bytes_hashed(&self) -> u64 {
        self.bytes_hashed
    }

    /// Feeds more bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        let blocks = self.begin(bytes);
        compress256(&mut self.words, blocks);
    }

    /// Feeds each state its own bytes, up to [`Sha256State::LANES_MAX`] of them side by side.
    ///
    /// Each round of a SHA-256 waits for the one before, so a core that hashes one message by its
    /// instructions idles for more than half of the time; it does two to four at once for little
    /// more than one. Slices of about equal length gain most: what is over of the longest is hashed
    /// alone.
    pub fn update_each(fed: &mut [(&mut Self, &[u8])]) {
        for group in fed.chunks_mut(LANES_MAX) {
            let mut lanes: Vec<_> = group
                .iter_mut()
                .map(|(state, bytes)| {
                    let blocks = state.begin(bytes);
                    (&mut state.words, blocks)
                })
                .collect();
            compress_each(&mut lanes);
        }
    }

    /// Takes all bytes in, but for the whole blocks of them that it gives back to be compressed:
    /// first what is held is made a block, and what is after the last one is held.
    fn begin<'bytes>(&mut self, mut bytes: &'bytes [u8]) -> &'bytes [Block] {
        let held = self.held();
        self.bytes_hashed += bytes.len() as u64;
        if held > 0 {
            let fill = bytes.len().min(BLOCK_BYTES - held);
            self.tail[held..held + fill].copy_from_slice(&bytes[..fill]);
            bytes = &bytes[fill..];
            if held + fill < BLOCK_BYTES {
                return &[];
            }
            compress256(&mut self.words, &[self.tail]);
        }
        let (blocks, rest) = bytes.as_chunks();
        self.tail[..rest.len()].copy_from_slice(rest);
        blocks
    }

    /// The sum of all that was fed.
    pub fn finish(mut self) -> [u8; SHA256_BYTES] {
        let bits = self.bytes_hashed.wrapping_mul(8);
        let held = self.held();
        // One bit, zeroes up to 8 bytes before a block's end, the length.
        let zeroes = (119 - held) % 64;
        let mut padding = [0; 72];
        padding[0] = 0x80;
        padding[1 + zeroes..][..8].copy_from_slice(&bits.to_be_bytes());
        self.update(&padding[..1 + zeroes + 8]);
        assert_eq!(self.held(), 0);
        let mut sum = [0; SHA256_BYTES];
        for (out, word) in sum.as_chunks_mut::<4>().0.iter_mut().zip(self.words) {
            *out = word.to_be_bytes();
        }
        sum
    }

    /// The state as bytes: 8 words, the number of bytes fed (both big-endian),
    /// and the bytes not compressed yet.
    pub fn export(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(Self::EXPORT_BYTES_MAX);
        for word in self.words {
            out.extend_from_slice(&word.to_be_bytes());
        }
        out.extend_from_slice(&self.bytes_hashed.to_be_bytes());
        out.extend_from_slice(&self.tail[..self.held()]);
        out
    }

    /// Reads what [`Sha256State::export`] made; `None` if it can't be that.
    pub fn import(bytes: &[u8]) -> Option<Self> {
        let (words, rest) = bytes.split_first_chunk::<32>()?;
        let (length, held) = rest.split_first_chunk::<8>()?;
        let mut state = Self::new();
        for (word, wire) in state.words.iter_mut().zip(words.as_chunks::<4>().0) {
            *word = u32::from_be_bytes(*wire);
        }
        state.bytes_hashed = u64::from_be_bytes(*length);
        if held.len() != state.held() {
            return None;
        }
        state.tail[..held.len()].copy_from_slice(held);
        Some(state)
    }

    const fn held(&self) -> usize {
        (self.bytes_hashed % BLOCK_BYTES as u64) as usize
    }
}

impl Default for Sha256State {
    fn default() -> Self {
        Self::new()
    }
}

fn compress_each(lanes: &mut [Lane<'_>]) {
    #[cfg(target_arch = "x86_64")]
    if lanes::compress_each(lanes) {
        return;
    }
    for (words, blocks) in lanes {
        compress256(words, blocks);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use sha2::Digest as _;

    use super::*;

    #[test]
    fn a_known_vector() {
        let abc = [
            0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea, 0x41, 0x41, 0x40, 0xde, 0x5d, 0xae,
            0x22, 0x23, 0xb0, 0x03, 0x61, 0xa3, 0x96, 0x17, 0x7a, 0x9c, 0xb4, 0x10, 0xff, 0x61,
            0xf2, 0x00, 0x15, 0xad,
        ];
        assert_eq!(Sha256State::of(b"abc"), abc);
    }

    fn messages() -> impl Strategy<Value = Vec<Vec<u8>>> {
        prop::collection::vec(prop::collection::vec(any::<u8>(), 0..700), 0..10)
    }

    proptest! {
        #[test]
        fn many_at_once_sum_as_each_alone(befores in messages(), pieces in messages()) {
            let mut alone: Vec<_> = befores
                .iter()
                .chain(std::iter::repeat(&Vec::new()))
                .zip(&pieces)
                .map(|(before, _)| {
                    let mut state = Sha256State::new();
                    state.update(before);
                    state
                })
                .collect();
            let mut at_once = alone.clone();
            for (state, piece) in alone.iter_mut().zip(&pieces) {
                state.update(piece);
            }
            let mut fed: Vec<_> = at_once.iter_mut().zip(pieces.iter().map(|piece| &piece[..])).collect();
            Sha256State::update_each(&mut fed);
            for (at_once, alone) in at_once.iter().zip(&alone) {
                prop_assert_eq!(at_once.bytes_hashed(), alone.bytes_hashed());
                prop_assert_eq!(at_once.export(), alone.export());
            }
        }

        #[test]
        fn a_stored_state_goes_on(pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..8)) {
            let mut state = Sha256State::new();
            for piece in &pieces {
                state = Sha256State::import(&state.export()).unwrap();
                state.update(piece);
            }
            let whole = pieces.concat();
            prop_assert_eq!(state.bytes_hashed(), whole.len() as u64);
            prop_assert_eq!(&state.finish()[..], &sha2::Sha256::digest(&whole)[..]);
        }

        #[test]
        fn importing_anything_never_panics(bytes: Vec<u8>) {
            if let Some(state) = Sha256State::import(&bytes) {
                prop_assert_eq!(state.export(), bytes);
            }
        }
    }
}
