//! What `/proc` says of processes and of the machine, as proc(5) has it.

use std::fs;
use std::io;

/// What one process took since it began, all of its threads together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// CPU time, in nanoseconds.
    pub cpu_ns: u64,
    /// Of this in its own code, in ticks.
    pub user_ticks: u64,
    /// Of this in the kernel, in ticks.
    pub system_ticks: u64,
    /// Context switches that it asked for; threads that ended aren't in it.
    pub switches_voluntary: u64,
    /// Context switches that it didn't ask for; threads that ended aren't in it.
    pub switches_involuntary: u64,
    /// Bytes that it had written to storage.
    pub written_bytes: u64,
}

/// A process and all that it started and that lives.
pub fn family(pid: u32) -> Vec<u32> {
    let mut family = vec![pid];
    family.extend(started_by(pid));
    family
}

/// Reads what a family took. Only its first may not be gone.
///
/// # Errors
/// When it is.
pub fn usage(family: &[u32]) -> io::Result<Usage> {
    let (first, others) = family.split_first().ok_or_else(nobody)?;
    let mut sum = one_usage(*first)?;
    for usage in others.iter().filter_map(|&pid| one_usage(pid).ok()) {
        sum.cpu_ns += usage.cpu_ns;
        sum.user_ticks += usage.user_ticks;
        sum.system_ticks += usage.system_ticks;
        sum.switches_voluntary += usage.switches_voluntary;
        sum.switches_involuntary += usage.switches_involuntary;
        sum.written_bytes += usage.written_bytes;
    }
    Ok(sum)
}

/// Reads the memory that a family holds, in bytes. Only its first may not be gone.
///
/// # Errors
/// When it is.
pub fn rss_bytes(family: &[u32]) -> io::Result<u64> {
    let one = |pid| {
        let statm = read(&format!("/proc/{pid}/statm"))?;
        let pages = statm.split_whitespace().nth(1).and_then(|pages| pages.parse::<u64>().ok());
        Ok::<_, io::Error>(pages.ok_or_else(|| unreadable("statm"))? * page_bytes())
    };
    let (first, others) = family.split_first().ok_or_else(nobody)?;
    Ok(one(*first)? + others.iter().filter_map(|&pid| one(pid).ok()).sum::<u64>())
}

/// Threads of a process.
///
/// # Errors
/// When there is no such process.
pub fn threads(pid: u32) -> io::Result<Vec<u32>> {
    let names = fs::read_dir(format!("/proc/{pid}/task"))?;
    let numbers = names.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    Ok(numbers.collect())
}

/// Ticks of softirq on these CPUs since boot.
///
/// # Errors
/// When the kernel doesn't tell.
pub fn softirq_ticks(cpus: &[usize]) -> io::Result<u64> {
    parse_softirq(&read("/proc/stat")?, cpus).ok_or_else(|| unreadable("stat"))
}

/// One interface since boot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counters {
    /// Its name.
    pub name: String,
    /// Bytes in.
    pub received_bytes: u64,
    /// Bytes out.
    pub sent_bytes: u64,
    /// Packets dropped, both ways.
    pub drops: u64,
}

/// All interfaces.
///
/// # Errors
/// When the kernel doesn't tell.
pub fn interfaces() -> io::Result<Vec<Counters>> {
    Ok(parse_interfaces(&read("/proc/net/dev")?))
}

/// TCP segments sent again since boot.
///
/// # Errors
/// When the kernel doesn't tell.
pub fn retransmits() -> io::Result<u64> {
    parse_retransmits(&read("/proc/net/snmp")?).ok_or_else(|| unreadable("net/snmp"))
}

/// CPU ticks of a process, and its name.
pub fn name_and_ticks(pid: u32) -> io::Result<(String, u64)> {
    let stat = read(&format!("/proc/{pid}/stat"))?;
    let name = stat.split_once('(').and_then(|(_, rest)| rest.rsplit_once(')'));
    let (name, (user, system)) =
        name.map(|(name, _)| name).zip(parse_ticks(&stat)).ok_or_else(|| unreadable("stat"))?;
    Ok((name.to_owned(), user + system))
}

/// Processes that there are.
///
/// # Errors
/// When `/proc` isn't there.
pub fn processes() -> io::Result<Vec<u32>> {
    let names = fs::read_dir("/proc")?;
    Ok(names.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect())
}

