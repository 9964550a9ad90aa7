//! What the machine can't show, and what makes its figures less sure.

use crate::report::digest::Digest;
use crate::report::number::short;

/// Sentences, each about one thing.
pub fn blind_spots(digest: &Digest<'_>) -> Vec<String> {
    let mut told = Vec::new();
    layout(digest, &mut told);
    network(digest, &mut told);
    sureness(digest, &mut told);
    told
}

fn layout(digest: &Digest<'_>, told: &mut Vec<String>) {
    let machine = &digest.result.machine;
    let (servers, clients) = (&machine.server_cpus, &machine.client_cpus);
    if machine.cpus <= 2 {
        told.push(format!(
            "{} CPUs: the server has CPU {servers}, the client CPU {clients}. How throughput grows \
             with shards can't be seen here, only what a GB costs.",
            machine.cpus
        ));
    }
    if servers == clients {
        told.push(format!(
            "Servers and clients share the CPUs {servers}: what one takes, the other lacks."
        ));
    }
    if machine.governor.is_none() {
        told.push(
            "The machine tells no frequency governor: a virtual machine, most likely. Its CPUs may \
             be slowed by what the host does, and only repeats show it."
                .into(),
        );
    }
}

fn network(digest: &Digest<'_>, told: &mut Vec<String>) {
    let repeats = || digest.runs.iter().flat_map(|run| run.good());
    let seen = || repeats().flat_map(|repeat| &repeat.interfaces);
    // Others may see a packet now and then; the load is where the bytes are.
    let bytes = |loopback: bool| -> u64 {
        let on = seen().filter(|interface| (interface.name == "lo") == loopback);
        on.map(|interface| interface.received_bytes + interface.sent_bytes).sum()
    };
    if bytes(true) > bytes(false) {
        told.push(
            "The load went over loopback: no card, no interrupts of one, no wire, no loss, and \
             segments of 64 KiB. A network adds to the softirq share of every server alike."
                .into(),
        );
    }
    let counted = repeats().any(|repeat| repeat.server.is_some_and(|s| s.syscalls.is_some()));
    if !counted && repeats().next().is_some() {
        told.push("This machine doesn't let system calls be counted.".into());
    }
}

fn sureness(digest: &Digest<'_>, told: &mut Vec<String>) {
    let result = digest.result;
    let few: Vec<usize> = digest.runs.iter().map(|run| run.good().count()).collect();
    let below = few.iter().filter(|&&count| count < 5).count();
    if below > 0 {
        told.push(format!(
            "{below} of {} runs have fewer than 5 repeats that count: their low–high says little.",
            few.len()
        ));
    }
    if !result.machine.other_load.is_empty() {
        told.push(format!(
            "Other processes ran meanwhile: {}.",
            result.machine.other_load.join(", ")
        ));
    }
    let busy = 0.5 * result.machine.cpus as f64;
    if result.machine.load_1min > busy.max(0.5) {
        let load = short(result.machine.load_1min);
        told.push(format!("The machine was busy before the first run: a load of {load}."));
    }
    if result.machine.dirty {
        told.push("The tree had changes that no commit has: nobody else can build this.".into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::{Machine, SuiteResult};

    #[test]
    fn a_small_machine_says_so() {
        let machine = Machine {
            cpus: 2,
            server_cpus: "0".into(),
            client_cpus: "1".into(),
            dirty: true,
            ..Machine::default()
        };
        let result = SuiteResult { machine, ..SuiteResult::default() };
        let told = blind_spots(&Digest::new(&result)).join("\n");
        assert!(told.contains("2 CPUs: the server has CPU 0"), "{told}");
        assert!(told.contains("no commit has"), "{told}");
        assert!(!told.contains("share the CPUs"), "{told}");
    }
}
