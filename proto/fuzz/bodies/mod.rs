//! What each fuzz target does with an input. A panic is a finding.
//!
//! `proto/tests/fuzz_bodies.rs` does the same with the seeds, so a finding that
//! became a seed stays found.

use bytes::Bytes;

pub mod checksum;
pub mod chunk;
pub mod frame;
pub mod initiate;
pub mod rope;

/// Pieces that an input is cut into at most.
const PIECES_MAX: usize = 16;

/// An input as a stream that arrives in pieces: its first byte counts cuts,
/// those after are the lengths up to them, all the rest is the stream.
struct Stream {
    whole: Bytes,
    pieces: Vec<Bytes>,
}

impl Stream {
    fn of(input: &[u8]) -> Self {
        let (&count, rest) = input.split_first().unwrap_or((&0, &[]));
        let (lengths, whole) = rest.split_at((usize::from(count) % PIECES_MAX).min(rest.len()));
        let whole = Bytes::copy_from_slice(whole);
        let mut left = whole.clone();
        let mut pieces: Vec<Bytes> =
            lengths.iter().map(|&len| left.split_to(usize::from(len).min(left.len()))).collect();
        pieces.push(left);
        Self { whole, pieces }
    }
}
