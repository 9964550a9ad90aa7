//! Looks at both sides at the ends of the measured time, and what lies between two of them.

use std::io;
use std::time::Instant;

use crate::clock::now;
use crate::result::{Interface, Taken};
use crate::run::proc::{self, Counters, Usage};
use crate::run::syscalls::Syscalls;

/// All that is counted, at one moment.
#[derive(Debug)]
pub struct Mark {
    /// When.
    pub at: Instant,
    server: Option<Usage>,
    client: Option<Usage>,
    backend: Option<Usage>,
    softirq_ticks: u64,
    syscalls: Option<u64>,
    interfaces: Vec<Counters>,
    retransmits: u64,
}

/// Who is looked at.
#[derive(Debug, Default)]
pub struct Looked {
    /// The server's processes; none without one.
    pub server: Vec<u32>,
    /// The client's.
    pub client: Vec<u32>,
    /// Those of what stands behind the server; none where nothing does.
    pub backend: Vec<u32>,
    /// The server's CPUs.
    pub server_cpus: Vec<usize>,
    /// The server's system calls, where they can be counted.
    pub syscalls: Option<Syscalls>,
}

impl Looked {
    /// Looks.
    ///
    /// # Errors
    /// When a process is gone.
    pub fn mark(&mut self) -> io::Result<Mark> {
        for family in [&mut self.server, &mut self.client, &mut self.backend] {
            *family = family.first().map_or_else(Vec::new, |&pid| proc::family(pid));
        }
        let usage = |family: &[u32]| match family {
            [] => Ok(None),
            family => proc::usage(family).map(Some),
        };
        Ok(Mark {
            at: now(),
            server: usage(&self.server)?,
            client: usage(&self.client)?,
            backend: usage(&self.backend)?,
            softirq_ticks: proc::softirq_ticks(&self.server_cpus)?,
            syscalls: self.syscalls.as_mut().map(Syscalls::so_far).transpose()?,
            interfaces: proc::interfaces()?,
            retransmits: proc::retransmits()?,
        })
    }

    /// CPU seconds that the server took since a mark.
    ///
    /// # Errors
    /// When it is gone.
    pub fn server_cpu_s_since(&self, mark: &Mark) -> io::Result<f64> {
        match mark.server {
            Some(before) => Ok(seconds(proc::usage(&self.server)?.cpu_ns, before.cpu_ns)),
            None => Ok(0.0),
        }
    }
}

impl Mark {
    /// What the server took from `self` to `end`; memory isn't in it.
    pub fn server_until(&self, end: &Self) -> Option<Taken> {
        let mut taken = taken(self.server?, end.server?);
        taken.softirq_s = (end.softirq_ticks - self.softirq_ticks) as f64 / proc::ticks_a_second();
        taken.syscalls = end.syscalls.zip(self.syscalls).map(|(end, begin)| end - begin);
        Some(taken)
    }

    /// What the client took from `self` to `end`; memory isn't in it.
    pub fn client_until(&self, end: &Self) -> Option<Taken> {
        Some(taken(self.client?, end.client?))
    }

    /// What stands behind the server took from `self` to `end`; memory isn't in it.
    pub fn backend_until(&self, end: &Self) -> Option<Taken> {
        Some(taken(self.backend?, end.backend?))
    }

    /// Interfaces that saw anything from `self` to `end`.
    pub fn interfaces_until(&self, end: &Self) -> Vec<Interface> {
        let one = |end: &Counters| {
            let begin = self.interfaces.iter().find(|begin| begin.name == end.name)?;
            let received_bytes = end.received_bytes.wrapping_sub(begin.received_bytes);
            let sent_bytes = end.sent_bytes.wrapping_sub(begin.sent_bytes);
            let drops = end.drops.wrapping_sub(begin.drops);
            let name = end.name.clone();
            (received_bytes + sent_bytes + drops > 0).then_some(Interface {
                name,
                received_bytes,
                sent_bytes,
                drops,
            })
        };
        end.interfaces.iter().filter_map(one).collect()
    }

    /// TCP segments sent again from `self` to `end`.
    pub fn retransmits_until(&self, end: &Self) -> u64 {
        end.retransmits.saturating_sub(self.retransmits)
    }
}

fn taken(begin: Usage, end: Usage) -> Taken {
    let ticks = |end: u64, begin: u64| end.saturating_sub(begin) as f64 / proc::ticks_a_second();
    // Threads that ended take their switches with them.
    let switches = |end: u64, begin: u64| end.saturating_sub(begin);
    Taken {
        cpu_s: seconds(end.cpu_ns, begin.cpu_ns),
        user_s: ticks(end.user_ticks, begin.user_ticks),
        system_s: ticks(end.system_ticks, begin.system_ticks),
        switches_voluntary: switches(end.switches_voluntary, begin.switches_voluntary),
        switches_involuntary: switches(end.switches_involuntary, begin.switches_involuntary),
        disk_written_bytes: end.written_bytes.saturating_sub(begin.written_bytes),
        ..Taken::default()
    }
}

fn seconds(end_ns: u64, begin_ns: u64) -> f64 {
    end_ns.saturating_sub(begin_ns) as f64 / 1e9
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_between_two_looks_is_told() {
        let pid = vec![std::process::id()];
        let mut looked =
            Looked { server: pid.clone(), client: pid, server_cpus: vec![0], ..Looked::default() };
        let begin = looked.mark().unwrap();
        let mut end = looked.mark().unwrap();
        let usage = Usage { cpu_ns: 500_000_000, written_bytes: 7, ..begin.server.unwrap() };
        end.server = Some(Usage { cpu_ns: begin.server.unwrap().cpu_ns + 500_000_000, ..usage });
        end.client = None;
        end.syscalls = Some(9);
        let server = begin.server_until(&end).unwrap();
        assert_eq!(server.cpu_s, 0.5);
        assert_eq!(server.syscalls, None);
        assert_eq!(begin.client_until(&end), None);
        assert!(looked.server_cpu_s_since(&begin).unwrap() >= 0.0);
    }

    #[test]
    fn interfaces_that_saw_nothing_are_left_out() {
        let counters = |name: &str, received_bytes| Counters {
            name: name.into(),
            received_bytes,
            sent_bytes: 0,
            drops: 0,
        };
        let mut begin = Looked::default().mark().unwrap();
        let mut end = Looked::default().mark().unwrap();
        begin.interfaces = vec![counters("lo", 5), counters("eth0", 5)];
        end.interfaces = vec![counters("lo", 9), counters("eth0", 5), counters("new", 5)];
        let seen = begin.interfaces_until(&end);
        assert_eq!(seen.len(), 1);
        assert_eq!((seen[0].name.as_str(), seen[0].received_bytes), ("lo", 4));
    }
}
