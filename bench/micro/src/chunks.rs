//! Whole uploads through a shard's rules, beside backends that do at once what they are asked.

mod backends;

use backends::Backends;
use sluice_shard::{
    ShardConfig,
    config::{Objects, Spool},
    parts::{PART_BYTES_BASE, PART_BYTES_MAX, Plan},
};

use crate::Scenario;

const CHUNKS: u32 = 64;
const PIECE_BYTES: usize = 1 << 10;
const CHUNK_BYTES: usize = 4 * PIECE_BYTES;
const UPLOAD_BYTES: u64 = CHUNKS as u64 * CHUNK_BYTES as u64;

/// Of the shard. Chunks are small, so that the rules show beside the sums.
pub const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "chunks_discard",
        round: "an upload of 64 chunks of 4 KiB in 4 pieces, dropped",
        bytes: UPLOAD_BYTES,
        begin: || uploads(Objects::Discard, Spool::Memory, Way::InPieces),
    },
    Scenario {
        name: "chunks_whole",
        round: "the same, each chunk with its header",
        bytes: UPLOAD_BYTES,
        begin: || uploads(Objects::Discard, Spool::Memory, Way::Whole),
    },
    Scenario {
        name: "chunks_files",
        round: "the same in pieces, in order, written to its place at once",
        bytes: UPLOAD_BYTES,
        begin: || uploads(Objects::Files, Spool::Disk, Way::InPieces),
    },
    Scenario {
        name: "chunks_spooled",
        round: "the same from the last to the first, spooled and then placed",
        bytes: UPLOAD_BYTES,
        begin: || uploads(Objects::Files, Spool::Disk, Way::LastFirst),
    },
];

/// How chunks come.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    InPieces,
    Whole,
    LastFirst,
}

fn uploads(objects: Objects, spool: Spool, way: Way) -> Box<dyn FnMut()> {
    let mut numbers: Vec<u32> = (0..CHUNKS).collect();
    if way == Way::LastFirst {
        numbers.reverse();
    }
    let mut backends = Backends::new(config(objects, spool));
    Box::new(move || {
        backends.initiate();
        for &number in &numbers {
            let is_last = number + 1 == CHUNKS;
            match way {
                Way::Whole => backends.whole_chunk(number, is_last),
                Way::InPieces | Way::LastFirst => backends.chunk(number, is_last),
            }
        }
        backends.assert_whole(UPLOAD_BYTES);
    })
}

/// As wide as a server's, but for what ended: the first rounds must be as the last.
fn config(objects: Objects, spool: Spool) -> ShardConfig {
    ShardConfig {
        objects,
        plan: Plan {
            part_bytes_base: PART_BYTES_BASE,
            part_bytes_max: PART_BYTES_MAX,
            single_put_bytes: 16 << 20,
            equal_part_bytes: None,
        },
        chunk_bytes_usual: 4096,
        spool,
        crc: true,
        discards_whole: false,
        max_chunk_bytes: 16 << 20,
        max_upload_bytes: 1 << 40,
        budget_bytes: 256 << 20,
        hold_bytes: 1 << 20,
        uploads_max: 1_000,
        ended_max: 8,
        upload_bytes_max: 64 << 20,
        streams_max: 1_000,
        waiting_max: 1_000,
        chunk_records_max: 1_000_000,
        admission_wait_ms: 1_000,
        upload_lifetime_ms: 1_000_000,
        segment_bytes: 16 << 20,
        spool_bytes_max: 1 << 30,
        attempt_base: 0,
        places_in_flight_max: 4,
        hash_step_bytes: 1 << 20,
        hash_record_bytes: 64 << 20,
    }
}
