//! How a file is cut into chunks.

/// The contract's numbers are 0 to 999,999.
const CHUNKS_MAX: u64 = 1_000_000;

/// A file of known size in chunks of one size, the last perhaps shorter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// Bytes of the whole; at least 1.
    pub upload_bytes: u64,
    /// Bytes of every chunk but the last; at least 1, at most `upload_bytes`.
    pub chunk_bytes: u64,
}

impl Plan {
    /// A chunk larger than the file is the file.
    ///
    /// # Errors
    /// When that is more chunks than the contract numbers, or nothing at all.
    pub fn new(upload_bytes: u64, chunk_bytes: u64) -> Result<Self, String> {
        if upload_bytes == 0 || chunk_bytes == 0 {
            return Err("the size of an upload or a chunk is 0".to_owned());
        }
        let plan = Self { upload_bytes, chunk_bytes: chunk_bytes.min(upload_bytes) };
        let chunks = upload_bytes.div_ceil(plan.chunk_bytes);
        match chunks <= CHUNKS_MAX {
            true => Ok(plan),
            false => {
                Err(format!("{chunks} chunks an upload: at most {CHUNKS_MAX} can be numbered"))
            }
        }
    }

    /// Number of chunks, 1 to 1,000,000.
    pub const fn chunks(&self) -> u32 {
        self.upload_bytes.div_ceil(self.chunk_bytes) as u32
    }

    /// Bytes of one chunk.
    pub fn length_of(&self, number: u32) -> u64 {
        assert!(number < self.chunks(), "there is no such chunk");
        self.chunk_bytes.min(self.upload_bytes - u64::from(number) * self.chunk_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn more_chunks_than_can_be_numbered_are_refused() {
        assert!(Plan::new(1_000_000, 1).is_ok());
        assert!(Plan::new(1_000_001, 1).is_err());
    }

    proptest! {
        #[test]
        fn the_chunks_add_up(upload in 1u64..100_000, chunk in 1u64..200_000) {
            let plan = Plan::new(upload, chunk).unwrap();
            let lengths: Vec<u64> = (0..plan.chunks()).map(|n| plan.length_of(n)).collect();
            prop_assert_eq!(lengths.iter().sum::<u64>(), upload);
            let (last, others) = lengths.split_last().unwrap();
            prop_assert!(others.iter().all(|&length| length == plan.chunk_bytes));
            prop_assert!((1..=plan.chunk_bytes).contains(last));
        }
    }
}
