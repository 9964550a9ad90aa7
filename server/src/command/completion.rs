//! `sluice completion`: what has a shell complete the command's words.

use clap::{Args, Command, ValueEnum};
use clap_complete::{Shell, generate};

use crate::command::{Exit, output};

#[derive(Debug, Args)]
pub struct Arguments {
    /// The shell.
    #[arg(value_enum)]
    shell: For,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum For {
    Bash,
    Zsh,
    Fish,
}

pub fn run(arguments: &Arguments, mut command: Command) -> Exit {
    let shell = match arguments.shell {
        For::Bash => Shell::Bash,
        For::Zsh => Shell::Zsh,
        For::Fish => Shell::Fish,
    };
    let mut script = Vec::new();
    generate(shell, &mut command, "sluice", &mut script);
    output::text_block(&String::from_utf8_lossy(&script));
    Exit::Done
}
