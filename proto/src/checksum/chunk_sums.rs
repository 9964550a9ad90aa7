//! Both CRCs of the same bytes, by one pass over them where the CPU can.

use crc_fast::{CrcAlgorithm, Digest};

use super::narrow;

/// Bytes that the nearest cache still has when the second sum reads them.
const STRETCH_BYTES: usize = 16 << 10;

/// CRC-32C and CRC-64/NVME of what was fed so far.
///
/// Costs two thirds of [`Crc32c`](super::Crc32c) and [`Crc64Nvme`](super::Crc64Nvme) one after the
/// other, or the same where there is nothing to gain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChunkSums {
    /// The registers between two updates: the sums, not yet inverted.
    pub(super) crc32c: u32,
    pub(super) crc64nvme: u64,
}

impl ChunkSums {
    /// Of nothing.
    pub const fn new() -> Self {
        Self { crc32c: u32::MAX, crc64nvme: u64::MAX }
    }

    /// Of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        let mut sums = Self::new();
        sums.update(bytes);
        sums
    }

    /// Feeds more bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        #[cfg(target_arch = "x86_64")]
        if super::fused::update(self, bytes) {
            return;
        }
        self.update_apart(bytes);
    }

    /// The CRC-32C so far; more may be fed after.
    pub const fn crc32c(&self) -> u32 {
        !self.crc32c
    }

    /// The CRC-64/NVME so far; more may be fed after.
    pub const fn crc64nvme(&self) -> u64 {
        !self.crc64nvme
    }

    /// One sum after the other.
    fn update_apart(&mut self, bytes: &[u8]) {
        for stretch in bytes.chunks(STRETCH_BYTES) {
            let register = self.crc32c.into();
            self.crc32c = narrow(register_after(CrcAlgorithm::Crc32Iscsi, register, [stretch]));
            self.crc64nvme = crc64nvme_after(self.crc64nvme, [stretch]);
        }
    }
}

impl Default for ChunkSums {
    fn default() -> Self {
        Self::new()
    }
}

/// The register that is `register` before these pieces, after them.
pub(super) fn crc64nvme_after<const N: usize>(register: u64, pieces: [&[u8]; N]) -> u64 {
    register_after(CrcAlgorithm::Crc64Nvme, register, pieces)
}

fn register_after<const N: usize>(
    algorithm: CrcAlgorithm,
    register: u64,
    pieces: [&[u8]; N],
) -> u64 {
    let mut digest = Digest::new_with_init_state(algorithm, register);
    for piece in pieces {
        digest.update(piece);
    }
    digest.get_state()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::checksum::{Crc32c, Crc64Nvme};

    fn noise(len: usize) -> Vec<u8> {
        let mut word = 0x9e37_79b9_7f4a_7c15_u64;
        let next = || {
            word ^= word << 13;
            word ^= word >> 7;
            word ^= word << 17;
            word as u8
        };
        std::iter::repeat_with(next).take(len).collect()
    }

    fn assert_sums(sums: ChunkSums, whole: &[u8]) {
        let right = (Crc32c::of(whole), Crc64Nvme::of(whole));
        assert_eq!((sums.crc32c(), sums.crc64nvme()), right, "{} bytes", whole.len());
    }

    #[test]
    fn known_vectors() {
        let sums = ChunkSums::of(b"123456789");
        assert_eq!((sums.crc32c(), sums.crc64nvme()), (0xe306_9283, 0xae8b_1486_0a79_9888));
        let sums = ChunkSums::new();
        assert_eq!((sums.crc32c(), sums.crc64nvme()), (0, 0));
        // RFC 3720, B.4, and the vectors of the NVM Express NVM Command Set: 4 KiB of zeroes.
        assert_eq!(ChunkSums::of(&[0; 32]).crc32c(), 0x8a91_36aa);
        assert_eq!(ChunkSums::of(&[0; 4096]).crc64nvme(), 0x6482_d367_eb22_b64e);
        assert_eq!(ChunkSums::of(&[0xff; 4096]).crc64nvme(), 0xc0dd_ba73_02ec_a3ac);
    }

    #[test]
    fn of_every_length_and_alignment() {
        let bytes = noise(20_000);
        // The kernel takes 4608 bytes and more, by blocks of 2304.
        for len in (0..2000).chain(4500..7200).chain(16_300..16_500) {
            let from = len * 7 % 64;
            assert_sums(ChunkSums::of(&bytes[from..from + len]), &bytes[from..from + len]);
        }
    }

    /// Each bit of a block counts, wherever the kernel reads it.
    #[test]
    fn of_every_single_bit() {
        let mut bytes = [0; 2 * 2304 + 192 + 64 + 13];
        for bit in 0..8 * bytes.len() {
            bytes[bit / 8] = 1 << (bit % 8);
            assert_sums(ChunkSums::of(&bytes), &bytes);
            bytes[bit / 8] = 0;
        }
    }

    proptest! {
        #[test]
        fn however_the_bytes_are_cut(cuts in prop::collection::vec(0_usize..30_000, 0..8)) {
            let whole = noise(30_000);
            let mut cuts = [cuts, vec![0, whole.len()]].concat();
            cuts.sort_unstable();
            let (mut sums, mut apart) = (ChunkSums::new(), ChunkSums::new());
            for piece in cuts.windows(2) {
                sums.update(&whole[piece[0]..piece[1]]);
                apart.update_apart(&whole[piece[0]..piece[1]]);
            }
            prop_assert_eq!(sums, apart);
            assert_sums(sums, &whole);
        }

        #[test]
        fn of_any_bytes(pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..3000), 0..4)) {
            let (mut sums, mut apart) = (ChunkSums::new(), ChunkSums::new());
            for piece in &pieces {
                sums.update(piece);
                apart.update_apart(piece);
            }
            prop_assert_eq!(sums, apart);
            assert_sums(sums, &pieces.concat());
        }
    }
}
