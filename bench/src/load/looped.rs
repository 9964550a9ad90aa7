//! A long buffer that is a short piece of memory again and again.
//!
//! Whoever sends from it reads from its own CPU's cache, so a client costs a quarter less, and
//! chunks of any size take no memory. A real client's memory traffic is on another machine.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::{AsRawFd as _, FromRawFd as _};

use bytes::Bytes;

/// Bytes of the piece: half of what a CPU's second cache has these days, so that there is room for
/// what the kernel does. No multiple of what files or frames are cut by: pieces of a chunk that a
/// server mixed up would be alike only at multiples of this.
pub const PERIOD_BYTES: usize = 127 * PAGE_BYTES;
const PAGE_BYTES: usize = 4096;

/// `length` bytes or some more: `piece`, of [`PERIOD_BYTES`], without an end.
///
/// # Errors
/// When the kernel has no memory, or doesn't map so much.
pub fn looped(piece: &[u8], length: usize) -> io::Result<Bytes> {
    assert_eq!(piece.len(), PERIOD_BYTES, "pages are mapped whole");
    // SAFETY: the name is a constant that ends with a zero byte.
    let fd = unsafe { libc::memfd_create(c"payload".as_ptr(), libc::MFD_CLOEXEC) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: it was just made, and nobody else has it.
    let mut file = unsafe { File::from_raw_fd(fd) };
    file.write_all(piece)?;
    let mapped = Mapped::reserve(length.next_multiple_of(PERIOD_BYTES))?;
    for start in (0..mapped.length).step_by(PERIOD_BYTES) {
        mapped.map(start, &file)?;
    }
    Ok(Bytes::from_owner(mapped))
}

/// Addresses that are this buffer's alone.
struct Mapped {
    start: *mut u8,
    length: usize,
}

// SAFETY: nothing writes to the memory once it is mapped, and nobody else can unmap it.
unsafe impl Send for Mapped {}

impl Mapped {
    fn reserve(length: usize) -> io::Result<Self> {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        // SAFETY: asks for addresses that nothing uses yet.
        let start =
            unsafe { libc::mmap(std::ptr::null_mut(), length, libc::PROT_NONE, flags, -1, 0) };
        match start {
            libc::MAP_FAILED => Err(io::Error::last_os_error()),
            start => Ok(Self { start: start.cast(), length }),
        }
    }

    /// Lets the file's piece be seen `offset` bytes from the start.
    fn map(&self, offset: usize, file: &File) -> io::Result<()> {
        assert!(offset + PERIOD_BYTES <= self.length, "within what was reserved");
        let flags = libc::MAP_SHARED | libc::MAP_FIXED | libc::MAP_POPULATE;
        // SAFETY: replaces a part of what was reserved, which nobody looks at yet; the file has
        // that many bytes and keeps them, for it is dropped without a name.
        let mapped = unsafe {
            let at = self.start.add(offset).cast();
            libc::mmap(at, PERIOD_BYTES, libc::PROT_READ, flags, file.as_raw_fd(), 0)
        };
        if mapped == libc::MAP_FAILED { Err(io::Error::last_os_error()) } else { Ok(()) }
    }
}

impl AsRef<[u8]> for Mapped {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: all of it was mapped for reading before anyone else got it, and stays so until
        // it is dropped.
        unsafe { std::slice::from_raw_parts(self.start, self.length) }
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        // SAFETY: the addresses are its own. Should it fail, they are only used up.
        unsafe { libc::munmap(self.start.cast(), self.length) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_piece_comes_again_and_again() {
        let piece: Vec<u8> = (0..PERIOD_BYTES).map(|at| (at % 251) as u8).collect();
        let bytes = looped(&piece, 3 * PERIOD_BYTES - 5).unwrap();
        assert_eq!(bytes.len(), 3 * PERIOD_BYTES);
        assert!(bytes.chunks(PERIOD_BYTES).all(|part| part == piece));
        let tail = bytes.slice(2 * PERIOD_BYTES + 7..);
        drop(bytes);
        assert!(tail == piece[7..]);
    }
}
