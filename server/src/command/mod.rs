//! The `sluice` command: what it takes, and what its exit code says.

mod abort;
mod completion;
mod config_print;
mod connection;
mod doctor;
mod drive;
mod exit;
mod list;
mod ls;
mod output;
mod put;
mod serve;
mod server_flags;
mod status;
mod uploads;

use std::ffi::OsString;

use clap::{CommandFactory as _, Parser, Subcommand};

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
    /// Uploads files and folders, and goes on where an earlier try stopped.
    Put(put::Arguments),
    /// Lists the files that are stored.
    Ls(ls::Arguments),
    /// Lists uploads, running ones and those that ended in the last 24 hours.
    Uploads(uploads::Arguments),
    /// Tells where an upload stands.
    Status(status::Arguments),
    /// Gives an upload up.
    Abort(abort::Arguments),
    /// Makes and lists drives.
    #[command(subcommand)]
    Drive(drive::DriveCommand),
    /// Looks at the settings.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Checks this machine against the settings, and says how to mend what is amiss.
    Doctor(doctor::Arguments),
    /// Prints what has a shell complete the words of this command.
    Completion(completion::Arguments),
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
        Command::Ls(arguments) => ls::run(&arguments, &cli.connection),
        Command::Uploads(arguments) => uploads::run(&arguments, &cli.connection),
        Command::Drive(command) => drive::run(&command, &cli.connection),
        Command::Status(arguments) => status::run(&arguments, &cli.connection),
        Command::Abort(arguments) => abort::run(&arguments, &cli.connection),
        Command::Config(ConfigCommand::Print(arguments)) => config_print::run(&arguments),
        Command::Doctor(arguments) => doctor::run(&arguments),
        Command::Completion(arguments) => completion::run(&arguments, Cli::command()),
    }
}
