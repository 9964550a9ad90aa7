//! `sluice-bench suite`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use crate::command::{Exit, show};
use crate::report;
use crate::result::{GateResult, SuiteResult};
use crate::run::{self, Cpus, Interrupt, Layout, Options, RunError};
use crate::suite::{Suite, SuiteError};

#[derive(Debug, Args)]
pub struct Arguments {
    /// A suite of bench/suites by its name, or a file whose name ends in .toml.
    #[arg(value_name = "NAME|FILE.toml")]
    suite: PathBuf,
    /// Where results go: result.json, gates.json, report.html, hlog.
    #[arg(long, value_name = "FOLDER", default_value = "bench/out")]
    out: PathBuf,
    /// Repeats of every run, instead of the suite's.
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u16).range(1..))]
    rounds: Option<u16>,
    /// Leaves out runs whose name doesn't have this in it; more of them keep more.
    #[arg(long, value_name = "PART")]
    only: Vec<String>,
    /// Where the files of runs are.
    #[arg(long, value_name = "FOLDER", default_value = "bench/runs")]
    runs_dir: PathBuf,
    #[command(flatten)]
    machine: MachineFlags,
}

/// What a suite is run with.
#[derive(Debug, Clone, Args)]
pub struct MachineFlags {
    /// The build of sluice that is measured.
    #[arg(long, value_name = "FILE", default_value = "target/release/sluice")]
    pub server_binary: PathBuf,
    /// CPUs of servers [default: the first half].
    #[arg(long, value_name = "LIST")]
    pub server_cpus: Option<Cpus>,
    /// CPUs of clients [default: the others].
    #[arg(long, value_name = "LIST")]
    pub client_cpus: Option<Cpus>,
}

impl MachineFlags {
    /// What they come to on this machine.
    ///
    /// # Errors
    /// When the kernel doesn't tell which CPUs there are.
    pub fn layout(&self) -> io::Result<Layout> {
        let (servers, clients) = Cpus::allowed()?.split();
        Ok(Layout {
            server_cpus: self.server_cpus.clone().unwrap_or(servers),
            client_cpus: self.client_cpus.clone().unwrap_or(clients),
            server_binary: self.server_binary.clone(),
        })
    }
}

pub fn run(arguments: &Arguments) -> Exit {
    let suite = match read(arguments) {
        Ok(suite) => suite,
        Err(error) => {
            eprintln!("sluice-bench: {error}");
            return Exit::Usage;
        }
    };
    if suite.groups.is_empty() {
        eprintln!("sluice-bench: no run of the suite has a name that --only asks for");
        return Exit::Usage;
    }
    match measure(&suite, &arguments.out, &arguments.machine) {
        Ok(result) => {
            let out = arguments.out.display();
            show(false, &result, || format!("{}written to {out}\n", report::suite_text(&result)));
            exit(&result)
        }
        Err(error) => {
            eprintln!("sluice-bench: {error}");
            Exit::Failed
        }
    }
}

fn read(arguments: &Arguments) -> Result<Suite, SuiteError> {
    let named = arguments.suite.extension().is_some_and(|end| end == "toml");
    let file = match named {
        true => arguments.suite.clone(),
        // The suites lie beside the runs.
        false => {
            let bench = arguments.runs_dir.parent().unwrap_or(Path::new("."));
            bench.join("suites").join(&arguments.suite).with_added_extension("toml")
        }
    };
    let mut suite = Suite::read(&file, &arguments.runs_dir)?;
    if let Some(rounds) = arguments.rounds {
        suite.set_rounds(rounds.into());
    }
    if !arguments.only.is_empty() {
        suite.keep_only(&arguments.only);
    }
    Ok(suite)
}

/// Runs a suite and writes what it came to.
///
/// # Errors
/// When there is no result.
pub fn measure(suite: &Suite, out: &Path, machine: &MachineFlags) -> Result<SuiteResult, RunError> {
    let options = Options {
        out: out.to_owned(),
        layout: machine.layout()?,
        rerun: std::env::args().collect::<Vec<_>>().join(" "),
        interrupt: Interrupt::on_signal()?,
    };
    let result = run::run(suite, &options)?;
    write(&options.out, &result)?;
    Ok(result)
}

/// A repeat that doesn't count is a failure; a gate that isn't met is a result.
pub fn exit(result: &SuiteResult) -> Exit {
    let mut repeats = result.runs.iter().flat_map(|run| &run.repeats);
    match repeats.any(|repeat| repeat.outcome.failed.is_some()) {
        true => Exit::Failed,
        false => Exit::Done,
    }
}

/// `gates.json`: a list of these.
#[derive(Serialize)]
struct GateLine<'a> {
    name: &'a str,
    goal: &'a str,
    value: Option<f64>,
    met: bool,
}

impl<'a> From<&'a GateResult> for GateLine<'a> {
    fn from(gate: &'a GateResult) -> Self {
        Self { name: &gate.name, goal: &gate.goal, value: gate.value, met: gate.met }
    }
}

fn write(out: &Path, result: &SuiteResult) -> io::Result<()> {
    let gates: Vec<GateLine<'_>> = result.gates.iter().map(GateLine::from).collect();
    fs::write(out.join("result.json"), pretty(result)?)?;
    fs::write(out.join("gates.json"), pretty(&gates)?)?;
    fs::write(out.join("report.html"), report::html(result))
}

fn pretty(value: &impl Serialize) -> io::Result<String> {
    let mut text = serde_json::to_string_pretty(value)?;
    text.push('\n');
    Ok(text)
}
