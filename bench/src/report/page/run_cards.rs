//! One run by itself: how it was run, and each of its rounds.

use maud::{Markup, html};

use crate::job::{Fill, Load};
use crate::report::digest::RunDigest;
use crate::report::number::{count, time};
use crate::report::page::table;
use crate::result::Repeat;
use crate::suite::Figure;

/// Closed, until it is asked for.
pub fn card(run: &RunDigest<'_>) -> Markup {
    html! {
        details.run id={ "run-" (run.nth) } {
            summary {
                span.swatch.(run.class()) {}
                b { (run.run.name) } " " small { (run.run.about) }
            }
            dl.facts {
                div { dt { "Server" } dd { (run.run.server) ", " (run.run.shards) " CPU" } }
                div { dt { "Client" } dd { (run.run.client) } }
                div { dt { "Loop" } dd { (run.loop_text()) } }
                @if !run.run.group.is_empty() { div { dt { "Group" } dd { (run.run.group) } } }
                @for (name, value) in load(&run.run.load) { div { dt { (name) } dd { (value) } } }
                @if !run.run.command.is_empty() {
                    div.wide { dt { "Command" } dd { code { (run.run.command) } } }
                }
            }
            (notes(run))
            (table::boxed("Rounds", &rounds(run)))
        }
    }
}

/// What a load is, setting by setting.
fn load(load: &Load) -> Vec<(&'static str, String)> {
    let on = |on| if on { "on" } else { "off" }.to_owned();
    let mut told = vec![
        ("Connections", load.connections.to_string()),
        ("Uploads at a time", load.uploads.to_string()),
        ("Upload", load.upload_size.to_string()),
        ("Chunk", load.chunk_size.to_string()),
        ("Chunks in flight", load.parallel.to_string()),
        ("Order", format!("{:?}", load.order)),
        ("Bytes", fill(&load.fill)),
        ("Checksums", on(load.checksums)),
        ("Size promised", on(load.promise)),
        ("Route", format!("{:?}", load.route)),
        ("Ack level", format!("{:?}", load.ack)),
        ("Warm-up", time(load.warm_up.0.as_secs_f64())),
        ("Measured", time(load.duration.0.as_secs_f64())),
    ];
    if !load.mix.is_empty() {
        let share = |s: &crate::job::Share| {
            format!("{} × uploads of {} in {} chunks", s.weight, s.upload_size, s.chunk_size)
        };
        told.push(("Mix", load.mix.iter().map(share).collect::<Vec<_>>().join("; ")));
    }
    if let Some(size) = load.frame_size {
        told.push(("Largest frame", size.to_string()));
    }
    if load.idle_uploads > 0 {
        told.push(("Idle uploads", count(load.idle_uploads as u64)));
    }
    if let Some(size) = load.total_size {
        told.push(("Ends after", size.to_string()));
    }
    told
}

fn fill(fill: &Fill) -> String {
    match fill {
        Fill::Random => "random".into(),
        Fill::Zero => "zeros".into(),
        Fill::File(path) => format!("of {}", path.display()),
    }
}

/// What clients said, each thing once.
fn notes(run: &RunDigest<'_>) -> Markup {
    let mut notes: Vec<&String> =
        run.run.repeats.iter().flat_map(|repeat| &repeat.outcome.notes).collect();
    notes.sort();
    notes.dedup();
    html! {
        @if !notes.is_empty() { ul.notes { @for note in notes { li { (note) } } } }
    }
}

const SHOWN: &[(&str, &str)] = &[
    ("GB/s", "gb_per_s"),
    ("CPU s/GB", "server_cpu_s_per_gb"),
    ("client CPU s/GB", "client_cpu_s_per_gb"),
    ("p50 ms", "ack_p50_ms"),
    ("p99 ms", "ack_p99_ms"),
    ("max ms", "ack_max_ms"),
];

fn rounds(run: &RunDigest<'_>) -> Markup {
    html! {
        table {
            thead {
                tr {
                    th scope="col" { "Round" }
                    @for (head, _) in SHOWN { th.n scope="col" { (head) } }
                    th.n scope="col" { "Refusals" }
                    th scope="col" { "Remarks" }
                }
            }
            tbody { @for repeat in &run.run.repeats { (round(run, repeat)) } }
        }
    }
}

fn round(run: &RunDigest<'_>, repeat: &Repeat) -> Markup {
    let of = |name: &str| Figure::named(name).and_then(|figure| figure.of(run.run, repeat));
    if let Some(why) = &repeat.outcome.failed {
        return html! {
            tr.failed {
                th scope="row" { (repeat.round) }
                td colspan=(SHOWN.len() + 2) { span.pill.bad { "failed" } " " (why) }
            }
        };
    }
    let refusals: Vec<String> = repeat
        .outcome
        .refusals
        .iter()
        .map(|(reason, times)| format!("{reason} {}", count(*times)))
        .collect();
    html! {
        tr {
            th scope="row" { (repeat.round) }
            @for (_, figure) in SHOWN { td.n { (table::value(of(figure))) } }
            td.n { @if refusals.is_empty() { "0" } @else { (refusals.join(", ")) } }
            td {
                @if let Some(why) = &repeat.client_bound { "client-bound: " (why) }
                @if !RunDigest::is_verified(repeat) { " " span.flag { "not all verified" } }
            }
        }
    }
}
