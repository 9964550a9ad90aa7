//! An upload takes no memory but the pool's: no contiguous buffer anywhere.

mod edge_support;

use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::atomic::{AtomicU64, Ordering::SeqCst},
};

use edge_support::{Edge, config, raw::*};
use sluice_proto::checksum::Crc32c;

const UPLOAD_BYTES: usize = 64 << 20;
const LARGE_BYTES: usize = 256 << 10;

/// Counts what is larger than [`LARGE_BYTES`].
struct Counting;

static LARGE: AtomicU64 = AtomicU64::new(0);
static LARGEST: AtomicU64 = AtomicU64::new(0);

fn count(bytes: usize) {
    if bytes > LARGE_BYTES {
        LARGE.fetch_add(1, SeqCst);
    }
    LARGEST.fetch_max(bytes as u64, SeqCst);
}

// SAFETY: the system's allocator does all but the counting.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: as our caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: as our caller promises.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, start: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        count(bytes);
        // SAFETY: as our caller promises.
        unsafe { System.realloc(start, layout, bytes) }
    }

    unsafe fn dealloc(&self, start: *mut u8, layout: Layout) {
        // SAFETY: as our caller promises.
        unsafe { System.dealloc(start, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Sends frames whose payload is one block again and again, so that the client, which shares the
/// allocator, needs no large memory either.
fn upload(raw: &mut Raw, stream: u32, frame_bytes: usize) {
    let block = [0x5a; 64 << 10];
    raw.open(stream, "/sum", UPLOAD_BYTES);
    let (mut sent, mut sum) = (0, Crc32c::new());
    while sent < UPLOAD_BYTES {
        let length = frame_bytes.min(UPLOAD_BYTES - sent);
        while raw.room(stream) < length {
            raw.wait();
        }
        sent += length;
        let end = if sent == UPLOAD_BYTES { END_STREAM } else { 0 };
        let mut header = frame(DATA, end, stream, &[]);
        header[..3].copy_from_slice(&(length as u32).to_be_bytes()[1..]);
        raw.write(&header);
        raw.spend(stream, length);
        let mut left = length;
        while left > 0 {
            let some = left.min(block.len());
            raw.write(&block[..some]);
            sum.update(&block[..some]);
            left -= some;
        }
    }
    assert_eq!(raw.answer(stream), sum.value());
}

#[test]
fn an_upload_of_64_mib_allocates_nothing_large_beside_the_pool() {
    let mut fixed = config();
    // All of the pool is made at start, so that what is counted later is none of it.
    (fixed.pool.blocks_kept, fixed.pool.blocks_max) = (16, 16);
    let edge = Edge::start(fixed);
    let mut raw = Raw::connect(edge.address);
    raw.call("/sum", 1, b"so that all is started", 100);
    let before = LARGE.load(SeqCst);
    assert!(before >= 16, "the pool's blocks are counted, too");
    LARGEST.store(0, SeqCst);
    for (stream, frame_bytes) in [(3, 1 << 20), (5, 16 << 10), (7, 60_000)] {
        upload(&mut raw, stream, frame_bytes);
    }
    let (after, largest) = (LARGE.load(SeqCst), LARGEST.load(SeqCst));
    assert_eq!(after, before, "the largest has {largest} bytes");
    drop(raw);
    edge.until_empty_but(16 << 20);
}
