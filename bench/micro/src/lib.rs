//! What the server does for every piece, message and chunk, one at a time.
//!
//! Each [`Scenario`] does the same work with the same input in every round, so Criterion can time
//! it (`benches`) and callgrind can count its instructions ([`figures`]). No socket, no clock, no
//! randomness.

pub mod budget;
pub mod chunks;
pub mod decode;
pub mod figures;
pub mod plan;
pub mod rope;
pub mod sums;

/// Bytes of a piece as the edge passes it on: HTTP/2's default frame.
pub const PIECE_BYTES: usize = 16 << 10;

/// Work that is repeated in rounds.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    /// What it is called in figures.
    pub name: &'static str,
    /// What one round does.
    pub round: &'static str,
    /// Bytes that a round reads or writes; 0 where it moves slices alone.
    pub bytes: u64,
    /// Makes the input; each call of what comes back is a round.
    pub begin: fn() -> Box<dyn FnMut()>,
}

/// All of them, by name.
pub fn all() -> impl Iterator<Item = &'static Scenario> {
    [
        budget::SCENARIOS,
        chunks::SCENARIOS,
        decode::SCENARIOS,
        plan::SCENARIOS,
        rope::SCENARIOS,
        sums::SCENARIOS,
    ]
    .into_iter()
    .flatten()
}

/// Bytes that are neither all alike nor random.
fn pattern(len_bytes: usize) -> Vec<u8> {
    (0..len_bytes).map(|at| (at * 7 + at / 251) as u8).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_scenario_goes_round_and_round() {
        for scenario in all() {
            let mut round = (scenario.begin)();
            (0..3).for_each(|_| round());
        }
    }

    #[test]
    fn no_name_is_used_twice() {
        let names: BTreeSet<_> = all().map(|scenario| scenario.name).collect();
        assert_eq!(names.len(), all().count());
    }
}
