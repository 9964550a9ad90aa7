//! What a client tells of the load that it put on.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Latencies in microseconds: an `hdrhistogram` of 1 µs to 1 h and 3 digits, serialised as V2 in
/// base64 (as `.hlog` files hold it).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Histogram64(pub String);

/// What came in one second of the measured time.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Second {
    /// Payload bytes that were acked.
    pub bytes: u64,
    /// Acks.
    pub acks: u64,
    /// The 99th percentile of their latency, in microseconds.
    pub ack_p99_us: u64,
    /// Refusals.
    pub refusals: u64,
}

/// What a load came to.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Outcome {
    /// Why the run doesn't count: something wasn't as it was sent, or didn't come out.
    pub failed: Option<String>,
    /// How long was measured.
    pub seconds: f64,
    /// Payload bytes acked in that time.
    pub bytes: u64,
    /// Chunks acked in that time.
    pub chunks: u64,
    /// Uploads that ended, in the whole run.
    pub uploads: u64,
    /// Of these, whose size the server told as it was sent.
    pub sizes_verified: u64,
    /// Of these, whose checksum it told as it was sent.
    pub checksums_verified: u64,
    /// Chunks that were sent and whose answer never came.
    pub acks_lost: u64,
    /// Refusals in the measured time, by reason.
    pub refusals: BTreeMap<String, u64>,
    /// Calls that were sent again.
    pub retries: u64,
    /// Acks of chunks that were in already.
    pub duplicates: u64,
    /// From the start of a chunk to its ack; in an open loop from the intended start.
    pub ack: Histogram64,
    /// Acks that waited for the end of the upload, which aren't in `ack`.
    pub ending_ack: Histogram64,
    /// From the start of an upload to the word that it is stored.
    pub upload: Histogram64,
    /// Open loop: chunks that should have begun in the measured time.
    pub offered_chunks: u64,
    /// The measured time, second by second.
    pub series: Vec<Second>,
    /// What a reader should know: settings that this client doesn't have, say.
    pub notes: Vec<String>,
}
