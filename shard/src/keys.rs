//! Names that tie an effect to its end, and a question to its answer.

/// A moment, given by the driver: the shard has no clock of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Monotonic milliseconds since some fixed moment; for waits.
    pub mono_ms: u64,
    /// Unix time in milliseconds; for what is recorded, and may jump.
    pub wall_ms: u64,
}

/// One chunk on its way in, named by whoever reads it. Never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamKey(pub u64);

/// One control call that waits for its reply, named by whoever asked. Never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CallId(pub u64);

/// One effect whose end the shard must hear of, named by the shard. Never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OpId(pub u64);

/// The bytes of one attempt at a chunk while they are written, named by the shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BodyId(pub u64);
