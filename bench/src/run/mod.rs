//! Runs a suite: starts servers and clients, looks at both while they work, and keeps what it saw.
//!
//! Nothing that is started outlives this process, and no run is let go on for ever.

mod backend;
mod child;
pub(crate) mod cpus;
mod hlog;
mod interrupt;
mod layout;
mod machine;
mod mark;
mod other_load;
mod proc;
mod progress;
mod repeat;
mod rounds;
mod server;
mod syscalls;

use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

pub use cpus::Cpus;
pub use interrupt::{Ended, Interrupt};
pub use layout::Layout;

use crate::clock::{now, wall};
use crate::outcome::Outcome;
use crate::result::{GateResult, Missing, Repeat, RunResult, SuiteResult};
use crate::suite::{Group, NamedRun, Suite};
use other_load::OtherLoad;
use repeat::Given;
use syscalls::Syscalls;

/// How a suite is run.
#[derive(Debug)]
pub struct Options {
    /// Where results go; servers store below it.
    pub out: PathBuf,
    /// Which CPUs, which build.
    pub layout: Layout,
    /// What runs it again.
    pub rerun: String,
    /// Whether to go on.
    pub interrupt: Interrupt,
}

/// Why there is no result.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Results can't be written, or processes not be looked at.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// Someone wanted it to end.
    #[error("interrupted; nothing is kept")]
    Interrupted,
}

/// Runs it all. A repeat that fails is kept as such, and the rest goes on.
///
/// # Errors
/// When there is no result at all.
pub fn run(suite: &Suite, options: &Options) -> Result<SuiteResult, RunError> {
    let runner = Runner::new(suite, options)?;
    runner.run()
}

struct Runner<'a> {
    suite: &'a Suite,
    options: &'a Options,
    folder: Folder,
    other_load: OtherLoad,
    runs: Vec<RunResult>,
    missing: Vec<Missing>,
    done: usize,
    all: usize,
}

impl<'a> Runner<'a> {
    fn new(suite: &'a Suite, options: &'a Options) -> Result<Self, RunError> {
        let folder = Folder::create(options.out.join("tmp"))?;
        fs::create_dir_all(options.out.join("hlog"))?;
        let mut runs = Vec::new();
        let mut missing = Vec::new();
        let named = suite
            .groups
            .iter()
            .flat_map(|group| group.runs.iter().map(|run| (group.name.as_str(), run)));
        for (group, run) in named {
            let start = options.layout.start(&run.run, Path::new("DATA"));
            match &start {
                Ok(start) => runs.push(empty_result(group, run, start)),
                Err(why) => {
                    eprintln!("{} is left out: {why}", run.name);
                    missing.push(Missing { run: run.name.clone(), why: why.clone() });
                }
            }
        }
        let there = |group: &Group| {
            group.runs.iter().filter(|run| runs.iter().any(|other| other.name == run.name)).count()
        };
        let all = suite.groups.iter().map(|group| there(group) * group.rounds).sum();
        let other_load = OtherLoad::start();
        Ok(Self { suite, options, folder, other_load, runs, missing, done: 0, all })
    }

    fn run(mut self) -> Result<SuiteResult, RunError> {
        let (began, started) = (wall(), now());
        let mut machine = machine::machine(&self.options.layout, &self.folder.0);
        // What this process does is done on the clients' CPUs.
        cpus::pin(&self.options.layout.client_cpus.set())?;
        for group in &self.suite.groups {
            self.group(group)?;
        }
        machine.other_load = self.other_load.told();
        let (runs, missing) = (self.runs, self.missing);
        let gates: Vec<GateResult> =
            self.suite.gates.iter().map(|gate| gate.judge(&runs, &missing)).collect();
        Ok(SuiteResult {
            suite: self.suite.name.clone(),
            about: self.suite.about.clone(),
            began: prost_types::Timestamp::from(began).to_string(),
            seconds: (now() - started).as_secs_f64(),
            rerun: self.options.rerun.clone(),
            rounds: self.suite.rounds,
            machine,
            runs,
            gates,
            missing,
        })
    }

