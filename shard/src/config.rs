//! What a shard is told at start.

use crate::parts::Plan;

/// Where finished objects go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Objects {
    /// Nowhere: bytes are summed and dropped. Measures intake alone.
    Discard,
    /// Files: any byte range can be written at any time, and read back.
    Files,
    /// An S3 store: what waits in the spool is sent part by part, and isn't read back.
    S3,
}

/// Where bytes wait that can't go to their place yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spool {
    /// Memory; gone after a restart.
    Memory,
    /// Segments on disk.
    Disk,
    /// Redis: every chunk goes there first, under a key of its own.
    Redis,
}

/// Limits and layers of one shard. All bytes and milliseconds.
#[derive(Clone, Debug)]
pub struct ShardConfig {
    /// Where objects go.
    pub objects: Objects,
    /// With [`Objects::S3`]: how objects are cut into parts.
    pub plan: Plan,
    /// Where bytes wait.
    pub spool: Spool,
    /// Whether chunks are summed. Off only with [`Objects::Discard`].
    pub crc: bool,
    /// With [`Objects::Discard`]: whether a chunk is held whole in memory before it is dropped, as
    /// one is that waits for a store.
    pub discards_whole: bool,
    /// Largest chunk.
    pub max_chunk_bytes: u64,
    /// Largest upload.
    pub max_upload_bytes: u64,
    /// With [`Objects::S3`] and [`Spool::Disk`]: what is kept free for one upload is enough for
    /// chunks of this length and longer.
    pub chunk_bytes_usual: u64,
    /// Memory for chunks on their way in.
    pub budget_bytes: u64,
    /// What one chunk that streams to disk holds in memory at most.
    pub hold_bytes: u64,
    /// Uploads that haven't ended.
    pub uploads_max: usize,
    /// Ended uploads that are kept in memory; others are read when somebody asks for them.
    pub ended_max: usize,
    /// Memory for uploads beside their chunks, bytes; ended ones give way at three quarters.
    pub upload_bytes_max: usize,
    /// Chunks on their way in at one time.
    pub streams_max: usize,
    /// Chunks that wait for memory at one time.
    pub waiting_max: usize,
    /// Chunk records in memory at one time.
    pub chunk_records_max: usize,
    /// A chunk waits for memory this long, then it is refused.
    pub admission_wait_ms: u64,
    /// An upload lives this long before it expires.
    pub upload_lifetime_ms: u64,
    /// Length of a spool segment; at least `max_chunk_bytes`.
    pub segment_bytes: u64,
    /// All segments of one store together; with [`Spool::Redis`] all bodies of the shard, which
    /// are at least two of the largest chunks.
    pub spool_bytes_max: u64,
    /// With [`Spool::Redis`]: no process before this one has used an attempt from here on.
    pub attempt_base: u32,
    /// Chunks of one upload copied to their place, or parts of one sent, at one time.
    pub places_in_flight_max: usize,
    /// One step of the SHA-256 of an upload.
    pub hash_step_bytes: u64,
    /// The SHA-256 state is recorded after so many bytes.
    pub hash_record_bytes: u64,
}

impl ShardConfig {
    /// The largest charge of one chunk.
    #[must_use]
    pub fn charge_bytes_max(&self) -> u64 {
        match self.spool {
            Spool::Memory => self.max_chunk_bytes,
            Spool::Disk | Spool::Redis => self.hold_bytes.min(self.max_chunk_bytes),
        }
    }
}
