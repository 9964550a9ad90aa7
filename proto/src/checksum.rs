//! Checksums that go with bytes as they arrive.
//!
//! The CRCs combine, so chunks can be summed in any order; SHA-256 can't, but
//! its state can be taken out and put back after a crash.

mod chunk_sums;
mod combine;
#[cfg(target_arch = "x86_64")]
mod fused;

pub use chunk_sums::ChunkSums;
use combine::Combiner;
use crc_fast::{CrcAlgorithm, Digest};
use sha2::block_api::compress256;

use crate::limits::{CRC32C_BYTES, CRC64NVME_BYTES, SHA256_BYTES};

static CRC32C: Combiner<32> = Combiner::new(0x82f6_3b78);
static CRC64NVME: Combiner<64> = Combiner::new(0x9a6c_9329_ac4b_c9b5);

/// CRC-32C (Castagnoli) of what was fed so far.
#[derive(Debug, Clone)]
pub struct Crc32c(Digest);

impl Crc32c {
    /// Of nothing.
    pub fn new() -> Self {
        Self(Digest::new(CrcAlgorithm::Crc32Iscsi))
    }

    /// Of these bytes.
    pub fn of(bytes: &[u8]) -> u32 {
        let mut sum = Self::new();
        sum.update(bytes);
        sum.value()
    }

    /// Feeds more bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The sum so far; more may be fed after.
    pub fn value(&self) -> u32 {
        narrow(self.0.finalize())
    }

    /// The sum of A followed by B, from both sums and B's length in bytes.
    pub fn combine(a: u32, b: u32, len_b: u64) -> u32 {
        narrow(CRC32C.combine(a.into(), b.into(), len_b))
    }

    /// Reads the wire form: 4 bytes big-endian.
    pub fn from_wire(bytes: &[u8]) -> Option<u32> {
        <[u8; CRC32C_BYTES]>::try_from(bytes).ok().map(u32::from_be_bytes)
    }
}

impl Default for Crc32c {
    fn default() -> Self {
        Self::new()
    }
}

fn narrow(sum: u64) -> u32 {
    u32::try_from(sum).expect("a CRC of 32 bits")
}

/// CRC-64/NVME of what was fed so far.
#[derive(Debug, Clone)]
pub struct Crc64Nvme(Digest);

impl Crc64Nvme {
    /// Of nothing.
    pub fn new() -> Self {
        Self(Digest::new(CrcAlgorithm::Crc64Nvme))
    }

    /// Of these bytes.
    pub fn of(bytes: &[u8]) -> u64 {
        let mut sum = Self::new();
        sum.update(bytes);
        sum.value()
    }

    /// Feeds more bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The sum so far; more may be fed after.
    pub fn value(&self) -> u64 {
        self.0.finalize()
    }

    /// The sum of A followed by B, from both sums and B's length in bytes.
    pub fn combine(a: u64, b: u64, len_b: u64) -> u64 {
        CRC64NVME.combine(a, b, len_b)
    }

    /// Reads the wire form: 8 bytes big-endian.
    pub fn from_wire(bytes: &[u8]) -> Option<u64> {
        <[u8; CRC64NVME_BYTES]>::try_from(bytes).ok().map(u64::from_be_bytes)
    }
}

impl Default for Crc64Nvme {
    fn default() -> Self {
        Self::new()
    }
}

/// SHA-256 of what was fed so far, with a state that can be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sha256State {
    words: [u32; 8],
    bytes_hashed: u64,
    /// The first `bytes_hashed % 64` bytes are those not compressed yet.
    tail: [u8; 64],
}

impl Sha256State {
    const INITIAL: [u32; 8] = [
        0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab,
        0x5be0cd19,
    ];
    /// Bytes that [`Sha256State::export`] makes at most.
    pub const EXPORT_BYTES_MAX: usize = 32 + 8 + 63;

    /// Of nothing.
    pub fn new() -> Self {
        Self { words: Self::INITIAL, bytes_hashed: 0, tail: [0; 64] }
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
    pub fn update(&mut self, mut bytes: &[u8]) {
        let held = self.held();
        self.bytes_hashed += bytes.len() as u64;
        if held > 0 {
            let fill = bytes.len().min(64 - held);
            self.tail[held..held + fill].copy_from_slice(&bytes[..fill]);
            bytes = &bytes[fill..];
            if held + fill < 64 {
                return;
            }
            compress256(&mut self.words, &[self.tail]);
        }
        let (blocks, rest) = bytes.as_chunks::<64>();
        compress256(&mut self.words, blocks);
        self.tail[..rest.len()].copy_from_slice(rest);
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
        (self.bytes_hashed % 64) as usize
    }
}

impl Default for Sha256State {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use sha2::Digest as _;

    #[test]
    fn known_vectors() {
        assert_eq!(Crc32c::of(b"123456789"), 0xe306_9283);
        assert_eq!(Crc64Nvme::of(b"123456789"), 0xae8b_1486_0a79_9888);
        assert_eq!((Crc32c::of(b""), Crc64Nvme::of(b"")), (0, 0));
        let abc = [
            0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea, 0x41, 0x41, 0x40, 0xde, 0x5d, 0xae,
            0x22, 0x23, 0xb0, 0x03, 0x61, 0xa3, 0x96, 0x17, 0x7a, 0x9c, 0xb4, 0x10, 0xff, 0x61,
            0xf2, 0x00, 0x15, 0xad,
        ];
        assert_eq!(Sha256State::of(b"abc"), abc);
    }

    proptest! {
        #[test]
        fn sums_of_parts_combine(a: Vec<u8>, b: Vec<u8>) {
            let whole = [&a[..], &b[..]].concat();
            let len_b = b.len() as u64;
            let crc32c = Crc32c::combine(Crc32c::of(&a), Crc32c::of(&b), len_b);
            prop_assert_eq!(crc32c, Crc32c::of(&whole));
            let crc64 = Crc64Nvme::combine(Crc64Nvme::of(&a), Crc64Nvme::of(&b), len_b);
            prop_assert_eq!(crc64, Crc64Nvme::of(&whole));
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
