//! The `sluice` command: what it takes, and what its exit code says.

mod abort;
mod config_print;
mod connection;
mod doctor;
mod exit;
mod output;
mod put;
mod serve;
mod server_flags;
mod status;

use std::ffi::OsString;

use clap::{Parser, Subcommand};

pub use connection::Connection;
pub use exit::Exit;
pub use server_flags::ServerFlags;

/// Takes files in over gRPC and lands each as one verified object.
#[derive(Debug, Parser)]
#[command(name = "sluice", version)]
struct Cli {
    #[command(flatten)]
    connection: Connection,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs the server.
    Serve(serve::Arguments),
    /// Uploads files, and goes on where an earlier try stopped.
    Put(put::Arguments),
    /// Tells where an upload stands.
    Status(status::Arguments),
    /// Gives an upload up.
    Abort(abort::Arguments),
    /// Looks at the settings.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Checks this machine against the settings, and says how to mend what is amiss.
    Doctor(doctor::Arguments),
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Prints the settings in effect as TOML.
    Print(config_print::Arguments),
}

/// Runs the command whose words are `arguments`, the program's name first.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> Exit {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are errors of clap too, and go to stdout.
            let exit = if error.use_stderr() { Exit::Usage } else { Exit::Done };
            // Nowhere is left to say that the terminal is gone.
            let _ = error.print();
            return exit;
        }
    };
    match cli.command {
        Command::Serve(arguments) => serve::run(&arguments),
        Command::Put(arguments) => put::run(&arguments, &cli.connection),
        Command::Status(arguments) => status::run(&arguments, &cli.connection),
        Command::Abort(arguments) => abort::run(&arguments, &cli.connection),
        Command::Config(ConfigCommand::Print(arguments)) => config_print::run(&arguments),
        Command::Doctor(arguments) => doctor::run(&arguments),
    }
}
