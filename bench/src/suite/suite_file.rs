//! A suite as its file describes it.

use serde::Deserialize;
use toml::Table;

/// The file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SuiteFile {
    /// What it is for, in a sentence.
    pub about: String,
    /// Repeats of every run, unless its group has a number of its own.
    pub rounds: usize,
    /// Whether system calls are counted, in a short repeat more of each run.
    #[serde(default = "yes")]
    pub syscalls: bool,
    /// Groups that have one.
    #[serde(default, rename = "group")]
    pub groups: Vec<GroupEntry>,
    /// Runs.
    #[serde(rename = "run")]
    pub runs: Vec<RunEntry>,
    /// Gates.
    #[serde(default, rename = "gate")]
    pub gates: Vec<GateEntry>,
}

const fn yes() -> bool {
    true
}

/// A number of rounds for one group.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GroupEntry {
    /// As runs name it.
    pub name: String,
    /// Repeats of its runs.
    pub rounds: usize,
}

/// A run, or with `by` a run for each way in which its values can be put together.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunEntry {
    /// Name of the run's file, without its end.
    pub file: String,
    /// Name in the suite, by default the file's. With `by` it names each key in braces, and what
    /// the key is set to stands there.
    pub name: Option<String>,
    /// Runs that are compared are of one group: they take turns.
    #[serde(default)]
    pub group: String,
    /// What is put over the file: `"load.connections" = 16`.
    #[serde(default)]
    pub set: Table,
    /// Keys with all the values that they take: `"load.connections" = [2, 16]`.
    #[serde(default)]
    pub by: Table,
}

/// A gate.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GateEntry {
    /// What is compared with what.
    pub name: String,
    /// `<= 1.15`.
    pub goal: String,
    /// Name of a figure.
    pub figure: String,
    /// Name of a run.
    pub of: String,
    /// Name of the run whose figure is taken off.
    pub minus: Option<String>,
    /// Name of the run by whose figure it is divided.
    pub over: Option<String>,
    /// Name of another figure of that run.
    pub over_figure: Option<String>,
}
