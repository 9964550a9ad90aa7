//! How much chunk memory a shard has, and who may take of it.
//!
//! Charged at a chunk's header, before its payload is read. What is ahead of an upload's front
//! takes at most half, and one largest charge stays free for fronts: so the chunk that fills a
//! hole always gets in at last, and chunks that wait for a hole can't fill the memory.

/// A charge, to be given back whole.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "what is charged has to be given back"]
pub struct Charge {
    bytes: u64,
    ahead: bool,
}

/// The memory of one shard's chunks, bytes.
#[derive(Debug)]
pub struct Budget {
    total_bytes: u64,
    front_reserve_bytes: u64,
    used_bytes: u64,
    ahead_bytes: u64,
}

impl Budget {
    /// `charge_bytes_max` is the largest charge that will be asked for.
    ///
    /// # Panics
    /// When two of the largest don't fit: config lowers `max_chunk_bytes` before.
    #[must_use]
    pub fn new(total_bytes: u64, charge_bytes_max: u64) -> Self {
        assert!(total_bytes / 2 >= charge_bytes_max, "a chunk ahead must fit beside the reserve");
        Self { total_bytes, front_reserve_bytes: charge_bytes_max, used_bytes: 0, ahead_bytes: 0 }
    }

    /// Charges, or `None` if it must wait. `ahead`: the chunk is beyond its upload's front.
    pub fn charge(&mut self, bytes: u64, ahead: bool) -> Option<Charge> {
        self.charge_sparing(bytes, ahead, ahead)
    }

    /// The same, whether or not the reserve is spared.
    pub fn charge_sparing(&mut self, bytes: u64, ahead: bool, spares: bool) -> Option<Charge> {
        // More may be charged than there is: what was there already.
        let after_bytes = self.used_bytes + bytes;
        let reserve_bytes = if spares { self.front_reserve_bytes } else { 0 };
        let fits = after_bytes + reserve_bytes <= self.total_bytes;
        if !fits || (ahead && self.ahead_bytes + bytes > self.total_bytes / 2) {
            return None;
        }
        Some(self.charge_what_is(bytes, ahead))
    }

    /// Whether all of the reserve is free.
    #[must_use]
    pub fn has_reserve(&self) -> bool {
        self.used_bytes + self.front_reserve_bytes <= self.total_bytes
    }

    /// Charges what is there already, whether or not it fits.
    pub fn charge_what_is(&mut self, bytes: u64, ahead: bool) -> Charge {
        self.used_bytes += bytes;
        if ahead {
            self.ahead_bytes += bytes;
        }
        Charge { bytes, ahead }
    }

    /// Takes a charge back.
    pub fn refund(&mut self, charge: Charge) {
        self.used_bytes -= charge.bytes;
        if charge.ahead {
            self.ahead_bytes -= charge.bytes;
        }
    }

    /// Bytes charged.
    #[must_use]
    pub fn used_bytes(&self) -> u64 {
        self.used_bytes
    }

    /// Bytes there are.
    #[must_use]
    pub fn total_bytes(&self) -> u64 {
        self.total_bytes
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn ahead_never_takes_the_fronts_room(
            steps in prop::collection::vec((1u64..=16, any::<bool>(), any::<prop::sample::Index>()), 1..200),
        ) {
            let mut budget = Budget::new(64, 16);
            let mut charges = Vec::new();
            for (bytes, ahead, which) in steps {
                match budget.charge(bytes, ahead) {
                    Some(charge) => charges.push(charge),
                    None if !charges.is_empty() => {
                        budget.refund(charges.swap_remove(which.index(charges.len())));
                    }
                    None => prop_assert!(false, "an empty budget refuses nothing that fits"),
                }
                let ahead: u64 = charges.iter().filter(|c| c.ahead).map(|c| c.bytes).sum();
                let used: u64 = charges.iter().map(|c| c.bytes).sum();
                prop_assert_eq!(budget.used_bytes(), used);
                prop_assert!(used <= 64 && ahead <= 32);
                if charges.iter().all(|charge| charge.ahead) {
                    let front = budget.charge(16, false);
                    prop_assert!(front.is_some(), "a front always gets in beside those ahead");
                    budget.refund(front.unwrap());
                }
            }
        }
    }
}
