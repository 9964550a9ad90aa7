//! Where we lose: made from the figures, so that nobody can leave anything out.

use maud::{Markup, html};

use crate::report::digest::loss::{self, Beaten};
use crate::report::digest::{Digest, RunDigest, blind_spots};
use crate::report::number::{count, short};
use crate::report::page::{link, table};

/// The section.
pub fn body(digest: &Digest<'_>) -> Markup {
    html! {
        p.lead { "Made from the figures by rule, not chosen by hand: whatever is worse is here." }
        h3 { "Gates missed" }
        (gates(digest))
        h3 { "Peers that did better" }
        (comparisons(digest, RunDigest::is_peer, "No peer did better than Sluice in throughput, \
            CPU per GB, p99 ack or peak memory, in any comparison of this suite."))
        h3 { "Distance to the limits" }
        p {
            "Sinks read bytes and drop them: no HTTP/2, no protocol, nothing kept. They show what \
             the machine can do, not what a server could."
        }
        (comparisons(digest, RunDigest::is_limit, "There is no sink in this suite, or Sluice is \
            not behind it."))
        h3 { "Runs that say less than they seem to" }
        (doubts(digest))
        h3 { "Missing" }
        (missing(digest))
        h3 { "What this machine can't show" }
        (list(&blind_spots(digest), "Nothing that the report knows of."))
    }
}

fn gates(digest: &Digest<'_>) -> Markup {
    let missed = loss::gates_missed(digest);
    html! {
        @if digest.result.gates.is_empty() { p { "This suite has no gates." } }
        @else if missed.is_empty() { p { "None." } }
        @else {
            ul {
                @for (gate, gap) in missed {
                    li {
                        b { (gate.name) } ": "
                        @match gap {
                            Some(gap) => { (gap.text()) " the goal" },
                            None => "no value",
                        }
                        @if let Some(note) = &gate.note { " (" (note) ")" }
                    }
                }
            }
        }
    }
}

/// Rows that are seen before somebody asks for the rest.
const SHOWN: usize = 12;

/// Figure by figure, the worst first.
fn comparisons<'a>(digest: &Digest<'a>, rival: fn(&RunDigest<'a>) -> bool, none: &str) -> Markup {
    let beaten = loss::beaten(digest, rival);
    if beaten.is_empty() {
        return html! { p { (none) } };
    }
    html! {
        @for contest in loss::CONTESTS {
            @let lost: Vec<&Beaten<'_, '_>> =
                beaten.iter().filter(|one| one.contest.figure == contest.figure).collect();
            @let all = loss::comparisons(digest, contest, rival);
            @if all > 0 {
                p.count { b { (contest.label) } ": " (lost.len()) " of " (all) " comparisons lost" }
            }
            @if !lost.is_empty() { (rows(&lost[..lost.len().min(SHOWN)])) }
            @if lost.len() > SHOWN {
                details {
                    summary { "The other " (lost.len() - SHOWN) ", by less" }
                    (rows(&lost[SHOWN..]))
                }
            }
        }
    }
}

fn rows(lost: &[&Beaten<'_, '_>]) -> Markup {
    let rows = html! {
        table {
            thead {
                tr {
                    th scope="col" { "Sluice" }
                    th scope="col" { "Other" }
                    th.n scope="col" { "Sluice has" }
                    th.n scope="col" { "Other has" }
                    th.n scope="col" { "Better by" }
                    th scope="col" { "Sureness" }
                }
            }
            tbody { @for one in lost { (row(one)) } }
        }
    };
    table::boxed("Comparisons that Sluice lost", &rows)
}

fn row(beaten: &Beaten<'_, '_>) -> Markup {
    let figure = beaten.contest.figure;
    let unit = if figure == "rss_peak_bytes" { "bytes" } else { "" };
    let of = |run: &RunDigest<'_>| table::in_unit(run.spread(figure), unit);
    html! {
        tr {
            th scope="row" { (link(beaten.sluice)) }
            td { (link(beaten.other)) }
            td.n { (of(beaten.sluice)) }
            td.n { (of(beaten.other)) }
            td.n {
                b { (short(beaten.times.median)) "×" }
                @if beaten.times.count > 1 {
                    " " small { (short(beaten.times.low)) "–" (short(beaten.times.high)) }
                }
            }
            td {
                @if beaten.in_every_round() { "in every round" } @else { "not in every round" }
                @if !beaten.same_client() {
                    ", by another client (" (beaten.other.run.client) ")"
                }
            }
        }
    }
}

/// Client-bound, failed or not all verified.
fn doubts(digest: &Digest<'_>) -> Markup {
    let of = |run| doubts_of(run).into_iter().map(move |why| (run, why));
    let told: Vec<(&RunDigest<'_>, String)> = digest.runs.iter().flat_map(of).collect();
    html! {
        @if told.is_empty() { p { "None: no run was client-bound, failed or left unverified." } }
        @else {
            ul { @for (run, why) in told { li { (link(run)) ": " (why) } } }
        }
    }
}

fn doubts_of(run: &RunDigest<'_>) -> Vec<String> {
    let mut told = Vec::new();
    let good = run.good().count();
    for (round, why) in run.failed() {
        told.push(format!("round {round} failed and counts nowhere: {why}"));
    }
    if let Some((rounds, why)) = run.client_bound() {
        told.push(format!(
            "client-bound in {rounds} of {good} rounds: {why}. Its throughput is the client's."
        ));
    }
    let lacking =
        run.sum(|repeat| repeat.outcome.uploads.saturating_sub(repeat.outcome.sizes_verified));
    if lacking > 0 {
        let uploads = count(run.sum(|repeat| repeat.outcome.uploads));
        told.push(format!("the size of {} of {uploads} uploads was not verified", count(lacking)));
    }
    let lost = run.sum(|repeat| repeat.outcome.acks_lost);
    if lost > 0 {
        told.push(format!("{} acks lost", count(lost)));
    }
    if run.run.repeats.is_empty() {
        told.push("never ran".into());
    }
    told
}

fn missing(digest: &Digest<'_>) -> Markup {
    let missing: Vec<String> = digest
        .result
        .missing
        .iter()
        .map(|missing| format!("{}: {}", missing.run, missing.why))
        .collect();
    list(&missing, "Nothing: every run that the suite names could be had.")
}

fn list(told: &[String], none: &str) -> Markup {
    html! {
        @if told.is_empty() { p { (none) } }
        @else { ul { @for one in told { li { (one) } } } }
    }
}