/// All that a process started and that lives, and what that started.
pub fn started_by(pid: u32) -> Vec<u32> {
    let mut found = Vec::new();
    let mut next = vec![pid];
    while let Some(pid) = next.pop() {
        let threads = threads(pid).unwrap_or_default();
        let lists = threads
            .into_iter()
            .filter_map(|thread| read(&format!("/proc/{pid}/task/{thread}/children")).ok());
        let children: Vec<u32> = lists
            .flat_map(|list| list.split_whitespace().flat_map(str::parse).collect::<Vec<_>>())
            .collect();
        next.extend(&children);
        found.extend(children);
    }
    found
}

/// Ticks in a second.
pub fn ticks_a_second() -> f64 {
    // SAFETY: takes a constant and touches no memory.
    unsafe { libc::sysconf(libc::_SC_CLK_TCK) as f64 }
}

fn page_bytes() -> u64 {
    // SAFETY: takes a constant and touches no memory.
    unsafe { libc::sysconf(libc::_SC_PAGESIZE) as u64 }
}

fn one_usage(pid: u32) -> io::Result<Usage> {
    let stat = read(&format!("/proc/{pid}/stat"))?;
    let (user_ticks, system_ticks) = parse_ticks(&stat).ok_or_else(|| unreadable("stat"))?;
    let mut usage = Usage { cpu_ns: cpu_ns(pid)?, user_ticks, system_ticks, ..Usage::default() };
    for thread in threads(pid)? {
        let Ok(status) = read(&format!("/proc/{pid}/task/{thread}/status")) else { continue };
        usage.switches_voluntary += parse_value(&status, "voluntary_ctxt_switches:").unwrap_or(0);
        usage.switches_involuntary +=
            parse_value(&status, "nonvoluntary_ctxt_switches:").unwrap_or(0);
    }
    // Another user's process doesn't let us.
    let io = read(&format!("/proc/{pid}/io")).unwrap_or_default();
    usage.written_bytes = parse_value(&io, "write_bytes:").unwrap_or(0);
    Ok(usage)
}

/// The clock of another process: what schedstat has of its threads, and of those that ended too.
fn cpu_ns(pid: u32) -> io::Result<u64> {
    let pid = libc::pid_t::try_from(pid).map_err(io::Error::other)?;
    let mut clock: libc::clockid_t = 0;
    // SAFETY: it writes the clock's number into ours.
    let error = unsafe { libc::clock_getcpuclockid(pid, &raw mut clock) };
    if error != 0 {
        return Err(io::Error::from_raw_os_error(error));
    }
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the kernel writes one timespec into ours.
    match unsafe { libc::clock_gettime(clock, &raw mut time) } {
        0 => Ok(time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64),
        _ => Err(io::Error::last_os_error()),
    }
}

fn read(path: &str) -> io::Result<String> {
    fs::read_to_string(path)
}

fn nobody() -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, "no process is named")
}

fn unreadable(file: &str) -> io::Error {
    io::Error::other(format!("/proc/…/{file} isn't as proc(5) has it"))
}

/// User and system. The name before the fields can hold anything, also brackets and spaces.
fn parse_ticks(stat: &str) -> Option<(u64, u64)> {
    let (_, fields) = stat.rsplit_once(')')?;
    // The first field after the name is the third of proc(5); utime is the 14th.
    let mut times = fields.split_whitespace().skip(11).map(|ticks| ticks.parse().ok());
    Some((times.next()??, times.next()??))
}

fn parse_value(lines: &str, key: &str) -> Option<u64> {
    lines.lines().find_map(|line| line.strip_prefix(key))?.trim().parse().ok()
}

fn parse_softirq(stat: &str, cpus: &[usize]) -> Option<u64> {
    let ticks = |cpu: &usize| {
        let name = format!("cpu{cpu} ");
        let line = stat.lines().find_map(|line| line.strip_prefix(name.as_str()))?;
        line.split_whitespace().nth(6)?.parse::<u64>().ok()
    };
    cpus.iter().map(ticks).sum()
}

