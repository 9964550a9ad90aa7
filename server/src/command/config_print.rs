//! `sluice config print`.

use std::io::{self, Write as _};

use clap::Args;

use crate::command::{Exit, ServerFlags};

#[derive(Debug, Args)]
pub struct Arguments {
    /// Says behind each setting where it was set.
    #[arg(long)]
    origin: bool,
    #[command(flatten)]
    server: ServerFlags,
}

pub fn run(arguments: &Arguments) -> Exit {
    let config = match arguments.server.load_or_tell() {
        Ok(config) => config,
        Err(exit) => return exit,
    };
    match io::stdout().write_all(config.to_toml(arguments.origin).as_bytes()) {
        Ok(()) => Exit::Done,
        Err(_) => Exit::Failed,
    }
}
