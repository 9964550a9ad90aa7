//! Servers side by side under the same load, each with how far its rounds lie apart.

use maud::{Markup, html};

use crate::report::digest::{Cell, Digest, RunDigest, Spread};
use crate::report::page::{absent, link, table};
use crate::report::plot::{Bar, Part, bars};

/// The section.
pub fn body(digest: &Digest<'_>) -> Markup {
    let cells = digest.cells();
    let cells: Vec<&Cell<'_, '_>> = cells.iter().filter(|cell| is_shown(cell)).collect();
    if cells.is_empty() {
        return absent(
            "No two kinds of servers ran under the same load in one group of this suite.",
        );
    }
    html! {
        p.lead {
            "Runs of a group took turns, and the order turned about from round to round. A bar is \
             the median, its whisker the lowest and the highest round. CPU is the server's alone: \
             its exact time (schedstat), split into user and system as the kernel's ticks have \
             it; striped is softirq time on its CPUs, which the kernel books beside it, whoever \
             caused it."
        }
        p.key {
            span { i.solid {} "user" } span { i.half {} "system" } span { i.striped {} "softirq" }
            span { i.whisker {} "lowest to highest round" }
        }
        @for cell in cells { (compared(cell)) }
        p { "How each is set: " a href="#settings" { "Settings" } "." }
    }
}

/// Pictures of a series have a place of their own.
fn is_shown(cell: &Cell<'_, '_>) -> bool {
    let own = ["chunk-size", "offered-load", "matrix", "time"];
    let series = cell.runs[0].run.series.as_deref();
    cell.kinds() > 1 && series.is_none_or(|series| !own.contains(&series))
}

fn compared(cell: &Cell<'_, '_>) -> Markup {
    let open = cell.runs[0].is_open();
    html! {
        article.cell {
            h3 {
                (cell.title())
                @if !cell.group().is_empty() { " " small { (cell.group()) } }
            }
            div.charts {
                @if open {
                    (bars("Goodput", "GB/s", "the client's choice", &plain(cell, "gb_per_s")))
                } @else {
                    (bars("Throughput", "GB/s", "more is better", &plain(cell, "gb_per_s")))
                }
                (bars("Server CPU", "s/GB", "less is better", &cpu(cell)))
                (bars("p99 ack", "ms", "less is better", &plain(cell, "ack_p99_ms")))
            }
            (ratios(cell))
        }
    }
}

fn plain(cell: &Cell<'_, '_>, figure: &str) -> Vec<Bar> {
    cell.runs.iter().map(|run| bar(run, run.spread(figure), Vec::new())).collect()
}

fn bar(run: &RunDigest<'_>, spread: Option<Spread>, parts: Vec<Part>) -> Bar {
    Bar {
        label: run.run.name.clone(),
        flag: run.client_bound().map(|_| "client-bound"),
        class: run.class(),
        spread,
        parts,
    }
}

fn cpu(cell: &Cell<'_, '_>) -> Vec<Bar> {
    cell.runs
        .iter()
        .map(|run| {
            let all = run.spread("server_cpu_s_per_gb");
            bar(run, all, all.map_or(Vec::new(), |all| parts(run, all.median)))
        })
        .collect()
}

/// The kernel counts user and system in ticks: they tell the shares, not the time.
fn parts(run: &RunDigest<'_>, all: f64) -> Vec<Part> {
    let of = |figure| run.median(figure).unwrap_or(0.0);
    let (user, system) = (of("server_user_s_per_gb"), of("server_system_s_per_gb"));
    let part = |label, class, value| Part { label, class, value };
    let ticks = user + system;
    if ticks <= 0.0 {
        return vec![part("all", "solid", all)];
    }
    vec![
        part("user", "solid", all * user / ticks),
        part("system", "half", all * system / ticks),
        part("softirq", "striped", of("softirq_s_per_gb")),
    ]
}

/// Each against the first Sluice run of the cell.
fn ratios(cell: &Cell<'_, '_>) -> Markup {
    let Some(first) = cell.sluice().next() else { return Markup::default() };
    let rows = html! {
        table {
            thead {
                tr {
                    th scope="col" { "Run" }
                    th scope="col" { "Client" }
                    th.n scope="col" { "GB/s" }
                    th.n scope="col" { "÷ first" }
                    th.n scope="col" { "CPU s/GB" }
                    th.n scope="col" { "÷ first" }
                    th.n scope="col" { "Client CPU s/GB" }
                    th.n scope="col" { "p99 ack ms" }
                    th.n scope="col" { "÷ first" }
                    th.n scope="col" { "Peak memory" }
                }
            }
            tbody { @for run in &cell.runs { (row(run, first)) } }
        }
    };
    table::boxed(&cell.title(), &rows)
}

fn row(run: &RunDigest<'_>, first: &RunDigest<'_>) -> Markup {
    let of = |figure| table::spread(run.spread(figure));
    let over = |figure| match run.nth == first.nth {
        true => html! { span.none { "first" } },
        false => table::spread(run.ratio(first, figure)),
    };
    html! {
        tr {
            th scope="row" { (link(run)) }
            td { (run.run.client) }
            td.n { (of("gb_per_s")) }
            td.n { (over("gb_per_s")) }
            td.n { (of("server_cpu_s_per_gb")) }
            td.n { (over("server_cpu_s_per_gb")) }
            td.n { (of("client_cpu_s_per_gb")) }
            td.n { (of("ack_p99_ms")) }
            td.n { (over("ack_p99_ms")) }
            td.n { (table::in_unit(run.spread("rss_peak_bytes"), "bytes")) }
        }
    }
}
