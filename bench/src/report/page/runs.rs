//! Every run in one wide table, then each by itself.

use maud::{Markup, html};

use crate::report::digest::{Digest, RunDigest};
use crate::report::number::{count, percent, with_unit};
use crate::report::page::run_cards;
use crate::report::page::{absent, link, table};
use crate::result::Repeat;

/// The section.
pub fn body(digest: &Digest<'_>) -> Markup {
    if digest.runs.is_empty() {
        return absent("Nothing was run.");
    }
    html! {
        p.lead {
            "Medians of the repeats that count, with lowest and highest round; percentiles are of \
             all their acks together; counts are sums. The loop of each is said: only an open one \
             knows how long a chunk waited to be begun."
        }
        (table::boxed("All runs", &all(digest)))
        h3 { "Run by run" }
        p { "Command, settings, load and every round." }
        @for run in &digest.runs { (run_cards::card(run)) }
    }
}

/// A column: its head, and what it shows of a run.
struct Column {
    head: &'static str,
    shown: fn(&RunDigest<'_>) -> Markup,
}

/// Columns under one head.
struct Set {
    head: &'static str,
    columns: &'static [Column],
}

const fn column(head: &'static str, shown: fn(&RunDigest<'_>) -> Markup) -> Column {
    Column { head, shown }
}

const SETS: &[Set] = &[
    Set {
        head: "Who",
        columns: &[
            column("server", |run| html! { (run.run.server) }),
            column("client", |run| html! { (run.run.client) }),
            column("loop", |run| html! { (run.loop_text()) }),
            column("load", |run| html! { (run.load_text()) }),
            column("repeats", repeats),
            column("verified", verified),
        ],
    },
    Set {
        head: "Throughput",
        columns: &[
            column("GB/s", |run| of(run, "gb_per_s")),
            column("chunks/s", |run| of(run, "chunks_per_s")),
        ],
    },
    Set {
        head: "Ack, ms",
        columns: &[
            column("p50", |run| table::value(run.ack_ms(0.5))),
            column("p95", |run| table::value(run.ack_ms(0.95))),
            column("p99", |run| table::value(run.ack_ms(0.99))),
            column("p99.9", |run| table::value(run.ack_ms(0.999))),
            column("max", |run| table::value(run.ack_ms(1.0))),
        ],
    },
    Set {
        head: "Trouble",
        columns: &[
            column("errors", errors),
            column("refusals", |run| sum(run, |r| r.outcome.refusals.values().sum())),
            column("retries", |run| sum(run, |r| r.outcome.retries)),
            column("duplicates", |run| sum(run, |r| r.outcome.duplicates)),
        ],
    },
    Set {
        head: "Server CPU, s/GB",
        columns: &[
            column("all", |run| of(run, "server_cpu_s_per_gb")),
            column("user", |run| median(run, "server_user_s_per_gb")),
            column("system", |run| median(run, "server_system_s_per_gb")),
            column("softirq", |run| median(run, "softirq_s_per_gb")),
            column("CPUs busy", |run| median(run, "server_cpus_busy")),
        ],
    },
    Set {
        head: "Client CPU",
        columns: &[
            column("s/GB", |run| of(run, "client_cpu_s_per_gb")),
            column("CPUs busy", |run| median(run, "client_cpus_busy")),
            column("limit?", client_bound),
        ],
    },
    Set {
        head: "Server",
        columns: &[
            column("peak RSS", |run| table::in_unit(run.spread("rss_peak_bytes"), "bytes")),
            column("syscalls/GB", |run| median(run, "syscalls_per_gb")),
            column("switches/GB", |run| median(run, "switches_per_gb")),
            column("disk bytes ÷ bytes", |run| median(run, "disk_written_per_byte")),
        ],
    },
    Set {
        head: "Network, all repeats",
        columns: &[
            column("received", |run| network(run, |i| i.received_bytes)),
            column("sent", |run| network(run, |i| i.sent_bytes)),
            column("drops", |run| sum(run, |r| r.interfaces.iter().map(|i| i.drops).sum())),
            column("retransmits", |run| sum(run, |r| r.retransmits)),
        ],
    },
];

fn all(digest: &Digest<'_>) -> Markup {
    html! {
        table.runs {
            thead {
                tr {
                    th scope="col" rowspan="2" { "Run" }
                    @for set in SETS {
                        th.set scope="colgroup" colspan=(set.columns.len()) { (set.head) }
                    }
                }
                tr {
                    @for set in SETS { @for column in set.columns { th scope="col" { (column.head) } } }
                }
            }
            tbody {
                @for run in &digest.runs {
                    tr {
                        th scope="row" { (link(run)) }
                        @for set in SETS {
                            @for column in set.columns { td { ((column.shown)(run)) } }
                        }
                    }
                }
            }
        }
    }
}

fn of(run: &RunDigest<'_>, figure: &str) -> Markup {
    table::spread(run.spread(figure))
}

fn median(run: &RunDigest<'_>, figure: &str) -> Markup {
    table::value(run.median(figure))
}

fn sum(run: &RunDigest<'_>, of: fn(&Repeat) -> u64) -> Markup {
    html! {
        @if run.good().next().is_some() { (count(run.sum(of))) } @else { span.none { "–" } }
    }
}

fn network(run: &RunDigest<'_>, of: fn(&crate::result::Interface) -> u64) -> Markup {
    let mut names: Vec<&str> = Vec::new();
    for interface in run.good().flat_map(|repeat| &repeat.interfaces) {
        if !names.contains(&interface.name.as_str()) {
            names.push(&interface.name);
        }
    }
    let bytes = |name: &str| {
        run.sum(|repeat| repeat.interfaces.iter().filter(|i| i.name == name).map(of).sum())
    };
    html! {
        @if names.is_empty() { span.none { "–" } }
        @for name in names { (name) " " (with_unit(bytes(name) as f64, "bytes")) br; }
    }
}

fn errors(run: &RunDigest<'_>) -> Markup {
    html! { (run.median("error_rate").map_or("–".into(), percent)) }
}

fn repeats(run: &RunDigest<'_>) -> Markup {
    let failed = run.failed().count();
    html! {
        (run.good().count())
        @if failed > 0 { " " span.pill.bad { (failed) " failed" } }
    }
}

fn verified(run: &RunDigest<'_>) -> Markup {
    let uploads = run.sum(|repeat| repeat.outcome.uploads);
    let sizes = run.sum(|repeat| repeat.outcome.sizes_verified);
    let checksums = run.sum(|repeat| repeat.outcome.checksums_verified);
    html! {
        @if run.all_verified() { span.ok { "✓" } } @else { span.flag { "✗" } }
        @if uploads > 0 {
            " " (count(sizes)) " sizes, " (count(checksums)) " checksums of " (count(uploads))
        }
    }
}

fn client_bound(run: &RunDigest<'_>) -> Markup {
    let good = run.good().count();
    html! {
        @if let Some((rounds, _)) = run.client_bound() {
            span.flag { "client-bound" } @if rounds < good { " in " (rounds) " of " (good) }
        }
    }
}
