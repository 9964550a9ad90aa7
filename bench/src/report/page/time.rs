//! Runs second by second: whether speed, latency, memory and CPU hold.

use maud::{Markup, html};

use crate::report::digest::{Digest, RunDigest};
use crate::report::number::{self, percent, short};
use crate::report::page::{absent, link};
use crate::report::plot::{Axis, Chart, Line, Point, Scale};
use crate::result::{Repeat, Sample};

/// Points of a line; a longer run's are taken together.
const POINTS_MAX: usize = 300;
const MIB: f64 = 1_048_576.0;

/// The section.
pub fn body(digest: &Digest<'_>) -> Markup {
    let mut runs = digest.series("time");
    if let Some(longest) = longest(digest)
        && !runs.iter().any(|run| run.nth == longest.nth)
    {
        runs.push(longest);
    }
    let shown: Vec<(&RunDigest<'_>, &Repeat)> =
        runs.into_iter().filter_map(|run| Some((run, middle(run)?))).collect();
    if shown.is_empty() {
        return absent("No run of this suite tells what came second by second.");
    }
    html! {
        p.lead {
            "Runs of the series " code { "time" } ", and the longest of all. Of several repeats \
             the one in the middle by throughput is drawn."
        }
        @for (run, repeat) in shown { (drawn(run, repeat)) }
    }
}

fn longest<'a, 'd>(digest: &'d Digest<'a>) -> Option<&'d RunDigest<'a>> {
    let seconds = |run: &RunDigest<'_>| middle(run).map_or(0.0, |repeat| repeat.outcome.seconds);
    let longest = digest.runs.iter().max_by(|a, b| seconds(a).total_cmp(&seconds(b)));
    longest.filter(|run| seconds(run) > 0.0)
}

/// The repeat in the middle by throughput that has a series.
fn middle<'a>(run: &RunDigest<'a>) -> Option<&'a Repeat> {
    let mut repeats: Vec<&Repeat> =
        run.good().filter(|repeat| repeat.outcome.series.len() > 1).collect();
    let speed = |repeat: &Repeat| repeat.outcome.bytes as f64 / repeat.outcome.seconds.max(1e-9);
    repeats.sort_by(|a, b| speed(a).total_cmp(&speed(b)));
    (!repeats.is_empty()).then(|| repeats[(repeats.len() - 1) / 2])
}

fn drawn(run: &RunDigest<'_>, repeat: &Repeat) -> Markup {
    let class = run.class();
    let id = |what: &str| format!("time-{}-{what}", run.nth);
    let seconds = &repeat.outcome.series;
    let each = |of: fn(&crate::outcome::Second) -> f64| {
        seconds.iter().enumerate().map(|(at, second)| (at as f64, of(second))).collect::<Vec<_>>()
    };
    let memory = |sample: &Sample| (sample.at_s, sample.rss_bytes as f64 / MIB);
    let charts = [
        ("bytes", "Throughput", "GB/s", each(|second| second.bytes as f64 / 1e9), Take::Mean),
        ("p99", "p99 ack of each second", "ms", each(|s| s.ack_p99_us as f64 / 1e3), Take::Most),
        ("rss", "Server memory", "MiB", repeat.samples.iter().map(memory).collect(), Take::Most),
        ("cpu", "Server CPUs busy", "CPUs", busy(&repeat.samples), Take::Mean),
        ("refusals", "Refusals", "refusals/s", each(|s| s.refusals as f64), Take::Mean),
    ];
    // No refusals make no picture.
    let told = |(what, .., points, _): &(&str, _, _, Vec<(f64, f64)>, _)| {
        points.len() > 1 && (*what != "refusals" || points.iter().any(|(_, y)| *y > 0.0))
    };
    html! {
        article.cell {
            h3 {
                (link(run)) " "
                small {
                    (number::time(repeat.outcome.seconds)) " · " (run.loop_text()) " · "
                    (run.load_text())
                    @if run.run.repeats.len() > 1 {
                        " · round " (repeat.round) " of " (run.run.repeats.len())
                    }
                }
            }
            (steadiness(repeat))
            div.charts {
                @for (what, title, unit, points, take) in charts.into_iter().filter(told) {
                    (chart(id(what), title, unit, &class, thinned(&points, take)).figure())
                }
            }
        }
    }
}

/// How points that are taken together become one.
#[derive(Clone, Copy)]
enum Take {
    Mean,
    /// A peak isn't to be lost.
    Most,
}

