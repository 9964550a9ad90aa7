//! Where bytes are, and where they go.

use sluice_proto::checksum::{Crc32c, Crc64Nvme};

use crate::{keys::BodyId, record::Extent};

/// Where one attempt's bytes are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyPlace {
    /// Straight to their place in the partial object.
    Object {
        /// Where they begin, bytes.
        offset: u64,
    },
    /// To the spool on disk.
    Spool(Extent),
    /// To Redis, under a key that was never written before.
    Redis {
        /// Chunk number.
        number: u32,
        /// Which attempt at it.
        attempt: u32,
    },
    /// Into memory.
    Memory,
    /// Nowhere.
    Discard,
}

/// Whether the SHA-256 will come to a body while its bytes are in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HashTurn {
    /// No: they are read back.
    Never,
    /// All before is in memory or hashed: it waits for nothing but the hash, so its bytes may hold
    /// their window until then.
    Sure,
    /// Something before is still on its way in, and may never come: its bytes may wait for that
    /// where they hold nobody up.
    Maybe,
}

/// Where a placed chunk comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlaceFrom {
    /// The spool of the upload's store.
    Spool(Extent),
    /// Redis.
    Redis {
        /// Chunk number.
        number: u32,
        /// Which attempt at it.
        attempt: u32,
    },
    /// A body held in memory.
    Memory(BodyId),
}

/// Some bytes of one chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slice {
    /// Where the chunk is.
    pub from: PlaceFrom,
    /// Where the slice begins in the chunk, bytes.
    pub offset: u64,
    /// Its length, bytes; at least 1.
    pub bytes: u64,
}

/// Sums of a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartSums {
    /// CRC64NVME of the part.
    pub crc64nvme: u64,
    /// CRC32C of the part.
    pub crc32c: u32,
}

impl PartSums {
    /// Those of nothing.
    #[must_use]
    pub fn empty() -> Self {
        Self { crc64nvme: Crc64Nvme::of(b""), crc32c: Crc32c::of(b"") }
    }

    /// With the sums of more bytes behind.
    #[must_use]
    pub fn then(self, crc64nvme: u64, crc32c: u32, bytes: u64) -> Self {
        Self {
            crc64nvme: Crc64Nvme::combine(self.crc64nvme, crc64nvme, bytes),
            crc32c: Crc32c::combine(self.crc32c, crc32c, bytes),
        }
    }
}
