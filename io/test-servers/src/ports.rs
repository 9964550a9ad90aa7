//! Ports that no other test has, in this process or another.

use std::fs::File;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::Mutex;

/// Below what the kernel gives to clients.
const FIRST: u16 = 20_000;
const LAST: u16 = 32_000;
const BLOCK: u16 = 1_000;

/// The ports that this process hands out, and the lock that keeps other processes off them.
struct Block {
    _lock: File,
    first: u16,
    next: u16,
}

static BLOCK_HELD: Mutex<Option<Block>> = Mutex::new(None);

/// `count` ports in a row that nobody listens on. Never handed out twice until all were.
///
/// # Panics
/// When there are none.
pub fn free(count: u16) -> u16 {
    let mut held = BLOCK_HELD.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let block = held.get_or_insert_with(lock_block);
    for _ in 0..BLOCK {
        if block.next + count > block.first + BLOCK {
            block.next = block.first;
        }
        let first = block.next;
        block.next += count;
        // Servers share a port with whoever listens there already, so that must be asked here.
        if (first..first + count).all(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok())
        {
            return first;
        }
    }
    panic!("no {count} free ports in a row from {} on", block.first);
}

fn lock_block() -> Block {
    for first in (FIRST..LAST).step_by(BLOCK.into()) {
        let path = std::env::temp_dir().join(format!("sluice-test-ports-{first}.lock"));
        let lock =
            File::create(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        if lock.try_lock().is_ok() {
            return Block { _lock: lock, first, next: first };
        }
    }
    panic!("all ports from {FIRST} to {LAST} are taken by other tests");
}

#[test]
fn ports_are_handed_out_once() {
    let first = free(3);
    let second = free(2);
    assert!(second >= first + 3 || second + 2 <= first);
}
