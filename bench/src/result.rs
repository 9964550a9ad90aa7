//! What a suite came to: what the report is made of, and `result.json`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::job::Load;
use crate::outcome::Outcome;

/// The machine, and what is measured on it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// As /proc/cpuinfo names it.
    pub cpu: String,
    /// CPUs online.
    pub cpus: usize,
    /// Bytes of memory.
    pub memory_bytes: u64,
    /// `uname -r`.
    pub kernel: String,
    /// Of /etc/os-release.
    pub system: String,
    /// Of CPU 0; none where the machine has none.
    pub governor: Option<String>,
    /// What the clock is.
    pub clock_source: String,
    /// Interfaces, with driver and speed where they are told.
    pub interfaces: Vec<String>,
    /// File system of the servers' data.
    pub file_system: String,
    /// What git says, and whether the tree has changes.
    pub commit: String,
    /// Whether the tree differs from the commit.
    pub dirty: bool,
    /// rustc that is installed.
    pub rustc: String,
    /// Load of the last minute, before the first run.
    pub load_1min: f64,
    /// Processes that took more than 2 % of a CPU meanwhile and weren't ours.
    pub other_load: Vec<String>,
    /// CPUs that servers have.
    pub server_cpus: String,
    /// CPUs that clients have.
    pub client_cpus: String,
    /// sysctls that matter, as they were.
    pub sysctls: BTreeMap<String, String>,
}

/// What one side took in the measured time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Taken {
    /// CPU seconds of all its threads, to the nanosecond (schedstat).
    pub cpu_s: f64,
    /// Of these in its own code (in ticks).
    pub user_s: f64,
    /// Of these in the kernel (in ticks).
    pub system_s: f64,
    /// Softirq time on its CPUs, whoever caused it; /proc/stat tells it apart.
    pub softirq_s: f64,
    /// Memory at the start.
    pub rss_begin_bytes: u64,
    /// Most memory that a look every 50 ms saw.
    pub rss_peak_bytes: u64,
    /// Context switches that it asked for.
    pub switches_voluntary: u64,
    /// Context switches that it did not ask for.
    pub switches_involuntary: u64,
    /// System calls, where the machine lets them be counted. Counting costs CPU time, so it is done
    /// in a short repeat of its own after the others, and scaled to this one's bytes.
    pub syscalls: Option<u64>,
    /// Bytes that it had written to storage (/proc/PID/io).
    pub disk_written_bytes: u64,
}

/// One interface in the measured time.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// Bytes in.
    pub received_bytes: u64,
    /// Bytes out.
    pub sent_bytes: u64,
    /// Packets dropped, both ways.
    pub drops: u64,
}

/// A look at the server.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// Since the measured time began.
    pub at_s: f64,
    /// Memory.
    pub rss_bytes: u64,
    /// CPU seconds since the measured time began.
    pub cpu_s: f64,
}

/// One repeat of a run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Repeat {
    /// Which round, from 0.
    pub round: usize,
    /// What the client tells.
    pub outcome: Outcome,
    /// The server's side; none where there was no server.
    pub server: Option<Taken>,
    /// The client's side.
    pub client: Taken,
    /// What stands behind the server; none where nothing does.
    #[serde(default)]
    pub backend: Option<Taken>,
    /// Interfaces that saw anything.
    pub interfaces: Vec<Interface>,
    /// TCP segments sent again, on the whole machine.
    pub retransmits: u64,
    /// Looks at the server, twenty a second at most, 600 in all at most.
    pub samples: Vec<Sample>,
    /// Memory before idle uploads were opened, if there were any.
    pub rss_before_idle_bytes: Option<u64>,
    /// Memory after that, before the load.
    #[serde(default)]
    pub rss_after_idle_bytes: Option<u64>,
    /// Why the client may have been the limit.
    pub client_bound: Option<String>,
}

/// A run and its repeats.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct RunResult {
    /// Its name in the suite.
    pub name: String,
    /// What it is for.
    pub about: String,
    /// Runs of one group took turns, and are compared.
    #[serde(default)]
    pub group: String,
    /// Kind of server.
    pub server: String,
    /// Its shards, or CPUs.
    #[serde(default)]
    pub shards: usize,
    /// Its settings, and what was compiled in, as far as they matter.
    pub settings: BTreeMap<String, String>,
    /// Its command line.
    pub command: String,
    /// Kind of client.
    pub client: String,
    /// The load.
    pub load: Load,
    /// In which picture of the report it belongs, if in one: `chunk-size`, `offered-load`, ….
    pub series: Option<String>,
    /// One a round. Those that failed have `outcome.failed`.
    pub repeats: Vec<Repeat>,
}

/// One row of the gates.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct GateResult {
    /// What is compared with what.
    pub name: String,
    /// Name of the figure.
    #[serde(default)]
    pub figure: String,
    /// Runs that it is made of: one, whose figure it is, or those it is a ratio of.
    #[serde(default)]
    pub runs: Vec<String>,
    /// As the suite has it: `<= 1.15`.
    pub goal: String,
    /// Median over the rounds; none when a run of it is missing or failed.
    pub value: Option<f64>,
    /// Lowest of the rounds.
    pub low: Option<f64>,
    /// Highest of the rounds.
    pub high: Option<f64>,
    /// Whether the median reaches the goal.
    pub met: bool,
    /// Why there is no value, or what a reader should know.
    pub note: Option<String>,
}

/// Something that the suite names and this machine lacks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missing {
    /// The run.
    pub run: String,
    /// Why it couldn't be had.
    pub why: String,
}

/// All of it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct SuiteResult {
    /// Its name.
    pub suite: String,
    /// What it is for.
    pub about: String,
    /// When it began, in UTC (RFC 3339).
    pub began: String,
    /// How long all of it took.
    pub seconds: f64,
    /// What runs it again.
    pub rerun: String,
    /// Rounds that were asked for.
    pub rounds: usize,
    /// Where.
    pub machine: Machine,
    /// Runs, in the order of the suite.
    pub runs: Vec<RunResult>,
    /// Gates, in the order of the suite.
    pub gates: Vec<GateResult>,
    /// What was left out.
    pub missing: Vec<Missing>,
}
