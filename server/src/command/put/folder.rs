//! All files below a folder, several at once.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use futures_util::future::join_all;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use sluice_proto::client::Progress;
use sluice_proto::units::format_size;

use super::one::{Failure, Job, One, Stored, now};
use super::progress::FolderDisplay;
use super::walk::{Found, Walk};
use super::{ABORT_WAIT, Ended, outcome, unless_interrupted};
use crate::command::{Exit, output};

/// Enough to have small files wait for the server's disk together.
const FILES_AT_ONCE: usize = 16;
/// So many files in a row that the server couldn't take: it is the server, not the files.
const UNSENT_IN_A_ROW_MAX: u32 = FILES_AT_ONCE as u32;

/// What became of the files until now.
struct Tally {
    exit: Exit,
    stored: u64,
    stored_bytes: u64,
    failed: u64,
    skipped: u64,
    unsent_in_a_row: u32,
    /// Those under way, by number.
    under_way: BTreeMap<u64, Progress>,
    display: FolderDisplay,
}

pub(super) async fn put(job: &Job<'_>, folder: &Path) -> Ended {
    let started = now();
    let display = FolderDisplay::new(&folder.display().to_string(), job.arguments.quiet);
    let tally = RefCell::new(Tally::new(display));
    let finished = unless_interrupted(put_files(job, folder, &tally)).await;
    let tally = tally.into_inner();
    if finished.is_none() {
        return stopped(job, tally).await;
    }
    let seconds = (now() - started).as_secs_f64();
    let (given_up, exit, summary) = (tally.gives_up(), tally.exit, tally.summary(seconds));
    tally.display.end();
    if given_up {
        output::problem("the server takes nothing any more; the rest was not tried");
    }
    if !job.arguments.quiet {
        output::note(summary);
    }
    if exit == Exit::Resumable {
        output::note("the same command goes on from there");
    }
    // The next file would only wait as long again.
    if given_up { Ended::Stopped(exit) } else { Ended::Told(exit) }
}

async fn put_files(job: &Job<'_>, folder: &Path, tally: &RefCell<Tally>) {
    let mut walk = Some(Walk::new(folder));
    let mut under_way = FuturesUnordered::new();
    let mut number = 0;
    loop {
        while under_way.len() < FILES_AT_ONCE && !tally.borrow().gives_up() {
            let Some(walked) = walk.take() else { break };
            let found;
            (walk, found) = step(walked).await;
            if let Some(found) = found
                && let Some((path, name)) = tally.borrow_mut().file(found)
            {
                number += 1;
                under_way.push(put_file(job, path, name, number, tally));
            }
        }
        if under_way.next().await.is_none() {
            return;
        }
    }
}

/// The walk blocks, so it runs aside; without it when it has come to its end.
async fn step(mut walk: Walk) -> (Option<Walk>, Option<Found>) {
    let walked = tokio::task::spawn_blocking(move || {
        let found = walk.next();
        (found.is_some().then_some(walk), found)
    });
    walked.await.expect("a walk neither panics nor is cancelled")
}

async fn put_file(job: &Job<'_>, path: PathBuf, name: String, number: u64, tally: &RefCell<Tally>) {
    let shown = path.display().to_string();
    let one = match One::file(job, &path, name.clone()) {
        Ok(one) => one,
        Err(error) => return tally.borrow_mut().fail(job, &shown, &Failure::Unreadable(error)),
    };
    let resumes = one.resumes();
    let uploaded = one.upload(job, |progress| tally.borrow_mut().progress(number, progress)).await;
    let mut tally = tally.borrow_mut();
    tally.under_way.remove(&number);
    match uploaded {
        Ok(stored) => tally.store(job, &shown, &name, &stored),
        Err(error) => tally.fail(job, &shown, &Failure::upload(error, resumes)),
    }
}

async fn stopped(job: &Job<'_>, tally: Tally) -> Ended {
    let at = format!("{} files and {}", tally.stored, format_size(tally.acked_bytes()));
    let (exit, under_way) = (tally.exit, tally.under_way);
    tally.display.end();
    if !job.arguments.no_resume {
        output::note(format_args!("paused at {at}; the same command goes on from there"));
        return Ended::Stopped(exit.worst(Exit::Resumable));
    }
    output::note(format_args!("stopped at {at}"));
    let aborts = under_way
        .values()
        .filter(|progress| !progress.upload_id.is_empty())
        .map(|one| job.client.abort(&one.upload_id, "interrupted, and can't be resumed"));
    // What is left behind expires.
    let _ = tokio::time::timeout(ABORT_WAIT, join_all(aborts)).await;
    Ended::Stopped(exit.worst(Exit::Failed))
}

impl Tally {
    fn new(display: FolderDisplay) -> Self {
        Self {
            exit: Exit::Done,
            stored: 0,
            stored_bytes: 0,
            failed: 0,
            skipped: 0,
            unsent_in_a_row: 0,
            under_way: BTreeMap::new(),
            display,
        }
    }

    /// A file to put, or something to say.
    fn file(&mut self, found: Found) -> Option<(PathBuf, String)> {
        let (path, said) = match found {
            Found::File { path, name } => return Some((path, name)),
            Found::Skipped { path, why } => {
                self.skipped += 1;
                (path, format!("skipped, {why}"))
            }
            Found::Broken { path, error } => {
                self.failed += 1;
                self.exit = self.exit.worst(Exit::Failed);
                (path, error.to_string())
            }
        };
        let path = path.display().to_string();
        let line = format!("sluice: {}: {said}", output::printable(&path));
        self.display.beside(|| output::note(line));
        None
    }

    fn progress(&mut self, number: u64, progress: &Progress) {
        self.under_way.insert(number, progress.clone());
        self.show();
    }

    fn store(&mut self, job: &Job<'_>, path: &str, name: &str, stored: &Stored) {
        self.stored += 1;
        self.stored_bytes += stored.report.size_bytes;
        self.unsent_in_a_row = 0;
        self.display.beside(|| outcome::tell_stored(job.arguments, path, name, stored));
        self.show();
    }

    fn fail(&mut self, job: &Job<'_>, path: &str, failure: &Failure) {
        self.failed += 1;
        self.exit = self.exit.worst(failure.exit());
        self.unsent_in_a_row = match failure.exit() {
            Exit::Resumable => self.unsent_in_a_row + 1,
            _ => 0,
        };
        self.display.beside(|| outcome::tell_failed(job.arguments, path, failure));
    }

    fn gives_up(&self) -> bool {
        self.unsent_in_a_row >= UNSENT_IN_A_ROW_MAX
    }

    fn acked_bytes(&self) -> u64 {
        let under_way = self.under_way.values().map(|progress| progress.acked_bytes);
        self.stored_bytes + under_way.sum::<u64>()
    }

    fn show(&mut self) {
        let in_flight = self.under_way.values().map(|progress| progress.in_flight).sum();
        self.display.show(self.stored, self.acked_bytes(), in_flight);
    }

    fn summary(&self, seconds: f64) -> String {
        let mut text = format!("{} files stored, {}", self.stored, format_size(self.stored_bytes));
        for (count, what) in [(self.failed, "failed"), (self.skipped, "skipped")] {
            if count > 0 {
                text += &format!(", {count} {what}");
            }
        }
        text + &format!(", {seconds:.1} s")
    }
}
