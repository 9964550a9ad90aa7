//! Chunk size × connections, as a table whose colour follows the throughput.

use maud::{Markup, html};

use crate::job::Size;
use crate::report::digest::{Digest, RunDigest};
use crate::report::number::{count, percent, short};
use crate::report::page::lines::{Row, rows};
use crate::report::page::{absent, table};

/// Errors above this part of all tries are marked.
const ERRORS_MAX: f64 = 0.001;

/// The section.
pub fn body(digest: &Digest<'_>) -> Markup {
    let runs = digest.series("matrix");
    if runs.is_empty() {
        return absent("No run of this suite is in the series matrix.");
    }
    let by = By::of(&runs);
    let mut shown: Vec<Row<'_, '_>> = Vec::new();
    // Rows of lines, put together again over the connections.
    for row in rows(&runs, |run| Some(run.run.load.chunk_size.0 as f64)) {
        let same = |other: &&mut Row<'_, '_>| alike(other.runs[0], row.runs[0]);
        match shown.iter_mut().find(same) {
            Some(other) => other.runs.extend(row.runs),
            None => shown.push(row),
        }
    }
    html! {
        p.lead {
            "In each place: GB/s (the stronger the colour, the more), p99 ack, and refusals and lost acks as a \
             part of all tries; above 0.1 % they are marked."
        }
        @for row in &shown {
            @let run = row.runs[0];
            h3 {
                span.swatch.(run.class()) {} (run.run.server) ", client " (run.run.client)
                " " small { (how(run)) }
            }
            (heat(row, by))
        }
    }
}

/// What goes across: what the runs differ in.
#[derive(Clone, Copy)]
enum By {
    Connections,
    Uploads,
}

impl By {
    fn of(runs: &[&RunDigest<'_>]) -> Self {
        let first = runs[0].run.load.connections;
        match runs.iter().all(|run| run.run.load.connections == first) {
            true => Self::Uploads,
            false => Self::Connections,
        }
    }

    fn get(self, run: &RunDigest<'_>) -> usize {
        match self {
            Self::Connections => run.run.load.connections,
            Self::Uploads => run.run.load.uploads,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::Uploads => "uploads at a time",
        }
    }
}

fn alike(a: &RunDigest<'_>, b: &RunDigest<'_>) -> bool {
    let key = |run: &RunDigest<'_>| {
        let r = run.run;
        (r.server.clone(), r.client.clone(), r.settings.clone(), r.group.clone(), how(run))
    };
    key(a) == key(b)
}

fn how(run: &RunDigest<'_>) -> String {
    let load = &run.run.load;
    let order = match load.order {
        crate::job::Order::InOrder => "in order",
        crate::job::Order::Shuffled => "shuffled",
        crate::job::Order::LastFirst => "last first",
    };
    let checksums = if load.checksums { "with checksums" } else { "without checksums" };
    let group = &run.run.group;
    let group = if group.is_empty() { String::new() } else { format!("{group} · ") };
    format!("{group}{order}, {checksums}")
}

fn heat(row: &Row<'_, '_>, by: By) -> Markup {
    let mut sizes: Vec<Size> = row.runs.iter().map(|run| run.run.load.chunk_size).collect();
    let mut columns: Vec<usize> = row.runs.iter().map(|run| by.get(run)).collect();
    sizes.sort_unstable();
    sizes.dedup();
    columns.sort_unstable();
    columns.dedup();
    let most = row.runs.iter().filter_map(|run| run.median("gb_per_s")).fold(0.0, f64::max);
    let at = |size, column| {
        row.runs.iter().find(|run| run.run.load.chunk_size == size && by.get(run) == column)
    };
    let shown = html! {
        table.heat {
            thead {
                tr {
                    th scope="col" { "Chunk" }
                    @for column in &columns {
                        th scope="col" { (count(*column as u64)) " " (by.name()) }
                    }
                }
            }
            tbody {
                @for size in sizes {
                    tr {
                        th scope="row" { (size) }
                        @for column in &columns {
                            @match at(size, *column) {
                                None => td { span.none { "not run" } },
                                Some(run) => (place(run, most)),
                            }
                        }
                    }
                }
            }
        }
    };
    table::boxed("Chunk size by connections", &shown)
}

fn place(run: &RunDigest<'_>, most: f64) -> Markup {
    let Some(speed) = run.median("gb_per_s") else {
        let why = run.failed().next().map_or("no repeat counts", |(_, why)| why);
        return html! { td.bad { "failed" small { (why) } } };
    };
    let heat = if most > 0.0 { (speed / most * 100.0).round() } else { 0.0 };
    let errors = run.median("error_rate").unwrap_or(0.0);
    let failed = run.failed().count();
    html! {
        td style={ "--level:" (heat) } {
            b { (short(speed)) } small { " GB/s" }
            small { "p99 " (run.ack_ms(0.99).map_or("–".into(), short)) " ms" }
            @if errors > ERRORS_MAX { small.bad { "✗ " (percent(errors)) " errors" } }
            @else { small { (percent(errors)) " errors" } }
            @if failed > 0 { small.bad { "✗ " (failed) " repeats failed" } }
        }
    }
}
