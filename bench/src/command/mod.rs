//! What the command takes, and what its exit code says.

mod compare;
mod exit;
mod load;
mod peer;
mod report;
mod suite;
mod upload;

use std::ffi::OsString;
use std::io::Write as _;

use clap::{Parser, Subcommand};
use serde::Serialize;

pub use exit::Exit;
pub use peer::run_tonic_stock;

/// Puts load on a Sluice server, and tells what it came to.
#[derive(Debug, Parser)]
#[command(name = "sluice-bench", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Uploads in a closed loop, each verified, against a server that runs.
    Upload(upload::Arguments),
    /// Starts servers, one at a time and by turns, puts the same load on each, and compares.
    Compare(compare::Arguments),
    /// Puts on the load that standard input describes (a job, as JSON), and tells what it came to:
    /// lines `begin` and `end` around the measured time, then the outcome as one line of JSON.
    Load(load::Arguments),
    /// Serves as one of those that Sluice is held against.
    Peer(peer::Arguments),
    /// Tells when the server that began this serves.
    #[command(hide = true)]
    Announce(peer::Announced),
    /// Runs a suite: starts servers and clients by turns, measures, and judges its gates.
    Suite(suite::Arguments),
    /// Renders the report of a suite's result again.
    Report(report::Arguments),
}

/// Runs the command whose words are `arguments`, the program's name first.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> Exit {
    match Cli::try_parse_from(arguments) {
        Ok(Cli { command: Command::Upload(arguments) }) => upload::run(&arguments),
        Ok(Cli { command: Command::Compare(arguments) }) => compare::run(&arguments),
        Ok(Cli { command: Command::Load(arguments) }) => load::run(&arguments),
        Ok(Cli { command: Command::Peer(arguments) }) => peer::run(&arguments),
        Ok(Cli { command: Command::Announce(arguments) }) => peer::announce(&arguments),
        Ok(Cli { command: Command::Suite(arguments) }) => suite::run(&arguments),
        Ok(Cli { command: Command::Report(arguments) }) => report::run(&arguments),
        Err(error) => misread(&error),
    }
}

fn misread(error: &clap::Error) -> Exit {
    // Help and version are errors of clap too, and go to stdout.
    let exit = if error.use_stderr() { Exit::Usage } else { Exit::Done };
    // Nowhere is left to say that the terminal is gone.
    let _ = error.print();
    exit
}

/// Prints a result to stdout: as a line of JSON, or as the text for people.
fn show(json: bool, result: &impl Serialize, text: impl FnOnce() -> String) {
    let shown = match json {
        true => format!("{}\n", serde_json::to_string(result).expect("a report is plain data")),
        false => text(),
    };
    // Whoever closed the pipe doesn't want the rest, and that is no error.
    let _ = std::io::stdout().write_all(shown.as_bytes());
}
