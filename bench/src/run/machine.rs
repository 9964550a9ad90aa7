//! The machine that a suite runs on: what a reader needs to know of it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::result::Machine;
use crate::run::layout::Layout;

/// Looks at it. `folder` is where servers store. What can't be told is left empty.
pub fn machine(layout: &Layout, folder: &Path) -> Machine {
    let uname = line("/proc/sys/kernel/osrelease");
    let (commit, dirty) = git();
    Machine {
        cpu: cpu_name(&text("/proc/cpuinfo")),
        cpus: std::thread::available_parallelism().map_or(0, std::num::NonZero::get),
        memory_bytes: memory_bytes(&text("/proc/meminfo")),
        kernel: uname,
        system: system(&text("/etc/os-release")),
        governor: some_line("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        clock_source: line("/sys/devices/system/clocksource/clocksource0/current_clocksource"),
        interfaces: interfaces(),
        file_system: fs::canonicalize(folder)
            .map(|folder| file_system(&text("/proc/self/mounts"), &folder))
            .unwrap_or_default(),
        commit,
        dirty,
        rustc: output("rustc", &["--version"]).unwrap_or_default(),
        load_1min: load_1min(&text("/proc/loadavg")),
        other_load: Vec::new(),
        server_cpus: layout.server_cpus.to_string(),
        client_cpus: layout.client_cpus.to_string(),
        sysctls: sysctls(),
    }
}

/// Those that the tuning speaks of.
const SYSCTLS: &[&str] = &[
    "net.core.rmem_max",
    "net.core.wmem_max",
    "net.core.somaxconn",
    "net.core.busy_poll",
    "net.core.busy_read",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_wmem",
    "net.ipv4.tcp_congestion_control",
    "kernel.io_uring_disabled",
    "kernel.perf_event_paranoid",
    "vm.nr_hugepages",
    "vm.dirty_ratio",
    "vm.dirty_background_ratio",
];

fn sysctls() -> BTreeMap<String, String> {
    let read = |key: &&str| {
        let value = some_line(&format!("/proc/sys/{}", key.replace('.', "/")))?;
        Some(((*key).to_owned(), value.split_whitespace().collect::<Vec<_>>().join(" ")))
    };
    let mut read: BTreeMap<_, _> = SYSCTLS.iter().filter_map(read).collect();
    let huge_pages = some_line("/sys/kernel/mm/transparent_hugepage/enabled");
    read.extend(huge_pages.map(|value| ("transparent_hugepage".to_owned(), value)));
    read
}

fn git() -> (String, bool) {
    let commit = output("git", &["rev-parse", "HEAD"]).unwrap_or_default();
    let changes = output("git", &["status", "--porcelain", "--untracked-files=no"]);
    (commit, changes.is_some_and(|changes| !changes.is_empty()))
}

fn output(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    let told = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| told.trim().to_owned())
}

fn text(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

fn line(path: &str) -> String {
    text(path).trim().to_owned()
}

fn some_line(path: &str) -> Option<String> {
    Some(line(path)).filter(|line| !line.is_empty())
}

fn interfaces() -> Vec<String> {
    let names = fs::read_dir("/sys/class/net").into_iter().flatten().flatten();
    let mut all: Vec<String> = names
        .map(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            let folder = entry.path();
            let driver = fs::read_link(folder.join("device/driver")).ok();
            let driver =
                driver.and_then(|path| Some(path.file_name()?.to_string_lossy().into_owned()));
            // Where there is no link, or no such thing, the kernel gives an error or -1.
            let speed = fs::read_to_string(folder.join("speed")).ok();
            let speed = speed.and_then(|text| text.trim().parse::<u32>().ok());
            let speed = speed.map(|mbit| format!("{mbit} Mbit/s"));
            [Some(name), driver, speed].into_iter().flatten().collect::<Vec<_>>().join(", ")
        })
        .collect();
    all.sort();
    all
}

fn cpu_name(cpuinfo: &str) -> String {
    let name = cpuinfo.lines().find(|line| line.starts_with("model name"));
    let name = name.and_then(|line| line.split_once(':'));
    name.map(|(_, name)| name.trim().to_owned()).unwrap_or_default()
}

fn memory_bytes(meminfo: &str) -> u64 {
    let total = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = total.and_then(|total| total.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    kib.unwrap_or_default() << 10
}

fn system(os_release: &str) -> String {
    let name = os_release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    name.unwrap_or_default().trim_matches('"').to_owned()
}

fn load_1min(loadavg: &str) -> f64 {
    loadavg.split_whitespace().next().and_then(|load| load.parse().ok()).unwrap_or_default()
}

/// The mount that the folder is on: its longest beginning that is one, the last of that name.
fn file_system(mounts: &str, folder: &Path) -> String {
    let mounts = mounts.lines().filter_map(|line| {
        let mut words = line.split(' ');
        let (device, point, kind) = (words.next()?, words.next()?, words.next()?);
        folder.starts_with(point).then(|| (point.len(), format!("{kind} on {device}")))
    });
    mounts.max_by_key(|(length, _)| *length).map(|(_, shown)| shown).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_are_found_in_their_files() {
        assert_eq!(cpu_name("processor\t: 0\nmodel name\t: A B: C\n"), "A B: C");
        assert_eq!(memory_bytes("MemTotal:       2048 kB\nMemFree: 1 kB\n"), 2 << 20);
        assert_eq!(system("NAME=\"D\"\nPRETTY_NAME=\"Debian 13\"\n"), "Debian 13");
        assert_eq!(load_1min("1.25 0.5 0.1 1/99 7\n"), 1.25);
        assert_eq!((cpu_name(""), memory_bytes(""), load_1min("")), (String::new(), 0, 0.0));
    }

    #[test]
    fn the_innermost_mount_is_the_one() {
        let mounts = "/dev/a / ext4 rw 0 0\ntmpfs /tmp tmpfs rw 0 0\n/dev/b /tmp/x xfs rw 0 0\n";
        assert_eq!(file_system(mounts, Path::new("/tmp/x/y")), "xfs on /dev/b");
        assert_eq!(file_system(mounts, Path::new("/tmp/xy")), "tmpfs on tmpfs");
        assert_eq!(file_system(mounts, Path::new("/home")), "ext4 on /dev/a");
    }
}
