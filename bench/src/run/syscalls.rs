//! Counts the system calls of a process, by the kernel's tracepoint, where the machine lets us.
//!
//! Counting costs what is counted up to a tenth of its CPU time, so it is done in repeats whose
//! other figures nobody sees.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::fd::FromRawFd as _;

use crate::run::proc;

/// Counters, one for each thread that there was, and all that these start.
#[derive(Debug)]
pub struct Syscalls(Vec<File>);

impl Syscalls {
    /// Begins to count.
    ///
    /// # Errors
    /// When there is no tracepoint, or we may not use it.
    pub fn count(pid: u32) -> io::Result<Self> {
        let id = fs::read_to_string(TRACEPOINT)?;
        let id = id.trim().parse().map_err(io::Error::other)?;
        let threads = proc::threads(pid)?;
        Ok(Self(threads.into_iter().map(|thread| open(id, thread)).collect::<Result<_, _>>()?))
    }

    /// Whether that can be done at all.
    pub fn can_be_counted() -> bool {
        Self::count(std::process::id()).is_ok()
    }

    /// How many there were since.
    ///
    /// # Errors
    /// When the kernel doesn't tell.
    pub fn so_far(&mut self) -> io::Result<u64> {
        let mut sum = 0;
        for counter in &mut self.0 {
            let mut value = [0; 8];
            counter.read_exact(&mut value)?;
            sum += u64::from_ne_bytes(value);
        }
        Ok(sum)
    }
}

const TRACEPOINT: &str = "/sys/kernel/tracing/events/raw_syscalls/sys_enter/id";

/// `perf_event_attr` as its first version has it; the kernel takes the size as the version.
#[repr(C)]
#[derive(Default)]
struct Attributes {
    kind: u32,
    size: u32,
    config: u64,
    sample_period: u64,
    sample_type: u64,
    read_format: u64,
    flags: u64,
    wakeup_events: u32,
    breakpoint_type: u32,
    config1: u64,
}

const KIND_TRACEPOINT: u32 = 2;
/// Threads that are started later count too.
const FLAG_INHERIT: u64 = 1 << 1;
const CLOSE_ON_EXEC: libc::c_ulong = 8;

fn open(tracepoint: u64, thread: u32) -> io::Result<File> {
    let attributes = Attributes {
        kind: KIND_TRACEPOINT,
        size: size_of::<Attributes>() as u32,
        config: tracepoint,
        flags: FLAG_INHERIT,
        ..Attributes::default()
    };
    let thread = libc::pid_t::try_from(thread).map_err(io::Error::other)?;
    let (any_cpu, no_group): (libc::c_int, libc::c_int) = (-1, -1);
    // SAFETY: the kernel reads as many bytes of the attributes as `size` tells.
    let file = unsafe {
        let attributes = &raw const attributes;
        let call = libc::SYS_perf_event_open;
        libc::syscall(call, attributes, thread, any_cpu, no_group, CLOSE_ON_EXEC)
    };
    match libc::c_int::try_from(file) {
        // SAFETY: the kernel has just given it to us, and nobody else has it.
        Ok(file) if file >= 0 => Ok(unsafe { File::from_raw_fd(file) }),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_counted_where_the_machine_allows_it() {
        // SAFETY: touches no memory.
        let thread = unsafe { libc::gettid() } as u32;
        let Ok(id) = fs::read_to_string(TRACEPOINT) else { return };
        let Ok(counter) = open(id.trim().parse().unwrap(), thread) else { return };
        let mut counted = Syscalls(vec![counter]);
        let before = counted.so_far().unwrap();
        for _ in 0..100 {
            fs::metadata("/").unwrap();
        }
        assert!(counted.so_far().unwrap() >= before + 100);
    }
}
