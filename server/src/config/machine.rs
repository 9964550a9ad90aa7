//! What the defaults depend on: the CPUs of this process and the memory that it may have.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// This machine, as far as the defaults depend on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// CPUs that this process may run on, ascending.
    pub cpus: Vec<usize>,
    /// Bytes that this process may hold: the least of what is free and of the cgroup's limits.
    pub memory_bytes: u64,
}

impl Machine {
    /// Asks the kernel.
    ///
    /// # Errors
    /// When `/proc` isn't mounted, or the affinity can't be read.
    pub fn probe() -> io::Result<Self> {
        let available = memory_available(&fs::read_to_string("/proc/meminfo")?)
            .ok_or_else(|| io::Error::other("/proc/meminfo has no MemAvailable"))?;
        let limit = cgroup_memory_bytes().unwrap_or(u64::MAX);
        Ok(Self { cpus: affinity()?, memory_bytes: available.min(limit) })
    }
}

/// The least memory limit of this process's cgroup and of those above it, bytes.
pub fn cgroup_memory_bytes() -> Option<u64> {
    let membership = fs::read_to_string("/proc/self/cgroup").ok()?;
    let files = limit_files(&membership, Path::new("/sys/fs/cgroup"));
    let limits = files.iter().filter_map(|file| fs::read_to_string(file).ok());
    limits.filter_map(|text| text.trim().parse().ok()).min()
}

/// `MemAvailable` of `/proc/meminfo`, bytes.
fn memory_available(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim_end().parse().ok()?;
    kibibytes.checked_mul(1024)
}

/// The files that may limit this process: its cgroup's, and up to the root's.
fn limit_files(membership: &str, root: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for line in membership.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else { continue };
        let (folder, file) = match controllers {
            "" => (root.to_owned(), "memory.max"),
            list if list.split(',').any(|name| name == "memory") => {
                (root.join("memory"), "memory.limit_in_bytes")
            }
            _ => continue,
        };
        let path = Path::new(path.trim_start_matches('/'));
        files.extend(path.ancestors().map(|above| folder.join(above).join(file)));
    }
    files
}

fn affinity() -> io::Result<Vec<usize>> {
    // SAFETY: an all-zero `cpu_set_t` is the empty set.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: `set` is writable and of the size that is given.
    let failed = unsafe { libc::sched_getaffinity(0, size_of_val(&set), &mut set) } != 0;
    if failed {
        return Err(io::Error::last_os_error());
    }
    let cpus = 0..libc::CPU_SETSIZE as usize;
    // SAFETY: `CPU_ISSET` reads within the set, whose size bounds `cpu`.
    Ok(cpus.filter(|&cpu| unsafe { libc::CPU_ISSET(cpu, &set) }).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_has_a_cpu_and_memory() {
        let machine = Machine::probe().unwrap();
        assert!(!machine.cpus.is_empty() && machine.cpus.is_sorted());
        assert!(machine.memory_bytes > 1 << 20);
    }

    #[test]
    fn available_memory_is_read_in_bytes() {
        let meminfo = "MemTotal:  100 kB\nMemAvailable:    7 kB\n";
        assert_eq!(memory_available(meminfo), Some(7168));
        assert_eq!(memory_available("MemTotal: 1 kB\n"), None);
    }

    #[test]
    fn every_cgroup_above_can_be_the_tightest() {
        let root = Path::new("/c");
        let files = limit_files("0::/a/b\n", root);
        let expected = ["/c/a/b/memory.max", "/c/a/memory.max", "/c/memory.max"];
        assert_eq!(files, expected.map(PathBuf::from));
        let files = limit_files("5:cpu,memory:/x\n4:pids:/x\n", root);
        let expected = ["/c/memory/x/memory.limit_in_bytes", "/c/memory/memory.limit_in_bytes"];
        assert_eq!(files, expected.map(PathBuf::from));
    }
}
