//! Whether the kernel lets executors run, found out before glommio panics over it.
//!
//! Owns what is asked of the kernel and in which words a refusal is told. What it finds can
//! change until the executors start: memory limits count for a user, not for a process.

use std::fs;
use std::io;
use std::os::fd::{FromRawFd, OwnedFd};
use std::thread;

/// What an executor pins: registered buffers once for each of its three rings (192 KiB), and the
/// rings themselves (48 KiB on Linux 6.18), rounded up.
const PINNED_BYTES: u64 = 256 << 10;

/// glommio starts nothing below this, not even for those whom no limit binds.
const LIMIT_MIN_BYTES: u64 = 512 << 10;

/// Bit of CAP_IPC_LOCK, which lifts the limit.
const CAP_IPC_LOCK: u32 = 14;

/// Bit of IORING_FEAT_FAST_POLL, of Linux 5.7: with it come all operations that glommio needs.
const FAST_POLL: u32 = 1 << 5;

/// Index of `features` in `struct io_uring_params`, which is 30 words long.
const FEATURES: usize = 5;
const PARAMS_WORDS: usize = 30;

/// Why executors can't run here, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum KernelError {
    /// No io_uring, or it is forbidden.
    #[error(
        "io_uring cannot be used: {0}. It takes Linux 5.8 or later, `sysctl \
         kernel.io_uring_disabled=0`, and in a container a seccomp profile that allows \
         io_uring_setup, io_uring_enter and io_uring_register"
    )]
    IoUring(#[source] io::Error),
    /// Too little memory may be locked.
    #[error(
        "{executors} executors lock {needed_bytes} bytes of memory, but RLIMIT_MEMLOCK is \
         {limit_bytes} bytes, for all processes of this user. Raise it (`ulimit -l`, systemd: \
         LimitMEMLOCK=, docker: --ulimit memlock=), or above 524,288 bytes grant CAP_IPC_LOCK"
    )]
    LockedMemory {
        /// How many executors are to run.
        executors: usize,
        /// What they lock together, bytes, and glommio's own minimum.
        needed_bytes: u64,
        /// The soft limit, bytes.
        limit_bytes: u64,
    },
}

/// Tries io_uring, and holds what `executors` executors lock against the limit.
///
/// # Errors
/// What is missing. Without `/proc` it takes the limit as lifted.
pub fn check(executors: usize) -> Result<(), KernelError> {
    // On a thread of its own: the kernel clears a closed ring away later, and interrupts
    // whatever call the thread that made it is in by then.
    let tried = thread::Builder::new().name("io-uring-check".into()).spawn(try_io_uring);
    let tried = tried.and_then(|thread| thread.join().expect("it doesn't panic"));
    tried.map_err(KernelError::IoUring)?;
    check_locked(executors, locked_limit(), is_limit_lifted())
}

/// The error of an executor that failed with ENOMEM, unless the limit can't be to blame.
pub(super) fn blame_locked(executors: usize) -> Option<KernelError> {
    let limit_bytes = locked_limit();
    let needed_bytes = needed(executors);
    let is_limited = limit_bytes != u64::MAX && !is_limit_lifted();
    is_limited.then_some(KernelError::LockedMemory { executors, needed_bytes, limit_bytes })
}

fn needed(executors: usize) -> u64 {
    (executors as u64 * PINNED_BYTES).max(LIMIT_MIN_BYTES)
}

fn check_locked(executors: usize, limit_bytes: u64, is_lifted: bool) -> Result<(), KernelError> {
    let needed_bytes = needed(executors);
    let enough = if is_lifted { LIMIT_MIN_BYTES } else { needed_bytes };
    if limit_bytes < enough {
        return Err(KernelError::LockedMemory { executors, needed_bytes, limit_bytes });
    }
    Ok(())
}

fn locked_limit() -> u64 {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the limit lives for the length of the call.
    let done = unsafe { libc::getrlimit(libc::RLIMIT_MEMLOCK, &mut limit) };
    assert_eq!(done, 0, "the resource exists and the pointer is good");
    limit.rlim_cur
}

/// Whether this thread (and those it makes) holds CAP_IPC_LOCK where the kernel looks for it: in
/// the first user namespace. Root of a container's own namespace doesn't.
fn is_limit_lifted() -> bool {
    let read = (
        fs::read_to_string("/proc/thread-self/status"),
        fs::read_to_string("/proc/thread-self/uid_map"),
    );
    let (Ok(status), Ok(uid_map)) = read else { return true };
    holds_ipc_lock(&status) && is_first_namespace(&uid_map)
}

fn holds_ipc_lock(status: &str) -> bool {
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let bits = effective.and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok());
    bits.is_some_and(|bits| bits & (1 << CAP_IPC_LOCK) != 0)
}

fn is_first_namespace(uid_map: &str) -> bool {
    let mut words = uid_map.split_whitespace();
    let whole = u32::MAX.to_string();
    words.next() == Some("0") && words.next() == Some("0") && words.next() == Some(&whole)
}

fn try_io_uring() -> io::Result<()> {
    let mut params = [0u32; PARAMS_WORDS];
    // SAFETY: the array is as long and as aligned as the structure that the kernel fills, and
    // lives for the length of the call.
    let ring = unsafe { libc::syscall(libc::SYS_io_uring_setup, 1, params.as_mut_ptr()) };
    if ring < 0 {
        let error = io::Error::last_os_error();
        // For want of memory: the limit's check says more.
        let is_known = error.raw_os_error() == Some(libc::ENOMEM);
        return if is_known { Ok(()) } else { Err(error) };
    }
    // SAFETY: the descriptor was made here and nobody else has it.
    drop(unsafe { OwnedFd::from_raw_fd(ring as i32) });
    if params[FEATURES] & FAST_POLL == 0 {
        return Err(io::Error::new(io::ErrorKind::Unsupported, "this kernel is too old"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_binds_those_without_the_capability_and_below_half_a_mebibyte_all() {
        assert!(check_locked(2, 512 << 10, false).is_ok());
        assert!(check_locked(3, 512 << 10, false).is_err());
        assert!(check_locked(3, 768 << 10, false).is_ok());
        assert!(check_locked(300, 512 << 10, true).is_ok());
        assert!(check_locked(1, 64 << 10, true).is_err());
        assert!(check_locked(1000, u64::MAX, false).is_ok());
        let told = check_locked(40, 8 << 20, false).unwrap_err().to_string();
        assert!(told.contains("40 executors lock 10485760 bytes"), "{told}");
        assert!(told.contains("is 8388608 bytes") && told.contains("LimitMEMLOCK"), "{told}");
    }

    #[test]
    fn the_capability_counts_in_the_first_namespace_only() {
        assert!(holds_ipc_lock("Name:\tx\nCapEff:\t0000000000004000\n"));
        assert!(!holds_ipc_lock("Name:\tx\nCapEff:\t000001ffffffbfff\n"));
        assert!(!holds_ipc_lock("Name:\tx\n"));
        assert!(is_first_namespace("         0          0 4294967295\n"));
        assert!(!is_first_namespace("         0     100000      65536\n"));
    }

    #[test]
    fn io_uring_works_here() {
        try_io_uring().unwrap();
    }
}
