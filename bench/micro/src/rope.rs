//! Bytes in pieces: pushed, looked through, cut.

use std::hint::black_box;

use bytes::Bytes;
use sluice_proto::grpc::Rope;

use crate::{PIECE_BYTES, Scenario, pattern};

const PIECES: usize = 64;

/// Of the rope.
pub const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "rope_through",
        round: "64 pieces pushed, looked through, and taken out again",
        bytes: 0,
        begin: through,
    },
    Scenario {
        name: "rope_split",
        round: "64 pieces cut into 100 ropes, across pieces",
        bytes: 0,
        begin: split,
    },
    Scenario {
        name: "rope_copy",
        round: "64 pieces of 100 bytes joined into one copy",
        bytes: (PIECES * 100) as u64,
        begin: copy,
    },
];

fn pieces(piece_bytes: usize) -> Vec<Bytes> {
    let block = Bytes::from(pattern(PIECES * piece_bytes));
    (0..PIECES).map(|nth| block.slice(nth * piece_bytes..(nth + 1) * piece_bytes)).collect()
}

fn filled(pieces: &[Bytes]) -> Rope {
    pieces.iter().cloned().collect()
}

fn through() -> Box<dyn FnMut()> {
    let pieces = pieces(PIECE_BYTES);
    Box::new(move || {
        let mut rope = filled(&pieces);
        black_box(rope.pieces().map(Bytes::len).sum::<usize>());
        while let Some(piece) = rope.pop_front(usize::MAX) {
            black_box(piece);
        }
    })
}

fn split() -> Box<dyn FnMut()> {
    let pieces = pieces(PIECE_BYTES);
    let cut_bytes = PIECES * PIECE_BYTES / 100;
    Box::new(move || {
        let mut rope = filled(&pieces);
        while rope.len() >= cut_bytes {
            rope.split_to(cut_bytes).into_pieces().for_each(|piece| drop(black_box(piece)));
        }
    })
}

fn copy() -> Box<dyn FnMut()> {
    let pieces = pieces(100);
    Box::new(move || {
        let mut rope = filled(&pieces);
        rope.unpin();
        black_box(rope);
    })
}
