//! Checksums: of bytes, and of a whole from the sums of its parts.

use std::hint::black_box;

use sluice_proto::checksum::{Crc32c, Crc64Nvme, Sha256State};

use crate::{PIECE_BYTES, Scenario, pattern};

/// Of the checksums.
pub const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "sums_crc32c",
        round: "CRC-32C of 16 KiB",
        bytes: PIECE_BYTES as u64,
        begin: crc32c,
    },
    Scenario {
        name: "sums_crc64nvme",
        round: "CRC-64/NVME of 16 KiB",
        bytes: PIECE_BYTES as u64,
        begin: crc64nvme,
    },
    Scenario {
        name: "sums_sha256",
        round: "SHA-256 of 16 KiB",
        bytes: PIECE_BYTES as u64,
        begin: sha256,
    },
    Scenario {
        name: "sums_sha256_four",
        round: "SHA-256 of 16 KiB of each of four uploads",
        bytes: 4 * PIECE_BYTES as u64,
        begin: sha256_four,
    },
    Scenario {
        name: "sums_combine",
        round: "both CRCs of 16 chunks combined in turn",
        bytes: 0,
        begin: combine,
    },
];

fn crc32c() -> Box<dyn FnMut()> {
    let piece = pattern(PIECE_BYTES);
    Box::new(move || {
        black_box(Crc32c::of(black_box(&piece)));
    })
}

fn crc64nvme() -> Box<dyn FnMut()> {
    let piece = pattern(PIECE_BYTES);
    Box::new(move || {
        black_box(Crc64Nvme::of(black_box(&piece)));
    })
}

/// Fed, not begun anew: as an upload's bytes are.
fn sha256() -> Box<dyn FnMut()> {
    let piece = pattern(PIECE_BYTES);
    let mut state = Sha256State::new();
    Box::new(move || {
        state.update(black_box(&piece));
    })
}

fn sha256_four() -> Box<dyn FnMut()> {
    let piece = pattern(PIECE_BYTES);
    let mut states = [const { Sha256State::new() }; 4];
    Box::new(move || {
        let mut fed = states.each_mut().map(|state| (state, black_box(&piece[..])));
        Sha256State::update_each(&mut fed);
    })
}

fn combine() -> Box<dyn FnMut()> {
    Box::new(|| {
        let (mut crc32c, mut crc64nvme) = (0x1234_5678, 0x0123_4567_89ab_cdef);
        for nth in 0..16 {
            let bytes = black_box((1 << 20) + nth * 1_001);
            crc32c = Crc32c::combine(crc32c, 0x8765_4321, bytes);
            crc64nvme = Crc64Nvme::combine(crc64nvme, 0xfedc_ba98_7654_3210, bytes);
        }
        black_box((crc32c, crc64nvme));
    })
}
