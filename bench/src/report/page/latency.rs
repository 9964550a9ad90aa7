//! Latency by percentile, to 99.99.

use hdrhistogram::Histogram;
use maud::{Markup, html};

use crate::report::digest::{Digest, RunDigest};
use crate::report::number::short;
use crate::report::page::absent;
use crate::report::plot::{Axis, Chart, Line, Point, Scale};

/// Lines that eyes can follow in one picture.
const LINES_MAX: usize = 6;
/// Points of a line.
const POINTS: usize = 64;
/// Nines on the axis: 99.99.
const NINES: f64 = 4.0;

/// The section.
pub fn body(digest: &Digest<'_>) -> Markup {
    let there: Vec<&RunDigest<'_>> = digest.runs.iter().filter(|run| run.ack.is_some()).collect();
    if there.is_empty() {
        return absent("No run of this suite tells when acks came.");
    }
    let (first, rest): (Vec<_>, Vec<_>) = there.into_iter().partition(|run| is_about_latency(run));
    html! {
        p.lead {
            "Time from a chunk's start to its ack, all good repeats together. In an open loop it \
             counts from when the chunk was due, so that waiting behind a slow server is in it; in \
             a closed loop a slow server is simply asked less, so its line flatters. A line ends \
             where there are too few acks to say more."
        }
        @if first.is_empty() {
            p { "No run of this suite is an open loop below saturation, or is in the series "
                code { "latency" } "." }
        }
        div.charts { @for chart in charts(&first, "latency") { (chart.figure()) } }
        @if !rest.is_empty() {
            details open[first.is_empty()] {
                summary { "The other runs: closed loops, series and the matrix" }
                div.charts { @for chart in charts(&rest, "latency-more") { (chart.figure()) } }
            }
        }
    }
}

/// Those that were run to see it; the rest was run to see something else.
fn is_about_latency(run: &RunDigest<'_>) -> bool {
    match run.run.series.as_deref() {
        Some("latency") => true,
        Some("time") | None => run.is_open(),
        Some(_) => false,
    }
}

/// One for each load of each group, or more where they would be too full.
fn charts(runs: &[&RunDigest<'_>], id: &str) -> Vec<Chart> {
    let mut sets: Vec<Vec<&RunDigest<'_>>> = Vec::new();
    for run in runs.iter().copied() {
        let same = |set: &&mut Vec<&RunDigest<'_>>| alike(set[0], run) && set.len() < LINES_MAX;
        match sets.iter_mut().find(same) {
            Some(set) => set.push(run),
            None => sets.push(vec![run]),
        }
    }
    sets.iter().enumerate().map(|(nth, set)| chart(set, format!("{id}-{nth}"))).collect()
}

fn alike(a: &RunDigest<'_>, b: &RunDigest<'_>) -> bool {
    let key = |run: &RunDigest<'_>| {
        let load = &run.run.load;
        (run.run.group.clone(), run.run.series.clone(), load.chunk_size, run.is_open())
    };
    key(a) == key(b)
}

fn chart(set: &[&RunDigest<'_>], id: String) -> Chart {
    let lines: Vec<Line> = set.iter().enumerate().map(|(nth, run)| line(nth, run)).collect();
    let heights = lines.iter().flat_map(|line| line.points.iter().map(|point| point.y));
    let y = Scale::log(heights);
    let kind = if set[0].is_open() { "open loop" } else { "closed loop" };
    let group = &set[0].run.group;
    let group = if group.is_empty() { String::new() } else { format!(" · {group}") };
    let shown = ["50", "90", "99", "99.9", "99.99"];
    let nines = [2f64.log10(), 1.0, 2.0, 3.0, NINES];
    let ticks = nines.into_iter().zip(shown.map(str::to_owned));
    Chart {
        id,
        title: format!("{} chunks · {kind}{group}", set[0].run.load.chunk_size),
        about: set.iter().map(|run| told(run)).collect::<Vec<_>>().join("; "),
        x: Axis {
            label: "percentile".into(),
            scale: Scale::Linear { low: 0.0, high: NINES },
            ticks: ticks.collect(),
        },
        y: Axis::new("ms", y),
        lines,
    }
}

fn line(nth: usize, run: &RunDigest<'_>) -> Line {
    let acks = run.ack.as_ref().expect("only runs with acks are drawn");
    Line {
        label: format!("{} ({} acks)", run.run.name, crate::report::number::count(acks.len())),
        class: run.class(),
        nth,
        points: points(acks),
        dots: false,
    }
}

/// Across in nines: 2 is 99 %. Beyond one ack in so many there is nothing to tell.
fn points(acks: &Histogram<u64>) -> Vec<Point> {
    let end = (acks.len() as f64).log10().min(NINES);
    let mut points: Vec<Point> = (0..=POINTS)
        .map(|nth| {
            let x = end * nth as f64 / POINTS as f64;
            let us = acks.value_at_quantile(1.0 - 10f64.powf(-x)).max(1);
            Point { x, y: us as f64 / 1e3, range: None }
        })
        .collect();
    // What lies between equal heights says nothing.
    let level = |points: &[Point], nth: usize| {
        nth > 0
            && nth + 1 < points.len()
            && points[nth - 1].y == points[nth].y
            && points[nth].y == points[nth + 1].y
    };
    let kept: Vec<bool> = (0..points.len()).map(|nth| !level(&points, nth)).collect();
    let mut kept = kept.into_iter();
    points.retain(|_| kept.next().unwrap_or(true));
    points
}

fn told(run: &RunDigest<'_>) -> String {
    let at = |quantile| run.ack_ms(quantile).map_or("–".into(), short);
    format!("{}: p50 {} ms, p99 {} ms, p99.9 {} ms", run.run.name, at(0.5), at(0.99), at(0.999))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_ends_where_there_are_too_few_acks() {
        let mut acks = Histogram::<u64>::new_with_bounds(1, 3_600_000_000, 3).unwrap();
        (1..=100).for_each(|ms| acks.record(ms * 1000).unwrap());
        let drawn = points(&acks);
        assert!((drawn.last().unwrap().x - 2.0).abs() < 1e-9);
        assert!(drawn.windows(2).all(|pair| pair[0].x < pair[1].x && pair[0].y <= pair[1].y));
        let mut one = Histogram::<u64>::new_with_bounds(1, 3_600_000_000, 3).unwrap();
        one.record(5_000).unwrap();
        assert!(points(&one).iter().all(|point| point.x == 0.0));
    }
}
