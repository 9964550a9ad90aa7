//! Checksums that go with bytes as they arrive.
//!
//! The CRCs combine, so chunks can be summed in any order; SHA-256 can't, but
//! its state can be taken out and put back after a crash.

mod chunk_sums;
mod combine;
#[cfg(target_arch = "x86_64")]
mod fused;
mod sha256;
#[cfg(target_arch = "x86_64")]
mod sha256_lanes;

pub use chunk_sums::ChunkSums;
use combine::Combiner;
use crc_fast::{CrcAlgorithm, Digest};
pub use sha256::Sha256State;

use crate::limits::{CRC32C_BYTES, CRC64NVME_BYTES};

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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_vectors() {
        assert_eq!(Crc32c::of(b"123456789"), 0xe306_9283);
        assert_eq!(Crc64Nvme::of(b"123456789"), 0xae8b_1486_0a79_9888);
        assert_eq!((Crc32c::of(b""), Crc64Nvme::of(b"")), (0, 0));
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
    }
}
