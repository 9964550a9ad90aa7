//! The machine as it was, and how figures are made.

use maud::{Markup, html};
use sluice_proto::units::format_size;

use crate::report::digest::Digest;
use crate::report::number::short;
use crate::report::page::table;

/// The section.
pub fn body(digest: &Digest<'_>) -> Markup {
    let machine = &digest.result.machine;
    let list = |all: &[String], none: &str| match all.is_empty() {
        true => none.to_owned(),
        false => all.join(", "),
    };
    let other = list(&machine.other_load, "nothing above 2 % of a CPU");
    let facts = [
        ("CPU", format!("{}, {} online", machine.cpu, machine.cpus)),
        ("Memory", format_size(machine.memory_bytes)),
        ("System", machine.system.clone()),
        ("Kernel", machine.kernel.clone()),
        ("Governor", machine.governor.clone().unwrap_or_else(|| "not told".into())),
        ("Clock source", machine.clock_source.clone()),
        ("Interfaces", list(&machine.interfaces, "none told")),
        ("Data on", machine.file_system.clone()),
        ("CPUs of servers", machine.server_cpus.clone()),
        ("CPUs of clients", machine.client_cpus.clone()),
        ("rustc", machine.rustc.clone()),
        ("Load before", format!("{} (1 minute)", short(machine.load_1min))),
        ("Other load meanwhile", other),
    ];
    html! {
        dl.facts { @for (name, value) in &facts { div { dt { (name) } dd { (value) } } } }
        (sysctls(digest))
        h3 { "How figures are made" }
        ul.method { @for line in METHOD { li { (line) } } }
    }
}

fn sysctls(digest: &Digest<'_>) -> Markup {
    let sysctls = &digest.result.machine.sysctls;
    if sysctls.is_empty() {
        return html! { p { "No sysctls were told." } };
    }
    let rows = html! {
        table {
            thead { tr { th scope="col" { "sysctl" } th scope="col" { "value" } } }
            tbody {
                @for (name, value) in sysctls {
                    tr { th scope="row" { code { (name) } } td { (value) } }
                }
            }
        }
    };
    table::boxed("sysctls", &rows)
}

const METHOD: &[&str] = &[
    "GB is 10^9 bytes of payload; KiB and MiB are binary.",
    "Runs of a group take turns, and the order turns about each round (ABBA), so that a drift of \
     the machine meets all alike. Ratios are taken round by round.",
    "A repeat counts only if the client says that all came out as it was sent. One that failed is \
     told as failed, and is in no median, ratio or percentile.",
    "CPU time is that of all the server's threads, exact (schedstat); its split into user and \
     system is in ticks. Softirq time is that of its CPUs, whoever caused it, and stands beside.",
    "A run is client-bound when the client used up its CPUs: the server could have done more.",
    "Percentiles of gates are of each round, then the median of the rounds; those of the big table \
     and the pictures are of all acks together.",
    "Raw latencies of each repeat lie beside this file, in the folder hlog.",
];
