//! Which runs are held against each other: those of a group with the same chunks on as many
//! connections, in the same kind of loop.

use crate::job::Offered;
use crate::report::digest::RunDigest;

/// Runs that can be compared.
pub struct Cell<'a, 'd> {
    /// In the order of the suite.
    pub runs: Vec<&'d RunDigest<'a>>,
}

impl<'a, 'd> Cell<'a, 'd> {
    /// What they have in common.
    pub fn title(&self) -> String {
        let load = &self.runs[0].run.load;
        let sizes = match load.mix.len() {
            0 => format!("{} chunks", load.chunk_size),
            n => format!("A mix of {n} sizes"),
        };
        let connections = match load.connections {
            1 => "1 connection".to_owned(),
            n => format!("{n} connections"),
        };
        let kind = if self.runs[0].is_open() { "open loop" } else { "closed loop" };
        format!("{sizes} · {connections} · {kind}")
    }

    /// The suite's name for the group, if it has one.
    pub fn group(&self) -> &'a str {
        &self.runs[0].run.group
    }

    /// Sluice in all the ways that it ran.
    pub fn sluice(&self) -> impl Iterator<Item = &'d RunDigest<'a>> {
        self.runs.iter().copied().filter(|run| run.is_sluice())
    }

    /// Kinds of servers in it.
    pub fn kinds(&self) -> usize {
        let mut kinds: Vec<&str> = self.runs.iter().map(|run| run.run.server.as_str()).collect();
        kinds.sort_unstable();
        kinds.dedup();
        kinds.len()
    }
}

/// All of them, in the order of the suite. Only runs with a repeat that counts are in one.
pub fn cells<'a, 'd>(runs: impl Iterator<Item = &'d RunDigest<'a>>) -> Vec<Cell<'a, 'd>> {
    let mut cells: Vec<Cell<'a, 'd>> = Vec::new();
    for run in runs.filter(|run| run.good().next().is_some()) {
        match cells.iter_mut().find(|cell| key(cell.runs[0]) == key(run)) {
            Some(cell) => cell.runs.push(run),
            None => cells.push(Cell { runs: vec![run] }),
        }
    }
    cells
}

type Key<'a> = (&'a str, Option<&'a str>, u64, usize, usize, usize, Option<String>, bool);

fn key<'a>(run: &RunDigest<'a>) -> Key<'a> {
    let load = &run.run.load;
    (
        &run.run.group,
        // A series has its own picture: what isn't in it isn't to be mixed in.
        run.run.series.as_deref(),
        load.chunk_size.0,
        load.connections,
        load.mix.len(),
        load.idle_uploads,
        // What is offered, or which part of what each can take.
        load.offered.as_ref().map(|offered| match offered {
            Offered::Bytes(size) => format!("{size} a second"),
            Offered::Of { share, .. } => format!("{share} of what it can take"),
        }),
        // At rest there is nothing to compare with a load.
        run.run.client == "none",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::Size;
    use crate::suite::figure::tests::run;

    #[test]
    fn only_like_is_held_against_like() {
        let mut runs = [
            run("sluice-16", &[(1.0, 1.0)]),
            run("tonic-16", &[(1.0, 1.0)]),
            run("sluice-1", &[(1.0, 1.0)]),
            run("failed-16", &[(1.0, 1.0)]),
        ];
        runs[1].server = "tonic-tuned".into();
        runs[2].load.chunk_size = Size(1 << 20);
        runs[3].repeats[0].outcome.failed = Some("x".into());
        let digests: Vec<RunDigest<'_>> =
            runs.iter().enumerate().map(|(nth, run)| RunDigest::new(nth, run)).collect();
        let cells = cells(digests.iter());
        let names = |cell: &Cell<'_, '_>| -> Vec<String> {
            cell.runs.iter().map(|run| run.run.name.clone()).collect()
        };
        assert_eq!(names(&cells[0]), ["sluice-16", "tonic-16"]);
        assert_eq!(names(&cells[1]), ["sluice-1"]);
        assert_eq!((cells[0].kinds(), cells[1].kinds()), (2, 1));
        assert_eq!(cells[0].title(), "16 MiB chunks · 2 connections · closed loop");
    }
}
