//! `sluice doctor`.

use std::io::{self, Write as _};

use clap::Args;

use crate::command::{Exit, ServerFlags};
use crate::doctor::{self, Outcome};

#[derive(Debug, Args)]
pub struct Arguments {
    /// Prints JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerFlags,
}

pub fn run(arguments: &Arguments) -> Exit {
    let config = match arguments.server.load_or_tell() {
        Ok(config) => config,
        Err(exit) => return exit,
    };
    let checks = doctor::run(&config);
    let shown = if arguments.json { doctor::json(&checks) } else { doctor::table(&checks) };
    let failed = checks.iter().any(|check| check.outcome == Outcome::Fail);
    match io::stdout().write_all(shown.as_bytes()) {
        Ok(()) if !failed => Exit::Done,
        _ => Exit::Failed,
    }
}
