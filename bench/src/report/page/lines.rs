//! Runs of a series as lines: one for each server in each of the ways that it was set.

use std::collections::BTreeMap;

use crate::report::digest::{RunDigest, Spread};
use crate::report::plot::{Line, Point};

/// Runs that differ only in what goes across.
pub struct Row<'a, 'd> {
    /// What they are called.
    pub label: String,
    /// From left to right.
    pub runs: Vec<&'d RunDigest<'a>>,
}

/// Sorted by `across`; a run without it is left out.
pub fn rows<'a, 'd>(
    runs: &[&'d RunDigest<'a>],
    across: impl Fn(&RunDigest<'a>) -> Option<f64>,
) -> Vec<Row<'a, 'd>> {
    let mut rows: Vec<Row<'a, 'd>> = Vec::new();
    for run in runs.iter().copied().filter(|run| across(run).is_some()) {
        match rows.iter_mut().find(|row| key(row.runs[0]) == key(run)) {
            Some(row) => row.runs.push(run),
            None => rows.push(Row { label: String::new(), runs: vec![run] }),
        }
    }
    let kinds: Vec<String> = rows.iter().map(|row| row.runs[0].run.server.clone()).collect();
    for row in &mut rows {
        let place = |run: &RunDigest<'a>| across(run).unwrap_or_default();
        row.runs.sort_by(|a, b| place(a).total_cmp(&place(b)));
        let kind = &row.runs[0].run.server;
        let alone = kinds.iter().filter(|other| *other == kind).count() == 1;
        row.label = if alone { kind.clone() } else { common_name(&row.runs) };
    }
    rows
}

/// The line of a figure.
pub fn line(
    nth: usize,
    row: &Row<'_, '_>,
    across: impl Fn(&RunDigest<'_>) -> Option<f64>,
    up: impl Fn(&RunDigest<'_>) -> Option<Spread>,
) -> Line {
    let point = |run: &&RunDigest<'_>| {
        let spread = up(run)?;
        let range = (spread.count > 1).then_some((spread.low, spread.high));
        Some(Point { x: across(run)?, y: spread.median, range })
    };
    Line {
        label: row.label.clone(),
        class: row.runs[0].class(),
        nth,
        points: row.runs.iter().filter_map(point).collect(),
        dots: true,
    }
}

type Key<'a> = (&'a str, &'a str, &'a str, &'a BTreeMap<String, String>, String);

fn key<'a>(run: &RunDigest<'a>) -> Key<'a> {
    let load = &run.run.load;
    let how = (load.checksums, load.promise, load.order, load.route, load.ack, load.frame_size);
    let how = format!("{how:?} {}", load.connections);
    (&run.run.group, &run.run.server, &run.run.client, &run.run.settings, how)
}

/// The words that their names begin with.
fn common_name(runs: &[&RunDigest<'_>]) -> String {
    let words = |run: &RunDigest<'_>| -> Vec<String> {
        run.run.name.split_inclusive(|c: char| !c.is_alphanumeric()).map(str::to_owned).collect()
    };
    let mut common = words(runs[0]);
    for run in &runs[1..] {
        let words = words(run);
        let alike = common.iter().zip(&words).take_while(|(a, b)| a == b).count();
        common.truncate(alike);
    }
    let common = common.concat();
    let common = common.trim_end_matches(|c: char| !c.is_alphanumeric());
    if common.is_empty() { runs[0].run.server.clone() } else { common.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::Size;
    use crate::result::RunResult;
    use crate::suite::figure::tests::run;

    #[test]
    fn a_line_is_a_server_in_one_setting() {
        let sized = |name: &str, mib: u64, spool: &str| {
            let mut run: RunResult = run(name, &[(1.0, 1.0), (2.0, 1.0)]);
            run.load.chunk_size = Size(mib << 20);
            run.settings.insert("spool".into(), spool.into());
            run
        };
        let runs = [
            sized("held-16", 16, "memory"),
            sized("held-1", 1, "memory"),
            sized("disk-1", 1, "disk"),
        ];
        let digests: Vec<RunDigest<'_>> =
            runs.iter().enumerate().map(|(nth, run)| RunDigest::new(nth, run)).collect();
        let across = |run: &RunDigest<'_>| Some(run.run.load.chunk_size.0 as f64);
        let rows = rows(&digests.iter().collect::<Vec<_>>(), across);
        let labels: Vec<&str> = rows.iter().map(|row| row.label.as_str()).collect();
        assert_eq!(labels, ["held", "disk-1"]);
        let drawn = line(0, &rows[0], across, |run| run.spread("gb_per_s"));
        let places: Vec<f64> = drawn.points.iter().map(|point| point.x).collect();
        assert_eq!(places, [(1 << 20) as f64, (16 << 20) as f64]);
        assert_eq!(drawn.points[0].range, Some((1.0, 2.0)));
    }
}
