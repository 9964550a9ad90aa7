//! The sum of a whole from the sums of its parts, without their bytes.
//!
//! The sum of A followed by B is A's times x^(8·|B|), plus B's, all modulo the
//! CRC's polynomial. One multiplication for each bit set in |B|: this is done
//! for every chunk, and shifting by zeroes bit by bit costs a thousand times as
//! much.

/// A CRC of `BITS` bits, reflected (the highest bit is x^0), that begins and
/// ends with all ones inverted.
pub(super) struct Combiner<const BITS: u32> {
    polynomial: u64,
    /// x^(8·2^n) for each n.
    powers: [u64; 64],
}

impl<const BITS: u32> Combiner<BITS> {
    /// `polynomial`: reflected, without its highest power.
    pub const fn new(polynomial: u64) -> Self {
        let mut combiner = Self { polynomial, powers: [0; 64] };
        let mut power = 1 << (BITS - 1 - 1);
        let mut doublings = 0;
        while doublings < 3 + 64 {
            if doublings >= 3 {
                combiner.powers[doublings - 3] = power;
            }
            power = combiner.multiply(power, power);
            doublings += 1;
        }
        combiner
    }

    /// The sum of A followed by B, from both sums and B's length in bytes.
    pub fn combine(&self, a: u64, b: u64, len_b: u64) -> u64 {
        let (mut shifted, mut bits_left) = (a, len_b);
        while bits_left != 0 {
            shifted = self.multiply(shifted, self.powers[bits_left.trailing_zeros() as usize]);
            bits_left &= bits_left - 1;
        }
        shifted ^ b
    }

    /// x^exponent, modulo the polynomial.
    pub const fn power(&self, exponent: u32) -> u64 {
        let (mut power, mut bit) = (1 << (BITS - 1), 32);
        while bit > 0 {
            bit -= 1;
            power = self.multiply(power, power);
            if exponent >> bit & 1 == 1 {
                power = self.multiply(power, 1 << (BITS - 1 - 1));
            }
        }
        power
    }

    const fn multiply(&self, a: u64, mut b: u64) -> u64 {
        let mut product = 0;
        let mut bit = BITS;
        while bit > 0 {
            bit -= 1;
            // No branch: the bits are as good as random.
            product ^= b & (a >> bit & 1).wrapping_neg();
            b = (b >> 1) ^ (self.polynomial & (b & 1).wrapping_neg());
        }
        product
    }
}

#[cfg(test)]
mod tests {
    use crc_fast::{CrcAlgorithm, checksum_combine};

    use crate::checksum::{Crc32c, Crc64Nvme};

    /// Of lengths that no test can make bytes for.
    #[test]
    fn it_says_what_shifting_bit_by_bit_says() {
        let (a, b) = (0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3210);
        for len_b in (0..63).flat_map(|power| [1 << power, (1 << power) + 12_345]).chain([0]) {
            let slow = checksum_combine(CrcAlgorithm::Crc64Nvme, a, b, len_b);
            assert_eq!(Crc64Nvme::combine(a, b, len_b), slow, "{len_b}");
            let (a, b) = (a as u32, b as u32);
            let slow = checksum_combine(CrcAlgorithm::Crc32Iscsi, a.into(), b.into(), len_b);
            assert_eq!(u64::from(Crc32c::combine(a, b, len_b)), slow, "{len_b}");
        }
    }
}
