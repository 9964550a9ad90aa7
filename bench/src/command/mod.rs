//! What the command takes, and what its exit code says.

mod exit;
mod upload;

use std::ffi::OsString;

use clap::{Parser, Subcommand};

pub use exit::Exit;

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
}

/// Runs the command whose words are `arguments`, the program's name first.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> Exit {
    match Cli::try_parse_from(arguments) {
        Ok(Cli { command: Command::Upload(arguments) }) => upload::run(&arguments),
        Err(error) => {
            // Help and version are errors of clap too, and go to stdout.
            let exit = if error.use_stderr() { Exit::Usage } else { Exit::Done };
            // Nowhere is left to say that the terminal is gone.
            let _ = error.print();
            exit
        }
    }
}
