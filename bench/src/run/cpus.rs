//! Which CPUs servers have, and which clients.

use std::fmt;
use std::io;
use std::str::FromStr;

/// Some CPUs, in ascending order; at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cpus(Vec<usize>);

impl Cpus {
    /// Those that this process may use.
    ///
    /// # Errors
    /// When the kernel doesn't tell.
    pub fn allowed() -> io::Result<Self> {
        // SAFETY: all zeros is an empty set.
        let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
        // SAFETY: the kernel writes at most the size that it is told, into a set of ours.
        let told = unsafe { libc::sched_getaffinity(0, size_of_val(&set), &raw mut set) };
        if told != 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: CPU_ISSET reads inside the set for numbers below CPU_SETSIZE.
        let has = |&cpu: &usize| unsafe { libc::CPU_ISSET(cpu, &set) };
        Ok(Self((0..libc::CPU_SETSIZE as usize).filter(has).collect()))
    }

    /// The first half, for servers, and the rest, for clients. One CPU is both.
    pub fn split(&self) -> (Self, Self) {
        let half = (self.0.len() / 2).max(1);
        let (servers, clients) = self.0.split_at(half);
        let clients = if clients.is_empty() { servers } else { clients };
        (Self(servers.to_vec()), Self(clients.to_vec()))
    }

    /// The first so many, and where these are too few, more of `others`. Fewer if there are no
    /// more.
    pub fn first(&self, count: usize, others: &Self) -> Self {
        let more = others.0.iter().filter(|cpu| !self.0.contains(cpu));
        let mut chosen: Vec<usize> = self.0.iter().chain(more).copied().take(count).collect();
        chosen.sort_unstable();
        Self(chosen)
    }

    /// Those that are in both.
    pub fn shared(&self, other: &Self) -> Vec<usize> {
        self.0.iter().copied().filter(|cpu| other.0.contains(cpu)).collect()
    }

    /// How many.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The lowest.
    pub fn lowest(&self) -> usize {
        self.0[0]
    }

    /// All of them.
    pub fn numbers(&self) -> &[usize] {
        &self.0
    }

    /// As the kernel takes them.
    pub fn set(&self) -> libc::cpu_set_t {
        // SAFETY: all zeros is an empty set.
        let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
        for &cpu in self.0.iter().filter(|cpu| **cpu < libc::CPU_SETSIZE as usize) {
            // SAFETY: the number lies inside the set.
            unsafe { libc::CPU_SET(cpu, &mut set) };
        }
        set
    }
}

/// Keeps this thread, and what it starts, to the CPUs of a set.
///
/// Calls nothing but one system call, so that a child may call it between fork and exec.
///
/// # Errors
/// When the kernel refuses: none of the CPUs is online.
pub fn pin(set: &libc::cpu_set_t) -> io::Result<()> {
    // SAFETY: the kernel reads the set, whose size is told.
    match unsafe { libc::sched_setaffinity(0, size_of_val(set), set) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

impl FromStr for Cpus {
    type Err = &'static str;

    /// Reads `0,2-3`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const WRONG: &str = "not a list of CPUs such as 0,2-3";
        let mut cpus = Vec::new();
        for part in text.split(',') {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let number = |text: &str| text.trim().parse::<usize>().map_err(|_| WRONG);
            let (first, last) = (number(first)?, number(last)?);
            if first > last || last >= libc::CPU_SETSIZE as usize {
                return Err(WRONG);
            }
            cpus.extend(first..=last);
        }
        cpus.sort_unstable();
        cpus.dedup();
        Ok(Self(cpus))
    }
}

impl fmt::Display for Cpus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0.as_slice();
        let mut comma = "";
        while let [first, ..] = *rest {
            let run = rest.iter().zip(first..).take_while(|&(&cpu, expected)| cpu == expected);
            let length = run.count();
            match length {
                1 => write!(f, "{comma}{first}")?,
                _ => write!(f, "{comma}{first}-{}", first + length - 1)?,
            }
            rest = &rest[length..];
            comma = ",";
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cpus(text: &str) -> Cpus {
        text.parse().unwrap()
    }

    #[test]
    fn lists_are_read_and_shown() {
        for text in ["0", "0-1", "0,2-3", "1,3,5-7"] {
            assert_eq!(cpus(text).to_string(), text);
        }
        assert_eq!(cpus("3,1,2,2").to_string(), "1-3");
        for text in ["", "x", "2-1", "0-99999", "-1"] {
            assert!(text.parse::<Cpus>().is_err(), "{text}");
        }
    }

    #[test]
    fn servers_have_the_first_half() {
        assert_eq!(cpus("0-3").split(), (cpus("0-1"), cpus("2-3")));
        assert_eq!(cpus("0-2").split(), (cpus("0"), cpus("1-2")));
        assert_eq!(cpus("4").split(), (cpus("4"), cpus("4")));
    }

    #[test]
    fn more_shards_than_servers_have_cpus_take_the_clients() {
        let (servers, clients) = cpus("0-1").split();
        assert_eq!(servers.first(1, &clients), cpus("0"));
        let both = servers.first(2, &clients);
        assert_eq!((both.to_string(), both.shared(&clients)), ("0-1".into(), vec![1]));
        assert_eq!(servers.first(9, &clients).count(), 2);
    }

    #[test]
    fn a_thread_stays_where_it_is_pinned() {
        let all = Cpus::allowed().unwrap();
        let one = Cpus(vec![all.lowest()]);
        std::thread::scope(|scope| {
            let pinned = scope.spawn(|| {
                pin(&one.set()).unwrap();
                Cpus::allowed().unwrap()
            });
            assert_eq!(pinned.join().unwrap(), one);
        });
    }
}
