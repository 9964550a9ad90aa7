//! `sluice serve`.

use std::io::IsTerminal as _;

use clap::Args;
use tracing_subscriber::EnvFilter;

use crate::command::{Exit, ServerFlags, output};
use crate::serve;

#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    server: ServerFlags,
}

pub fn run(arguments: &Arguments) -> Exit {
    let config = match arguments.server.load_or_tell() {
        Ok(config) => config,
        Err(exit) => return exit,
    };
    log();
    #[cfg(feature = "failpoints")]
    let _scenario = fail::FailScenario::setup();
    match serve::serve(config) {
        Ok(()) => Exit::Done,
        Err(error) => {
            output::problem(&error);
            Exit::Failed
        }
    }
}

/// What happens goes to stderr; `SLUICE_LOG` says how much of it.
fn log() {
    let filter = EnvFilter::try_from_env("SLUICE_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(colours)
        // It would tell of them on stderr, and die of it where that is a file on a full disk.
        .log_internal_errors(false)
        .init();
}
