//! The top of the page: what was measured, where, when, and what it came to in a line.

use maud::{Markup, html};

use crate::report::digest::{Digest, RunDigest, Verdict, loss};
use crate::report::number::{count, time};

/// All of it.
pub fn body(digest: &Digest<'_>) -> Markup {
    let result = digest.result;
    let machine = &result.machine;
    html! {
        header {
            p.kicker { "Sluice bench report" }
            h1 { (result.suite) }
            p.about { (result.about) }
            (verdict(digest))
            dl.facts {
                div.wide { dt { "Run it again" } dd { code { (result.rerun) } } }
                div {
                    dt { "Commit" }
                    dd {
                        code { (machine.commit) }
                        @if machine.dirty { " " span.pill.bad { "tree has changes" } }
                        @else { " " span.pill { "clean" } }
                    }
                }
                div { dt { "Began" } dd { (result.began) } }
                div { dt { "Took" } dd { (time(result.seconds)) ", " (result.rounds) " rounds" } }
                div { dt { "CPU" } dd { (machine.cpu) " · " (machine.cpus) " online" } }
                div {
                    dt { "Layout" }
                    dd { "servers on CPU " (machine.server_cpus) ", clients on "
                        (machine.client_cpus) }
                }
                div { dt { "Kernel" } dd { (machine.kernel) } }
                div {
                    dt { "Governor" }
                    dd { (machine.governor.as_deref().unwrap_or("not told by the machine")) }
                }
            }
            p.more { a href="#machine" { "All of the machine, its sysctls and the method" } }
        }
    }
}

fn verdict(digest: &Digest<'_>) -> Markup {
    let verdict = digest.verdict();
    let lost = loss::beaten(digest, RunDigest::is_peer).len();
    let compared: usize = loss::CONTESTS
        .iter()
        .map(|contest| loss::comparisons(digest, contest, RunDigest::is_peer))
        .sum();
    let gates = mark(verdict.gates_met == verdict.gates);
    let runs = mark(verdict.runs_verified == verdict.runs);
    html! {
        div.verdict {
            p {
                @if verdict.gates == 0 {
                    b { "No gates" } " in this suite"
                } @else {
                    span class=(gates) {
                        b { (verdict.gates_met) " of " (verdict.gates) } " gates met"
                    }
                }
            }
            p {
                span class=(runs) {
                    b { (verdict.runs_verified) " of " (verdict.runs) } " runs verified"
                }
            }
            p {
                a href="#losses" {
                    @if compared == 0 { "No comparison with a peer" }
                    @else { b { (lost) " of " (compared) } " comparisons lost to a peer" }
                }
            }
        }
        p.proof { (proof(&verdict)) }
    }
}

const fn mark(all: bool) -> &'static str {
    if all { "all" } else { "some" }
}

/// What "verified" comes to in numbers.
fn proof(verdict: &Verdict) -> String {
    let failed = match verdict.repeats_failed {
        0 => String::new(),
        n => format!("; {n} failed and count nowhere"),
    };
    format!(
        "{} repeats{failed}. {} uploads ended: {} sizes and {} checksums came back as they were \
         sent, {} acks lost.",
        count(verdict.repeats as u64),
        count(verdict.uploads),
        count(verdict.sizes_verified),
        count(verdict.checksums_verified),
        count(verdict.acks_lost),
    )
}