fn parse_interfaces(dev: &str) -> Vec<Counters> {
    let one = |line: &str| {
        let (name, counts) = line.split_once(':')?;
        let counts: Vec<u64> = counts.split_whitespace().flat_map(str::parse).collect();
        // Bytes, packets, errors and drops come first of what was received, then of what was sent.
        Some(Counters {
            name: name.trim().to_owned(),
            received_bytes: *counts.first()?,
            sent_bytes: *counts.get(8)?,
            drops: counts.get(3)? + counts.get(11)?,
        })
    };
    dev.lines().filter_map(one).collect()
}

fn parse_retransmits(snmp: &str) -> Option<u64> {
    let mut tcp = snmp.lines().filter_map(|line| line.strip_prefix("Tcp: "));
    let (names, values) = (tcp.next()?, tcp.next()?);
    let nth = names.split_whitespace().position(|name| name == "RetransSegs")?;
    values.split_whitespace().nth(nth)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_found_behind_any_name() {
        let stat = "7 (a) b (c)) S 1 7 7 0 -1 4194560 9 0 0 0 250 50 3 4 20 0 1 0 5 6 7";
        assert_eq!(parse_ticks(stat), Some((250, 50)));
        assert_eq!(parse_ticks("7 (x) S 1"), None);
    }

    #[test]
    fn softirq_is_of_the_cpus_that_are_asked_for() {
        let stat = "cpu  9 9 9 9 9 9 99 0\ncpu0 1 0 1 1 0 0 7 0\ncpu1 1 0 1 1 0 0 8 0\ncpu10 1 0 1 1 0 0 50 0\n";
        assert_eq!(parse_softirq(stat, &[0]), Some(7));
        assert_eq!(parse_softirq(stat, &[0, 1]), Some(15));
        assert_eq!(parse_softirq(stat, &[2]), None);
    }

    #[test]
    fn interfaces_are_read_with_and_without_a_space() {
        let dev = "Inter-|   Receive\n face |bytes packets errs\n    \
                   lo: 100 1 0 2 0 0 0 0 200 1 0 3 0 0 0 0\n  eth0:5 1 0 0 0 0 0 0 6 1 0 0 0 0 0 0\n";
        let read = parse_interfaces(dev);
        let lo = Counters { name: "lo".into(), received_bytes: 100, sent_bytes: 200, drops: 5 };
        assert_eq!(read[0], lo);
        assert_eq!((read[1].name.as_str(), read[1].sent_bytes), ("eth0", 6));
    }

    #[test]
    fn retransmits_are_found_by_their_name() {
        let snmp = "Ip: A B\nIp: 1 2\nTcp: RtoAlgorithm RetransSegs InErrs\nTcp: 1 42 0\n";
        assert_eq!(parse_retransmits(snmp), Some(42));
        assert_eq!(parse_retransmits("Tcp: A\nTcp: 1\n"), None);
    }

    #[test]
    fn values_are_found_by_their_key() {
        let status = "voluntary_ctxt_switches:\t12\nnonvoluntary_ctxt_switches:\t3\n";
        assert_eq!(parse_value(status, "voluntary_ctxt_switches:"), Some(12));
        assert_eq!(parse_value(status, "nonvoluntary_ctxt_switches:"), Some(3));
        assert_eq!(parse_value(status, "write_bytes:"), None);
    }

    #[test]
    fn this_process_can_be_read_and_a_missing_one_is_told() {
        let ours = [std::process::id()];
        let before = usage(&ours).unwrap();
        let mut work = 0u64;
        while usage(&ours).unwrap().cpu_ns <= before.cpu_ns {
            work = work.wrapping_add(1);
        }
        let gone = u32::MAX >> 2;
        assert!(rss_bytes(&ours).unwrap() > 0);
        assert_eq!(rss_bytes(&[ours[0], gone]).is_ok(), usage(&[ours[0], gone]).is_ok());
        assert!(threads(ours[0]).unwrap().contains(&ours[0]));
        for missing in [[].as_slice(), &[gone]] {
            assert!(usage(missing).is_err() && rss_bytes(missing).is_err());
        }
        assert!(softirq_ticks(&[0]).is_ok() && retransmits().is_ok());
        assert!(interfaces().unwrap().iter().any(|interface| interface.name == "lo"));
        assert!(processes().unwrap().contains(&ours[0]));
    }

    #[test]
    fn what_a_process_starts_is_its_own() {
        let mut child = std::process::Command::new("sleep").arg("600").spawn().unwrap();
        assert!(family(std::process::id()).contains(&child.id()));
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
