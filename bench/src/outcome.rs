//! What a client tells of the load that it put on.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Deserializer, Serializer as _, V2Serializer};
use serde::{Deserialize, Serialize};

/// Latencies in microseconds: an `hdrhistogram` of 1 µs to 1 h and 3 digits, serialised as V2 in
/// base64 (as `.hlog` files hold it).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Histogram64(pub String);

impl Histogram64 {
    /// Writes one down.
    pub fn of(latencies_us: &Histogram<u64>) -> Self {
        let mut bytes = Vec::new();
        let written = V2Serializer::new().serialize(latencies_us, &mut bytes);
        written.expect("memory takes all, and counts are below i64::MAX");
        Self(STANDARD.encode(bytes))
    }

    /// Reads it; none if it is empty, or no histogram.
    pub fn read(&self) -> Option<Histogram<u64>> {
        let bytes = STANDARD.decode(&self.0).ok().filter(|bytes| !bytes.is_empty())?;
        Deserializer::new().deserialize(&mut bytes.as_slice()).ok()
    }
}

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
    /// From an upload's last ack, where that didn't wait for its end, to the word that it is stored.
    pub complete: Histogram64,
    /// Open loop: chunks that should have begun in the measured time.
    pub offered_chunks: u64,
    /// The measured time, second by second.
    pub series: Vec<Second>,
    /// What a reader should know: settings that this client doesn't have, say.
    pub notes: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_is_read_as_it_was_written() {
        let mut latencies = Histogram::new_with_bounds(1, 3_600_000_000, 3).unwrap();
        latencies.record_n(1_500, 3).unwrap();
        assert_eq!(Histogram64::of(&latencies).read(), Some(latencies));
        assert_eq!(Histogram64::default().read(), None);
        assert_eq!(Histogram64("AAAA".into()).read(), None);
    }
}
