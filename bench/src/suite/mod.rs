//! Suites: which runs there are, in which order, and what they must come to. Read from files, and
//! checked to the last key before anything is started.

pub mod comparison;
mod error;
mod expand;
pub mod figure;
mod gate;
mod goal;
mod kind;
mod run_file;
mod suite_file;

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

pub use error::SuiteError;
pub use figure::{FIGURES, Figure};
pub use gate::{Gate, median};
pub use goal::Goal;
pub use kind::{ClientKind, ServerKind};
pub use run_file::{Backend, Client, Run, RunFile, Server};

use crate::job::Offered;
use suite_file::{GateEntry, RunEntry, SuiteFile};

/// Runs in groups, and gates over them.
pub struct Suite {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub about: String,
    /// Repeats, where a group has no number of its own.
    pub rounds: usize,
    /// Whether system calls are counted, in a short repeat more of each run.
    pub syscalls: bool,
    /// One after the other.
    pub groups: Vec<Group>,
    /// In the order of the file.
    pub gates: Vec<Gate>,
}

/// Runs that take turns.
#[derive(Debug)]
pub struct Group {
    /// Its name; the runs of a file that name none are one group too.
    pub name: String,
    /// Repeats of each run.
    pub rounds: usize,
    /// In the order of the file.
    pub runs: Vec<NamedRun>,
}

/// A run in a suite.
#[derive(Debug, Clone, PartialEq)]
pub struct NamedRun {
    /// No other run of the suite has it.
    pub name: String,
    /// What is run.
    pub run: Run,
}

impl Suite {
    /// Reads one, and the runs that it names from `runs_dir`.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn read(file: &Path, runs_dir: &Path) -> Result<Self, SuiteError> {
        let text = fs::read_to_string(file)
            .map_err(|source| SuiteError::Read { file: file.to_owned(), source })?;
        let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        Reader { file, runs_dir, files: BTreeMap::new() }.suite(name, &text)
    }

    /// All runs, in the order of the file.
    pub fn runs(&self) -> impl Iterator<Item = &NamedRun> {
        self.groups.iter().flat_map(|group| &group.runs)
    }

    /// Leaves out runs whose name has none of these in it.
    pub fn keep_only(&mut self, parts: &[String]) {
        let kept = |run: &NamedRun| parts.iter().any(|part| run.name.contains(part.as_str()));
        self.groups.iter_mut().for_each(|group| group.runs.retain(kept));
        self.groups.retain(|group| !group.runs.is_empty());
    }

    /// Has every run repeated so often.
    pub fn set_rounds(&mut self, rounds: usize) {
        self.rounds = rounds;
        self.groups.iter_mut().for_each(|group| group.rounds = rounds);
    }
}

/// Reads a suite; a file of a run that is named often is read once.
struct Reader<'a> {
    file: &'a Path,
    runs_dir: &'a Path,
    files: BTreeMap<PathBuf, RunFile>,
}