fn thinned(points: &[(f64, f64)], take: Take) -> Vec<Point> {
    let together = points.len().div_ceil(POINTS_MAX).max(1);
    points
        .chunks(together)
        .map(|chunk| {
            let heights = chunk.iter().map(|(_, y)| *y);
            let y = match take {
                Take::Mean => heights.sum::<f64>() / chunk.len() as f64,
                Take::Most => heights.fold(0.0, f64::max),
            };
            Point { x: chunk[0].0, y, range: None }
        })
        .collect()
}

/// CPU time between looks.
fn busy(samples: &[Sample]) -> Vec<(f64, f64)> {
    // Looks that are closer than this see ticks, not load.
    const APART_S: f64 = 0.5;
    let mut busy = Vec::new();
    let Some(mut last) = samples.first() else { return busy };
    for sample in samples {
        let apart = sample.at_s - last.at_s;
        if apart >= APART_S {
            busy.push((sample.at_s, (sample.cpu_s - last.cpu_s) / apart));
            last = sample;
        }
    }
    busy
}

fn chart(id: String, title: &str, unit: &str, class: &str, points: Vec<Point>) -> Chart {
    let most = points.iter().map(|point| point.y).fold(0.0, f64::max);
    let least = points.iter().map(|point| point.y).fold(f64::INFINITY, f64::min);
    let end = points.last().map_or(1.0, |point| point.x);
    Chart {
        id,
        title: title.into(),
        about: format!("Between {} and {} {unit}.", short(least), short(most)),
        x: seconds_axis(end),
        y: Axis::new(unit, Scale::from_zero([most])),
        lines: vec![Line { label: title.into(), class: class.into(), nth: 0, points, dots: false }],
    }
}

/// Seconds, or minutes where there are many.
fn seconds_axis(end: f64) -> Axis {
    let minutes = end > 180.0;
    let unit = if minutes { 60.0 } else { 1.0 };
    let named = Axis::new("", Scale::from_zero([end / unit]));
    let inside = |(tick, _): &(f64, String)| tick * unit <= end * 1.001;
    Axis {
        label: if minutes { "minutes" } else { "seconds" }.into(),
        scale: Scale::Linear { low: 0.0, high: end.max(1.0) },
        ticks: named.ticks.into_iter().filter(inside).map(|(t, s)| (t * unit, s)).collect(),
    }
}

/// The last tenth against the second, as the gates have it: pools fill in the first.
fn steadiness(repeat: &Repeat) -> Markup {
    let growth = |values: Vec<f64>| {
        let tenth = values.len() / 10;
        let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len() as f64;
        (tenth > 0)
            .then(|| mean(&values[values.len() - tenth..]) / mean(&values[tenth..2 * tenth]) - 1.0)
    };
    let rss = growth(repeat.samples.iter().map(|sample| sample.rss_bytes as f64).collect());
    let bytes = growth(repeat.outcome.series.iter().map(|second| second.bytes as f64).collect());
    let told = |what: &str, growth: Option<f64>| {
        let growth = growth.filter(|growth| growth.is_finite())?;
        let sign = if growth < 0.0 { "−" } else { "+" };
        Some(format!("{what} {sign}{}", percent(growth.abs())))
    };
    let told: Vec<String> =
        [told("throughput", bytes), told("memory", rss)].into_iter().flatten().collect();
    html! {
        @if !told.is_empty() {
            p { "Last tenth against the second tenth: " (told.join(", ")) "." }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_run_is_drawn_with_few_points_and_keeps_its_peaks() {
        let mut points: Vec<(f64, f64)> = (0..3600).map(|at| (at as f64, 1.0)).collect();
        points[1234].1 = 99.0;
        let drawn = thinned(&points, Take::Most);
        assert!(drawn.len() <= POINTS_MAX);
        assert!(drawn.iter().any(|point| point.y == 99.0));
        assert!(thinned(&points, Take::Mean).iter().all(|point| point.y < 10.0));
    }

    #[test]
    fn cpus_busy_are_the_slope_of_cpu_time() {
        let sample = |at_s: f64| Sample { at_s, cpu_s: at_s * 0.5, rss_bytes: 0 };
        let samples: Vec<Sample> = (0..40).map(|nth| sample(f64::from(nth) * 0.05)).collect();
        let busy = busy(&samples);
        assert_eq!(busy.len(), 3);
        assert!(busy.iter().all(|(_, busy)| (busy - 0.5).abs() < 1e-9));
    }

    #[test]
    fn long_runs_are_in_minutes() {
        let axis = seconds_axis(600.0);
        assert_eq!((axis.label.as_str(), axis.ticks.last().unwrap().1.as_str()), ("minutes", "10"));
        assert_eq!(seconds_axis(10.0).label, "seconds");
    }
}
