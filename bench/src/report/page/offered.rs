//! Latency, goodput and refusals against what is offered, to beyond what the server can take.

use maud::{Markup, html};

use crate::job::Offered;
use crate::report::digest::{Digest, RunDigest, Spread};
use crate::report::number::{percent, short};
use crate::report::page::lines::{Row, line, rows};
use crate::report::page::{absent, link, table};
use crate::report::plot::{Axis, Chart, Line, Point, Scale};

/// Goodput below this part of what is offered: the server is past what it can take.
const KEPT_UP: f64 = 0.95;

/// The section.
pub fn body(digest: &Digest<'_>) -> Markup {
    let runs = digest.series("offered-load");
    let rows = rows(&runs, offered);
    if rows.is_empty() {
        return absent(
            "No run of this suite is in the series offered-load: nothing here went past saturation.",
        );
    }
    html! {
        p.lead {
            "An open loop: chunks begin when they are due, however slow the server is, and latency \
             counts from then. Beyond saturation a sound server goes on doing what it can, and \
             refuses the rest early; the grey line is goodput that keeps up with what is offered."
        }
        @if let Some(text) = saturation(&rows) { p { (text) } }
        div.charts {
            (latency(&rows, "ack_p99_ms", "p99 ack against offered load").figure())
            (latency(&rows, "ack_p50_ms", "Median ack against offered load").figure())
            (goodput(&rows).figure())
            (refusals(&rows).figure())
        }
        (details(&rows))
    }
}

/// GB/s that were to be sent; what the run's file says, where no repeat tells.
fn offered(run: &RunDigest<'_>) -> Option<f64> {
    let told = match &run.run.load.offered {
        Some(Offered::Bytes(size)) => Some(size.0 as f64 / 1e9),
        _ => None,
    };
    run.median("offered_gb_per_s").or(told).filter(|_| run.good().next().is_some())
}

fn refused_per_s(run: &RunDigest<'_>) -> Option<Spread> {
    Spread::of(run.good().map(|repeat| {
        repeat.outcome.refusals.values().sum::<u64>() as f64 / repeat.outcome.seconds
    }))
}

fn across(rows: &[Row<'_, '_>]) -> Axis {
    let offered = rows.iter().flat_map(|row| &row.runs).filter_map(|run| offered(run));
    Axis::new("GB/s offered", Scale::from_zero(offered))
}

fn chart(id: &str, title: &str, x: Axis, y: Axis, lines: Vec<Line>) -> Chart {
    let about: Vec<String> = lines.iter().map(|line| told(line, &y.label)).collect();
    Chart { id: id.into(), title: title.into(), about: about.join("; "), x, y, lines }
}

fn told(line: &Line, unit: &str) -> String {
    let places: Vec<String> =
        line.points.iter().map(|p| format!("{} at {}", short(p.y), short(p.x))).collect();
    format!("{}, {unit}: {}", line.label, places.join(", "))
}

fn heights(lines: &[Line]) -> impl Iterator<Item = f64> {
    let points = lines.iter().flat_map(|line| &line.points);
    points.flat_map(|point| [point.y, point.range.map_or(point.y, |(_, high)| high)])
}

fn latency(rows: &[Row<'_, '_>], figure: &'static str, title: &str) -> Chart {
    let lines: Vec<Line> = rows
        .iter()
        .enumerate()
        .map(|(nth, row)| line(nth, row, offered, |run| run.spread(figure)))
        .collect();
    let y = Axis::new("ms", Scale::log(heights(&lines)));
    chart(&format!("offered-{figure}"), title, across(rows), y, lines)
}

fn goodput(rows: &[Row<'_, '_>]) -> Chart {
    let mut lines: Vec<Line> = rows
        .iter()
        .enumerate()
        .map(|(nth, row)| line(nth, row, offered, |run| run.spread("gb_per_s")))
        .collect();
    let x = across(rows);
    let most = heights(&lines).fold(0.0, f64::max);
    let end = lines.iter().flat_map(|line| &line.points).map(|point| point.x).fold(0.0, f64::max);
    let y = Axis::new("GB/s", Scale::from_zero([most]));
    // No further than the picture is high.
    let end = match y.scale {
        Scale::Linear { high, .. } | Scale::Log { high, .. } => end.min(high),
    };
    let point = |at| Point { x: at, y: at, range: None };
    lines.push(Line {
        label: "keeps up".into(),
        class: "reference".into(),
        nth: 1,
        points: vec![point(0.0), point(end)],
        dots: false,
    });
    chart("offered-goodput", "Goodput against offered load", x, y, lines)
}

fn refusals(rows: &[Row<'_, '_>]) -> Chart {
    let lines: Vec<Line> =
        rows.iter().enumerate().map(|(nth, row)| line(nth, row, offered, refused_per_s)).collect();
    let y = Axis::new("refusals/s", Scale::from_zero(heights(&lines)));
    chart("offered-refusals", "Refusals against offered load", across(rows), y, lines)
}

/// Where each falls behind.
fn saturation(rows: &[Row<'_, '_>]) -> Option<String> {
    let told: Vec<String> = rows.iter().filter_map(falls_behind).collect();
    (!told.is_empty()).then(|| format!("{}.", told.join("; ")))
}

fn falls_behind(row: &Row<'_, '_>) -> Option<String> {
    let behind = |run: &&&RunDigest<'_>| {
        let kept = run.median("gb_per_s").zip(offered(run));
        kept.is_some_and(|(goodput, offered)| goodput < KEPT_UP * offered)
    };
    let last = offered(row.runs.last()?)?;
    Some(match row.runs.iter().find(behind) {
        Some(run) => format!(
            "{} falls behind at {} GB/s offered (goodput {} GB/s)",
            row.label,
            short(offered(run)?),
            short(run.median("gb_per_s")?),
        ),
        None => format!("{} keeps up with all that was offered, {} GB/s", row.label, short(last)),
    })
}

fn details(rows: &[Row<'_, '_>]) -> Markup {
    let shown = html! {
        table {
            thead {
                tr {
                    th scope="col" { "Run" }
                    th.n scope="col" { "Offered GB/s" }
                    th.n scope="col" { "Goodput GB/s" }
                    th.n scope="col" { "Kept up" }
                    th.n scope="col" { "p50 ms" }
                    th.n scope="col" { "p99 ms" }
                    th.n scope="col" { "p99.9 ms" }
                    th.n scope="col" { "Refusals/s" }
                    th.n scope="col" { "Errors" }
                    th.n scope="col" { "CPU s/GB" }
                }
            }
            tbody {
                @for run in rows.iter().flat_map(|row| &row.runs) {
                    tr {
                        th scope="row" { (link(run)) }
                        td.n { (table::value(offered(run))) }
                        td.n { (table::spread(run.spread("gb_per_s"))) }
                        td.n { (kept_up(run)) }
                        td.n { (table::spread(run.spread("ack_p50_ms"))) }
                        td.n { (table::spread(run.spread("ack_p99_ms"))) }
                        td.n { (table::spread(run.spread("ack_p99_9_ms"))) }
                        td.n { (table::spread(refused_per_s(run))) }
                        td.n { (run.median("error_rate").map_or("–".into(), percent)) }
                        td.n { (table::spread(run.spread("server_cpu_s_per_gb"))) }
                    }
                }
            }
        }
    };
    table::boxed("Offered load in numbers", &shown)
}

fn kept_up(run: &RunDigest<'_>) -> String {
    let part = run.median("gb_per_s").zip(offered(run)).map(|(goodput, offered)| goodput / offered);
    part.map_or("–".into(), percent)
}
