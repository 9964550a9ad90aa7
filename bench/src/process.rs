//! What a process took, read from `/proc`.

use std::fs;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use serde::Serialize;

/// Memory is looked at so often: a peak between two looks is seen by the kernel's own mark alone.
const SAMPLE_INTERVAL: Duration = Duration::from_millis(50);

/// CPU time of all threads of a process, in seconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Cpu {
    /// In its own code.
    pub user_s: f64,
    /// In the kernel for it.
    pub system_s: f64,
}

impl Cpu {
    /// Both.
    pub fn total_s(&self) -> f64 {
        self.user_s + self.system_s
    }

    /// What was taken since `earlier`.
    pub fn since(&self, earlier: &Self) -> Self {
        Self { user_s: self.user_s - earlier.user_s, system_s: self.system_s - earlier.system_s }
    }
}

/// Resident memory, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Memory {
    /// The most that a look every 50 ms saw while the load ran.
    pub rss_peak_bytes: u64,
    /// The kernel's own mark: the most since the process began.
    pub high_water_bytes: u64,
}

/// Reads the CPU time of a process; `self` is this one.
///
/// # Errors
/// When there is no such process.
pub fn cpu(pid: &str) -> io::Result<Cpu> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // SAFETY: takes a constant and touches no memory.
    let ticks_a_second = unsafe { libc::sysconf(libc::_SC_CLK_TCK) };
    parse_stat(&stat, ticks_a_second as f64).ok_or_else(|| unreadable("stat"))
}

/// Reads how much a process holds now, and held at most.
fn memory(pid: &str) -> io::Result<(u64, u64)> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let read = parse_kib(&status, "VmRSS:").zip(parse_kib(&status, "VmHWM:"));
    read.ok_or_else(|| unreadable("status"))
}

fn unreadable(file: &str) -> io::Error {
    io::Error::other(format!("/proc/PID/{file} isn't as proc(5) has it"))
}

/// The name before the fields can hold anything, also brackets and spaces.
fn parse_stat(stat: &str, ticks_a_second: f64) -> Option<Cpu> {
    let (_, fields) = stat.rsplit_once(')')?;
    // The first field after the name is the third of proc(5); utime is the 14th.
    let mut times = fields.split_whitespace().skip(11).map(|ticks| ticks.parse::<f64>().ok());
    let user_s = times.next()?? / ticks_a_second;
    let system_s = times.next()?? / ticks_a_second;
    Some(Cpu { user_s, system_s })
}

fn parse_kib(status: &str, key: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(key))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib << 10)
}

/// Watches one process from a thread of its own.
#[derive(Debug)]
pub struct Watch {
    pid: String,
    at_start: Cpu,
    over: Arc<AtomicBool>,
    sampler: JoinHandle<u64>,
}

impl Watch {
    /// Begins.
    ///
    /// # Errors
    /// When there is no such process, or no thread.
    pub fn start(pid: u32) -> io::Result<Self> {
        let pid = pid.to_string();
        let at_start = cpu(&pid)?;
        let over = Arc::<AtomicBool>::default();
        let sampler = {
            let (pid, over) = (pid.clone(), over.clone());
            thread::Builder::new().name("watch".into()).spawn(move || peak(&pid, &over))?
        };
        Ok(Self { pid, at_start, over, sampler })
    }

    /// Ends, and tells what the process took meanwhile.
    ///
    /// # Errors
    /// When the process is gone.
    pub fn finish(self) -> io::Result<(Cpu, Memory)> {
        let cpu = cpu(&self.pid)?.since(&self.at_start);
        let (now_bytes, high_water_bytes) = memory(&self.pid)?;
        self.over.store(true, Ordering::Relaxed);
        let seen = self.sampler.join().map_err(|_| io::Error::other("the watch broke"))?;
        Ok((cpu, Memory { rss_peak_bytes: seen.max(now_bytes), high_water_bytes }))
    }
}

fn peak(pid: &str, over: &AtomicBool) -> u64 {
    let mut peak = 0;
    while !over.load(Ordering::Relaxed) {
        // A process that is gone is told at the end.
        peak = memory(pid).map_or(peak, |(bytes, _)| peak.max(bytes));
        thread::sleep(SAMPLE_INTERVAL);
    }
    peak
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_is_found_behind_any_name() {
        let stat = "7 (a) b (c)) S 1 7 7 0 -1 4194560 9 0 0 0 250 50 3 4 20 0 1 0 5 6 7";
        let read = parse_stat(stat, 100.0);
        assert_eq!(read, Some(Cpu { user_s: 2.5, system_s: 0.5 }));
        assert_eq!(parse_stat("7 (x) S 1", 100.0), None);
    }

    #[test]
    fn memory_is_read_in_bytes() {
        let status = "Name:\tx\nVmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\n";
        assert_eq!(parse_kib(status, "VmRSS:"), Some(1 << 20));
        assert_eq!(parse_kib(status, "VmHWM:"), Some(2 << 20));
        assert_eq!(parse_kib(status, "VmSwap:"), None);
    }

    #[test]
    fn this_process_can_be_watched_and_a_missing_one_is_told() {
        let (cpu, memory) = Watch::start(std::process::id()).unwrap().finish().unwrap();
        assert!(cpu.total_s() >= 0.0);
        assert!(memory.rss_peak_bytes > 0 && memory.high_water_bytes >= memory.rss_peak_bytes / 2);
        assert!(Watch::start(u32::MAX).is_err());
    }
}
