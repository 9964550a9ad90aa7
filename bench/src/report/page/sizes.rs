//! Throughput and CPU against the size of a chunk.

use maud::{Markup, html};

use crate::job::Size;
use crate::report::digest::{Digest, RunDigest};
use crate::report::number::short;
use crate::report::page::lines::{Row, line, rows};
use crate::report::page::{absent, link, table};
use crate::report::plot::{Axis, Chart, Line, Scale};

/// The section.
pub fn body(digest: &Digest<'_>) -> Markup {
    let runs = digest.series("chunk-size");
    let rows = rows(&runs, size);
    if rows.is_empty() {
        return absent("No run of this suite is in the series chunk-size.");
    }
    let chart = |figure, title, unit, log| chart(&rows, figure, title, unit, log).figure();
    html! {
        p.lead {
            "The same load in chunks of several sizes, to each server. Points are medians, strokes \
             reach from the lowest to the highest round."
        }
        div.charts {
            (chart("gb_per_s", "Throughput by chunk size", "GB/s", false))
            (chart("server_cpu_s_per_gb", "Server CPU by chunk size", "s/GB", true))
            (chart("chunks_per_s", "Chunks a second by chunk size", "chunks/s", true))
            (chart("ack_p99_ms", "p99 ack by chunk size", "ms", true))
        }
        (details(&rows))
    }
}

fn size(run: &RunDigest<'_>) -> Option<f64> {
    run.good().next().map(|_| run.run.load.chunk_size.0 as f64)
}

fn chart(rows: &[Row<'_, '_>], figure: &str, title: &str, unit: &str, log: bool) -> Chart {
    let lines: Vec<Line> = rows
        .iter()
        .enumerate()
        .map(|(nth, row)| line(nth, row, size, |run| run.spread(figure)))
        .collect();
    let points = || lines.iter().flat_map(|line| &line.points);
    let heights = points().flat_map(|point| [point.y, point.range.map_or(point.y, |(_, h)| h)]);
    let scale = if log { Scale::log(heights) } else { Scale::from_zero(heights) };
    let about: Vec<String> = lines.iter().map(told).collect();
    Chart {
        id: format!("sizes-{figure}"),
        title: title.into(),
        about: format!("In {unit}. {}", about.join("; ")),
        x: across(points().map(|point| point.x)),
        y: Axis::new(unit, scale),
        lines,
    }
}

/// Every size that was run is named.
fn across(sizes: impl Iterator<Item = f64>) -> Axis {
    let mut sizes: Vec<f64> = sizes.collect();
    sizes.sort_by(f64::total_cmp);
    sizes.dedup();
    let low = sizes.first().copied().unwrap_or(1.0);
    let high = sizes.last().copied().unwrap_or(2.0).max(low * 2.0);
    Axis {
        label: "chunk size".into(),
        scale: Scale::Log { low, high },
        ticks: sizes.iter().map(|&size| (size, Size(size as u64).to_string())).collect(),
    }
}

fn told(line: &Line) -> String {
    let places: Vec<String> = line
        .points
        .iter()
        .map(|point| format!("{} at {}", short(point.y), Size(point.x as u64)))
        .collect();
    format!("{}: {}", line.label, places.join(", "))
}

fn details(rows: &[Row<'_, '_>]) -> Markup {
    let shown = html! {
        table {
            thead {
                tr {
                    th scope="col" { "Run" }
                    th.n scope="col" { "Chunk" }
                    th.n scope="col" { "GB/s" }
                    th.n scope="col" { "CPU s/GB" }
                    th.n scope="col" { "Client CPU s/GB" }
                    th.n scope="col" { "Chunks/s" }
                    th.n scope="col" { "p99 ms" }
                    th scope="col" { "Client-bound" }
                }
            }
            tbody {
                @for run in rows.iter().flat_map(|row| &row.runs) {
                    tr {
                        th scope="row" { (link(run)) }
                        td.n { (run.run.load.chunk_size) }
                        td.n { (table::spread(run.spread("gb_per_s"))) }
                        td.n { (table::spread(run.spread("server_cpu_s_per_gb"))) }
                        td.n { (table::spread(run.spread("client_cpu_s_per_gb"))) }
                        td.n { (table::spread(run.spread("chunks_per_s"))) }
                        td.n { (table::spread(run.spread("ack_p99_ms"))) }
                        td { @if run.client_bound().is_some() { span.flag { "client-bound" } } }
                    }
                }
            }
        }
    };
    html! {
        details {
            summary { "In numbers" }
            (table::boxed("Chunk sizes in numbers", &shown))
        }
    }
}
