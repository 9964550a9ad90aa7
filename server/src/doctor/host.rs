//! The kernel and the limits of this process.

use std::ffi::CStr;
use std::fs;
use std::io;

use sluice_proto::units::format_size;

use crate::config::Config;
use crate::doctor::Check;

/// The oldest kernel whose rings the reactor can use.
const KERNEL_MIN: (u32, u32) = (5, 11);
/// What the reactor locks for one shard, with room; the kernel counts it a user, not a process.
const MEMLOCK_SHARD_BYTES: u64 = 512 << 10;
/// Descriptors of a shard that are no connection: rings, listeners, files being written.
const FILES_SHARD: u64 = 64;
/// Descriptors of the process: databases, logs, the lock.
const FILES_PROCESS: u64 = 64;
const SOMAXCONN_MIN: u64 = 1024;
/// `CAP_IPC_LOCK`: no limit on locked memory.
const CAP_IPC_LOCK: u32 = 14;

pub(super) fn checks(config: &Config) -> Vec<Check> {
    let shards = u64::from(config.shards());
    let connections = u64::from(config.memory.connections_max) * shards;
    let mut checks = vec![
        kernel(&release().unwrap_or_else(|error| error.to_string())),
        memlock(limit(libc::RLIMIT_MEMLOCK), holds_ipc_lock(), shards),
        open_files(limit(libc::RLIMIT_NOFILE), shards, connections),
    ];
    checks.extend(cpu_quota().map(|cpus| cpu_share(cpus, shards)));
    checks.extend(somaxconn().map(backlog));
    checks
}

fn kernel(release: &str) -> Check {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|n| n.parse().ok());
    let version = (numbers.next().flatten(), numbers.next().flatten());
    let (major, minor) = KERNEL_MIN;
    let check = Check::ok("kernel", release, format!("{major}.{minor} or newer"));
    match version {
        (Some(found), Some(patch)) if (found, patch) >= KERNEL_MIN => check,
        _ => check.fail(format!("upgrade the kernel to {major}.{minor} or newer")),
    }
}

fn memlock(limit_bytes: u64, unlimited: bool, shards: u64) -> Check {
    let needed = MEMLOCK_SHARD_BYTES * shards;
    let found = match unlimited || limit_bytes == libc::RLIM_INFINITY {
        true => "unlimited".to_owned(),
        false => format_size(limit_bytes),
    };
    let shown = format!("{} for {shards} shards", format_size(needed));
    let check = Check::ok("locked memory", found, shown);
    match unlimited || limit_bytes >= needed {
        true => check,
        false => check.fail(format!(
            "ulimit -l {} (in systemd LimitMEMLOCK=, in Docker --ulimit memlock=), give \
             CAP_IPC_LOCK, or use fewer --cpus",
            needed / 1024
        )),
    }
}

fn open_files(limit: u64, shards: u64, connections: u64) -> Check {
    let least = FILES_PROCESS + FILES_SHARD * shards;
    let needed = least + connections;
    let check = Check::ok("open files", limit.to_string(), needed.to_string());
    let fix = format!(
        "ulimit -n {needed} (in systemd LimitNOFILE={needed}), or lower limits.connections_max"
    );
    match limit {
        limit if limit < least => check.fail(fix),
        limit if limit < needed => check.warn(fix),
        _ => check,
    }
}

fn cpu_share(cpus: f64, shards: u64) -> Check {
    let found = format!("a quota of {cpus:.1} CPUs");
    let check = Check::ok("cgroup CPU", found, format!("{shards}, one a shard"));
    match cpus >= shards as f64 {
        true => check,
        false => check.warn("raise the cgroup's CPU quota, or use fewer --cpus"),
    }
}

fn backlog(found: u64) -> Check {
    let check = Check::ok("somaxconn", found.to_string(), SOMAXCONN_MIN.to_string());
    match found >= SOMAXCONN_MIN {
        true => check,
        false => check.warn(format!("sysctl -w net.core.somaxconn={SOMAXCONN_MIN}")),
    }
}

fn release() -> io::Result<String> {
    // SAFETY: an all-zero `utsname` holds empty texts.
    let mut name: libc::utsname = unsafe { std::mem::zeroed() };
    // SAFETY: `name` is writable.
    if unsafe { libc::uname(&mut name) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel ends each text with a NUL.
    let release = unsafe { CStr::from_ptr(name.release.as_ptr()) };
    Ok(release.to_string_lossy().into_owned())
}

/// The soft limit; 0 when it can't be read, which no process has.
fn limit(resource: libc::__rlimit_resource_t) -> u64 {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is writable.
    match unsafe { libc::getrlimit(resource, &mut limit) } {
        0 => limit.rlim_cur,
        _ => 0,
    }
}

fn holds_ipc_lock() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> CAP_IPC_LOCK & 1 == 1)
}

/// CPUs' worth of time that the cgroup may use; `None` without a quota.
fn cpu_quota() -> Option<f64> {
    let membership = fs::read_to_string("/proc/self/cgroup").ok()?;
    let path = membership.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let text = fs::read_to_string(format!("/sys/fs/cgroup/{path}/cpu.max")).ok()?;
    quota(&text)
}

fn quota(cpu_max: &str) -> Option<f64> {
    let (quota, period) = cpu_max.trim().split_once(' ')?;
    Some(quota.parse::<f64>().ok()? / period.parse::<f64>().ok()?)
}

fn somaxconn() -> Option<u64> {
    fs::read_to_string("/proc/sys/net/core/somaxconn").ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Outcome;

    #[test]
    fn kernels_are_compared_by_number() {
        assert_eq!(kernel("6.18.44-fc").outcome, Outcome::Ok);
        assert_eq!(kernel("5.11").outcome, Outcome::Ok);
        for old in ["5.4.0-90-generic", "4.19", "unreadable"] {
            assert_eq!(kernel(old).outcome, Outcome::Fail, "{old}");
        }
    }

    #[test]
    fn locked_memory_is_held_against_the_shards() {
        let needed = 4 * MEMLOCK_SHARD_BYTES;
        assert_eq!(memlock(needed, false, 4).outcome, Outcome::Ok);
        let short = memlock(needed - 1, false, 4);
        assert_eq!(short.outcome, Outcome::Fail);
        assert!(short.fix.starts_with("ulimit -l 2048 "), "{}", short.fix);
        assert_eq!(memlock(0, true, 4).found, "unlimited");
    }

    #[test]
    fn too_few_files_warn_and_far_too_few_fail() {
        let outcome = |limit| open_files(limit, 2, 1_000).outcome;
        assert_eq!(outcome(1_192), Outcome::Ok);
        assert_eq!(outcome(1_191), Outcome::Warn);
        assert_eq!(outcome(191), Outcome::Fail);
    }

    #[test]
    fn a_cpu_quota_is_read_in_cpus() {
        assert_eq!(quota("150000 100000\n"), Some(1.5));
        assert_eq!(quota("max 100000\n"), None);
        assert_eq!(cpu_share(1.5, 2).outcome, Outcome::Warn);
    }
}
