//! Waits for an intended start, to some microseconds: the runtime's own timers count milliseconds.

use std::io;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::time::{Duration, Instant};

use tokio::io::unix::AsyncFd;

use crate::clock::now;

/// One timer of the kernel.
#[derive(Debug)]
pub struct Ticker(AsyncFd<OwnedFd>);

impl Ticker {
    /// One that isn't set. Must be called in the runtime.
    ///
    /// # Errors
    /// When there are too many open files.
    pub fn new() -> io::Result<Self> {
        // SAFETY: takes constants and touches no memory.
        let fd = unsafe {
            libc::timerfd_create(libc::CLOCK_MONOTONIC, libc::TFD_NONBLOCK | libc::TFD_CLOEXEC)
        };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: it was just made, and nobody else has it.
        let timer = unsafe { OwnedFd::from_raw_fd(fd) };
        // SAFETY: an `OwnedFd` stays the same open descriptor until it is dropped.
        let registered = unsafe { AsyncFd::register(timer) };
        Ok(Self(registered?))
    }

    /// Waits until `due`; not at all if that has passed.
    ///
    /// # Errors
    /// None that a timer of the kernel is known to have.
    pub async fn wait_until(&self, due: Instant) -> io::Result<()> {
        loop {
            let left = due.saturating_duration_since(now());
            if left.is_zero() {
                return Ok(());
            }
            self.set(left)?;
            let mut ready = self.0.readable().await?;
            // Setting it anew takes back that it is readable; only the runtime must be told.
            ready.clear_ready();
        }
    }

    fn set(&self, after: Duration) -> io::Result<()> {
        let once = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        let value = libc::timespec {
            tv_sec: after.as_secs().try_into().unwrap_or(libc::time_t::MAX),
            tv_nsec: after.subsec_nanos().into(),
        };
        let timer = libc::itimerspec { it_interval: once, it_value: value };
        // SAFETY: the timer is open, `timer` is read before the call returns, and no old value is
        // asked for.
        let set = unsafe {
            libc::timerfd_settime(self.0.as_raw_fd(), 0, &raw const timer, std::ptr::null_mut())
        };
        if set == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_never_wakes_too_early_and_can_be_used_again() {
        let ticker = Ticker::new().unwrap();
        let begin = now();
        ticker.wait_until(begin).await.unwrap();
        for us in [300, 600, 2_500] {
            let due = begin + Duration::from_micros(us);
            ticker.wait_until(due).await.unwrap();
            assert!(now() >= due);
        }
    }
}