    fn group(&mut self, group: &Group) -> Result<(), RunError> {
        let missing = |run: &&NamedRun| !self.missing.iter().any(|missing| missing.run == run.name);
        let runs: Vec<&NamedRun> = group.runs.iter().filter(missing).collect();
        for round in 0..group.rounds {
            for nth in rounds::order(runs.len(), round) {
                let (repeat, began) = self.repeat(runs[nth], round, false)?;
                self.done += 1;
                eprintln!(
                    "[{}/{}] {}",
                    self.done,
                    self.all,
                    progress::line(&runs[nth].name, &repeat)
                );
                if repeat.outcome.failed.is_none() {
                    let name = format!("{}-{round}.hlog", runs[nth].name);
                    let file = self.options.out.join("hlog").join(name);
                    hlog::write(&file, &runs[nth].name, &repeat, began)?;
                }
                let kept = self.runs.iter_mut().find(|run| run.name == runs[nth].name);
                kept.expect("every run has a place").repeats.push(repeat);
                self.other_load.look();
            }
        }
        if self.suite.syscalls && Syscalls::can_be_counted() {
            runs.into_iter().try_for_each(|run| self.count_syscalls(run, group.rounds))?;
        }
        Ok(())
    }

    /// Runs once more, for a short time, and keeps nothing of it but how many calls there were.
    fn count_syscalls(&mut self, run: &NamedRun, round: usize) -> Result<(), RunError> {
        let mut short = run.clone();
        let duration = &mut short.run.load.duration.0;
        *duration = COUNTED_MAX.min(*duration);
        let (counted, _) = self.repeat(&short, round, true)?;
        let kept = self.runs.iter_mut().find(|kept| kept.name == run.name);
        for repeat in &mut kept.expect("every run has a place").repeats {
            if let Some(server) = &mut repeat.server {
                server.syscalls = scaled(&counted, &repeat.outcome);
            }
        }
        Ok(())
    }

    fn repeat(
        &self,
        run: &NamedRun,
        round: usize,
        count_syscalls: bool,
    ) -> Result<(Repeat, SystemTime), RunError> {
        let failed = |why| {
            let outcome = Outcome { failed: Some(why), ..Outcome::default() };
            (Repeat { round, outcome, ..Repeat::default() }, wall())
        };
        let load = match rounds::resolve(&run.run.load, round, &self.runs) {
            Ok(load) => load,
            Err(why) => return Ok(failed(why)),
        };
        let folder = Folder::create(self.folder.0.join(&run.name))?;
        let done = repeat::repeat(Given {
            layout: &self.options.layout,
            run: &run.run,
            load: &load,
            round,
            folder: &folder.0,
            count_syscalls,
            interrupt: &self.options.interrupt,
        });
        drop(folder);
        // What one left to be written is not to be written while the next is measured.
        self.folder.sync()?;
        match done {
            Ok(done) => Ok(done),
            Err(Ended::Failed(why)) => Ok(failed(why)),
            Err(Ended::Interrupted) => Err(RunError::Interrupted),
        }
    }
}

/// System calls are counted for no longer than this.
const COUNTED_MAX: Duration = Duration::from_secs(1);

/// The calls of a repeat for as many bytes as another had, or at rest for as long.
fn scaled(counted: &Repeat, other: &Outcome) -> Option<u64> {
    let calls = counted.server?.syscalls? as f64;
    let (one, other) = match counted.outcome.bytes {
        0 => (counted.outcome.seconds, other.seconds),
        bytes => (bytes as f64, other.bytes as f64),
    };
    (one > 0.0).then(|| (calls * other / one).round() as u64)
}

fn empty_result(group: &str, run: &NamedRun, start: &layout::Start) -> RunResult {
    let NamedRun { name, run } = run;
    RunResult {
        name: name.clone(),
        about: run.about.clone(),
        group: group.to_owned(),
        server: run.server.kind.to_string(),
        shards: run.server.shards,
        settings: start.settings.clone(),
        command: start.command(),
        client: run.client.kind.to_string(),
        load: run.load.clone(),
        series: run.series.clone(),
        repeats: Vec::new(),
    }
}

/// A folder of ours, gone when it is dropped.
#[derive(Debug)]
struct Folder(PathBuf);

impl Folder {
    /// Makes it, empty.
    fn create(path: PathBuf) -> io::Result<Self> {
        match fs::remove_dir_all(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => fs::create_dir_all(&path)?,
        }
        // Servers are given it, wherever they run.
        Ok(Self(fs::canonicalize(path)?))
    }

    /// Has its file system write what it still holds.
    fn sync(&self) -> io::Result<()> {
        let folder = File::open(&self.0)?;
        // SAFETY: touches no memory.
        match unsafe { libc::syncfs(folder.as_raw_fd()) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Whoever can't remove it will be told by the next who can't make it.
        let _ = fs::remove_dir_all(&self.0);
    }
}
