//! Chance that is the same in every run (splitmix64).

/// Numbers that look like chance.
#[derive(Debug)]
pub struct Stream(u64);

impl Stream {
    /// One of 2^64 streams.
    pub const fn of(seed: u64) -> Self {
        // Neighbours must not be the same stream one step on.
        Self(seed.wrapping_mul(0xd134_2543_de82_ef95))
    }

    /// The next, any of 64 bits.
    pub const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    /// The next below `end`, which is above zero.
    pub const fn below(&mut self, end: u64) -> u64 {
        ((self.next() as u128 * end as u128) >> 64) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_values_below_the_end_come_and_no_other() {
        let mut stream = Stream::of(1);
        let mut seen = [0; 5];
        for _ in 0..1_000 {
            seen[stream.below(5) as usize] += 1;
        }
        assert!(seen.iter().all(|&count| count > 100), "{seen:?}");
        assert_eq!(stream.below(1), 0);
    }
}
