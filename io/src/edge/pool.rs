//! The memory that sockets are read into: blocks of one shard, shared by all its connections.
//!
//! A read fills the shard's current block, and what came is handed on as a slice of it, so an
//! idle connection holds no block and a busy one never copies. A block comes back when its last
//! slice dies, on whichever core that is, and the warmest block is used first.
//!
//! Invariants: a byte is written before it is first lent out and never after; a block is in one
//! place only (current, lent out, or free).

use std::{
    alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error},
    ptr::{self, NonNull},
    sync::{
        Arc,
        atomic::{AtomicPtr, Ordering},
    },
};

use bytes::Bytes;

/// Huge-page alignment: the kernel may back a block by one page, and DMA never straddles.
const ALIGN_BYTES: usize = 2 << 20;

/// Below this much room a read would be too short to be worth a system call.
const ROOM_MIN_BYTES: usize = 64 << 10;

/// Blocks that were made beyond the kept ones go back to the system after this long unused, if
/// nobody says otherwise.
const SPARE_KEPT_MS: u64 = 10_000;

/// The sizes of a shard's pool.
#[derive(Clone, Copy, Debug)]
pub struct PoolLimits {
    /// Length of one block, bytes; at least 128 KiB.
    pub block_bytes: usize,
    /// Blocks made and touched at start, and kept for ever.
    pub blocks_kept: usize,
    /// No more blocks than this exist at one time.
    pub blocks_max: usize,
}

/// The blocks of one shard. Stays on its thread; the slices it lends may go anywhere.
pub struct Pool {
    limits: PoolLimits,
    home: Arc<Home>,
    free: Vec<NonNull<u8>>,
    made: usize,
    current: Option<Current>,
    spare_since_ms: Option<u64>,
    spare_kept_ms: u64,
}

struct Current {
    whole: Bytes,
    start: NonNull<u8>,
    used: usize,
}

impl Pool {
    /// Makes the kept blocks and touches every page of them, so that no read pays for it later.
    ///
    /// # Panics
    /// When the limits contradict each other: config never makes such.
    #[must_use]
    pub fn new(limits: PoolLimits) -> Self {
        assert!(limits.block_bytes >= 2 * ROOM_MIN_BYTES);
        assert!(limits.blocks_max >= limits.blocks_kept.max(1));
        let layout = Layout::from_size_align(limits.block_bytes, ALIGN_BYTES)
            .expect("a block's size is far below the address space");
        let home = Arc::new(Home { returned: AtomicPtr::new(ptr::null_mut()), layout });
        let mut pool = Self {
            limits,
            home,
            free: Vec::with_capacity(limits.blocks_kept),
            made: 0,
            current: None,
            spare_since_ms: None,
            spare_kept_ms: SPARE_KEPT_MS,
        };
        for _ in 0..limits.blocks_kept {
            let block = pool.make();
            // SAFETY: the block is ours alone and `block_bytes` long.
            unsafe { block.as_ptr().write_bytes(0, limits.block_bytes) };
            pool.free.push(block);
        }
        pool
    }

    /// Where the next read goes; at least 64 KiB. `None`: every block is in use, so stop reading
    /// until one comes back.
    pub fn room(&mut self) -> Option<&mut [u8]> {
        let block_bytes = self.limits.block_bytes;
        let full = |current: &Current| block_bytes - current.used < ROOM_MIN_BYTES;
        if self.current.as_ref().is_none_or(full) {
            self.current = None; // the last slice that was lent takes it home
            let start = self.take()?;
            let lent = Lent { start, home: self.home.clone() };
            self.current = Some(Current { whole: Bytes::from_owner(lent), start, used: 0 });
        }
        let current = self.current.as_mut()?;
        // SAFETY: the block lives as long as `whole`; its bytes are initialised (made zeroed);
        // those from `used` on were never lent, so nobody else sees them.
        Some(unsafe {
            std::slice::from_raw_parts_mut(
                current.start.as_ptr().add(current.used),
                block_bytes - current.used,
            )
        })
    }

    /// Lends out the first `filled` bytes of what [`Pool::room`] gave.
    ///
    /// # Panics
    /// When there was less room than that.
    pub fn filled(&mut self, filled: usize) -> Bytes {
        if filled == 0 {
            return Bytes::new();
        }
        let current = self.current.as_mut().expect("room() comes before filled()");
        let from = current.used;
        assert!(filled <= self.limits.block_bytes - from, "more was filled than there was room");
        current.used += filled;
        current.whole.slice(from..current.used)
    }

    /// Memory of all blocks that exist, in use or not, bytes.
    #[must_use]
    pub fn committed_bytes(&self) -> usize {
        self.made * self.limits.block_bytes
    }

    /// Blocks beyond the kept ones stay for so long after their last use, milliseconds; 10,000
    /// if nobody says so.
    pub fn keep_spare_ms(&mut self, spare_kept_ms: u64) {
        self.spare_kept_ms = spare_kept_ms;
    }

    /// Gives blocks beyond the kept ones back to the system once some lay unused for that long.
    /// Call it every second or so.
    pub fn trim(&mut self, now_ms: u64) {
        self.collect();
        let spare = self.made.saturating_sub(self.limits.blocks_kept).min(self.free.len());
        if spare == 0 {
            self.spare_since_ms = None;
            return;
        }
        let since_ms = *self.spare_since_ms.get_or_insert(now_ms);
        if now_ms.saturating_sub(since_ms) >= self.spare_kept_ms {
            for block in self.free.drain(..spare) {
                // SAFETY: a free block is in nobody's hands, and was made with this layout.
                unsafe { dealloc(block.as_ptr(), self.home.layout) };
            }
            self.made -= spare;
            self.spare_since_ms = None;
        }
    }