impl Reader<'_> {
    fn suite(mut self, name: String, text: &str) -> Result<Suite, SuiteError> {
        let read: SuiteFile = toml::from_str(text).map_err(|source| SuiteError::Toml {
            file: self.file.to_owned(),
            source: Box::new(source),
        })?;
        if read.rounds == 0 {
            return Err(self.wrong("rounds", "must be at least 1"));
        }
        let mut groups: Vec<Group> = Vec::new();
        let mut names = HashSet::new();
        for entry in &read.runs {
            for run in self.runs(entry)? {
                self.check_run(&run, &mut names, &groups)?;
                match groups.iter_mut().find(|group| group.name == entry.group) {
                    Some(group) => group.runs.push(run),
                    None => groups.push(Group {
                        name: entry.group.clone(),
                        rounds: read.rounds,
                        runs: vec![run],
                    }),
                }
            }
        }
        for entry in &read.groups {
            let place = format!("group {}", entry.name);
            let group = groups.iter_mut().find(|group| group.name == entry.name);
            let group = group.ok_or_else(|| self.wrong(&place, "no run is of it"))?;
            if entry.rounds == 0 {
                return Err(self.wrong(&format!("{place}: rounds"), "must be at least 1"));
            }
            group.rounds = entry.rounds;
        }
        let gates = read.gates.iter().map(|entry| self.gate(entry, &names));
        let gates = gates.collect::<Result<_, _>>()?;
        let SuiteFile { about, rounds, syscalls, .. } = read;
        Ok(Suite { name, about, rounds, syscalls, groups, gates })
    }

    /// The runs of one entry.
    fn runs(&mut self, entry: &RunEntry) -> Result<Vec<NamedRun>, SuiteError> {
        let path = self.runs_dir.join(format!("{}.toml", entry.file));
        if !self.files.contains_key(&path) {
            self.files.insert(path.clone(), RunFile::read(&path)?);
        }
        let file = &self.files[&path];
        let named = |name: &str| format!("run {name}");
        let entry_name = entry.name.as_deref().unwrap_or(&entry.file);
        let expanded = expand::all(entry_name, &entry.by)
            .map_err(|(key, why)| self.wrong(&format!("{}: by.{key}", named(entry_name)), &why))?;
        let mut runs = Vec::new();
        for (name, by) in expanded {
            let set = entry.set.iter().map(|(key, value)| (key.clone(), value.clone()));
            let set: Vec<_> = set.chain(by).collect();
            let run = file
                .with(&set)
                .map_err(|(key, why)| self.wrong(&format!("{}: {key}", named(&name)), &why))?;
            runs.push(NamedRun { name, run });
        }
        Ok(runs)
    }

    /// A run's name is also that of its files, and a load that is a share of another run's needs
    /// that one to be before it.
    fn check_run(
        &self,
        run: &NamedRun,
        names: &mut HashSet<String>,
        before: &[Group],
    ) -> Result<(), SuiteError> {
        let place = format!("run {}", run.name);
        let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        if run.name.is_empty() || run.name.starts_with('.') || !run.name.chars().all(plain) {
            return Err(self.wrong(&place, "a name is of letters, digits, '.', '_' and '-'"));
        }
        if !names.insert(run.name.clone()) {
            return Err(self.wrong(&place, "there is another of that name"));
        }
        if let Some(Offered::Of { run: other, .. }) = &run.run.load.offered {
            let mut earlier = before.iter().flat_map(|group| &group.runs);
            if !earlier.any(|run| run.name == *other) {
                let place = format!("{place}: load.offered.of.run");
                return Err(self.wrong(&place, &format!("no run before it is called {other:?}")));
            }
        }
        Ok(())
    }

    fn gate(&self, entry: &GateEntry, names: &HashSet<String>) -> Result<Gate, SuiteError> {
        let wrong = |key: &str, why: &str| self.wrong(&format!("gate {}: {key}", entry.name), why);
        let figure = |key: &str, name: &str| {
            Figure::named(name).ok_or_else(|| wrong(key, &format!("no figure is called {name:?}")))
        };
        let over_figure = entry.over_figure.as_deref();
        let gate = Gate {
            name: entry.name.clone(),
            goal: entry.goal.parse().map_err(|why: String| wrong("goal", &why))?,
            figure: figure("figure", &entry.figure)?,
            of: entry.of.clone(),
            minus: entry.minus.clone(),
            over: entry.over.clone(),
            over_figure: over_figure.map(|name| figure("over_figure", name)).transpose()?,
        };
        if gate.over_figure.is_some() && gate.over.is_none() {
            return Err(wrong("over_figure", "of which run? `over` is missing"));
        }
        let unknown = gate.runs().find(|name| !names.contains(*name));
        match unknown.map(|name| format!("no run is called {name:?}")) {
            Some(why) => Err(wrong("of, minus, over", &why)),
            None => Ok(gate),
        }
    }

    fn wrong(&self, place: &str, why: &str) -> SuiteError {
        SuiteError::at(self.file, place, why)
    }
}

#[cfg(test)]
mod tests;