    fn take(&mut self) -> Option<NonNull<u8>> {
        self.collect();
        if let Some(block) = self.free.pop() {
            return Some(block);
        }
        (self.made < self.limits.blocks_max).then(|| self.make())
    }

    fn make(&mut self) -> NonNull<u8> {
        // SAFETY: the layout's size is not zero.
        let block = unsafe { alloc_zeroed(self.home.layout) };
        let Some(block) = NonNull::new(block) else { handle_alloc_error(self.home.layout) };
        self.made += 1;
        block
    }

    /// Brings home what was returned, the latest on top, where the next take finds it warm.
    fn collect(&mut self) {
        let from = self.free.len();
        let mut next = self.home.take_returned();
        while let Some(block) = next {
            self.free.push(block);
            // SAFETY: a returned block is nobody's but the list's, which begins with its link.
            next = NonNull::new(unsafe { block.cast::<*mut u8>().read() });
        }
        self.free[from..].reverse();
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.current = None;
        for block in self.free.drain(..) {
            // SAFETY: as in `trim`.
            unsafe { dealloc(block.as_ptr(), self.home.layout) };
        }
    }
}

/// Where blocks come back to: a stack that any core may push on and the pool takes whole, so it
/// knows no ABA. The link lies in a block's first bytes. It outlives the pool while blocks are
/// lent out.
struct Home {
    returned: AtomicPtr<u8>,
    layout: Layout,
}

impl Home {
    fn give(&self, block: NonNull<u8>) {
        let mut top = self.returned.load(Ordering::Relaxed);
        loop {
            // SAFETY: the last slice is dead, so the block is ours; it is aligned and long enough.
            unsafe { block.cast::<*mut u8>().write(top) };
            match self.returned.compare_exchange_weak(
                top,
                block.as_ptr(),
                Ordering::Release,
                Ordering::Relaxed,
            ) {
                Ok(_) => return,
                Err(now) => top = now,
            }
        }
    }

    fn take_returned(&self) -> Option<NonNull<u8>> {
        NonNull::new(self.returned.swap(ptr::null_mut(), Ordering::Acquire))
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let mut next = self.take_returned();
        while let Some(block) = next {
            // SAFETY: nobody holds a block any more, or Home would live; the link is read before
            // the block is gone.
            unsafe {
                next = NonNull::new(block.cast::<*mut u8>().read());
                dealloc(block.as_ptr(), self.layout);
            }
        }
    }
}

/// A block while slices of it live.
struct Lent {
    start: NonNull<u8>,
    home: Arc<Home>,
}

// SAFETY: a lent block is only read, and `Home` takes it back from any thread.
unsafe impl Send for Lent {}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: the block is this long and initialised. The pool writes only to what it has not
        // lent yet, and `Bytes` lends no byte beyond the slices that `filled` made.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.home.layout.size()) }
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.home.give(self.start);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: PoolLimits = PoolLimits { block_bytes: 128 << 10, blocks_kept: 2, blocks_max: 3 };

    fn read(pool: &mut Pool, bytes: usize, with: u8) -> Option<Bytes> {
        pool.room()?[..bytes].fill(with);
        Some(pool.filled(bytes))
    }

    #[test]
    fn what_was_lent_stays_as_it_was_while_the_block_fills() {
        let mut pool = Pool::new(LIMITS);
        let slices: Vec<_> = (0..9).map(|i| read(&mut pool, 10_000, i).unwrap()).collect();
        for (i, slice) in slices.iter().enumerate() {
            assert!(slice.iter().all(|&byte| usize::from(byte) == i));
        }
    }

    #[test]
    fn a_block_comes_home_from_another_thread_and_the_warmest_is_used_first() {
        let mut pool = Pool::new(LIMITS);
        let far = read(&mut pool, 100 << 10, 1).unwrap();
        let near = read(&mut pool, 100 << 10, 2).unwrap();
        let (far_address, near_address) = (far.as_ptr(), near.as_ptr());
        std::thread::spawn(move || drop(far)).join().unwrap();
        drop(near);
        let warmest = read(&mut pool, 100 << 10, 3).unwrap();
        let next = read(&mut pool, 100 << 10, 4).unwrap();
        assert_eq!((warmest.as_ptr(), next.as_ptr()), (near_address, far_address));
    }

    #[test]
    fn there_are_never_more_blocks_than_the_limit() {
        let mut pool = Pool::new(LIMITS);
        let mut held: Vec<_> = (0..3).map(|i| read(&mut pool, 100 << 10, i).unwrap()).collect();
        assert!(read(&mut pool, 1, 9).is_none());
        held.pop();
        assert!(read(&mut pool, 1, 9).is_some());
        assert_eq!(pool.committed_bytes(), 3 * LIMITS.block_bytes);
    }

    #[test]
    fn blocks_beyond_the_kept_ones_are_given_back_after_ten_seconds() {
        let mut pool = Pool::new(LIMITS);
        let held: Vec<_> = (0..3).map(|i| read(&mut pool, 100 << 10, i).unwrap()).collect();
        pool.trim(0);
        drop(held);
        pool.trim(1_000);
        pool.trim(10_999);
        assert_eq!(pool.committed_bytes(), 3 * LIMITS.block_bytes);
        pool.trim(11_000);
        assert_eq!(pool.committed_bytes(), 2 * LIMITS.block_bytes);
    }

    #[test]
    fn slices_outlive_their_pool() {
        let mut pool = Pool::new(LIMITS);
        let slice = read(&mut pool, 5, 7).unwrap();
        drop(pool);
        assert_eq!(slice, [7; 5][..]);
    }
}
