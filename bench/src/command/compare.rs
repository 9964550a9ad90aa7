//! `sluice-bench compare`.

use std::path::PathBuf;

use clap::Args;

use crate::command::upload::{LoadFlags, RunError, measure};
use crate::command::{Exit, show};
use crate::report::comparison::{self, Runs};
use crate::server::Server;
use crate::variant::{Variant, order};

#[derive(Debug, Args)]
pub struct Arguments {
    /// A server to compare, given at least once: a name, its environment, and its command if it
    /// has one of its own. Ratios are to the first.
    #[arg(long, required = true, value_name = "NAME: KEY=VALUE… COMMAND…")]
    #[arg(value_parser = Variant::parse)]
    variant: Vec<Variant>,
    /// How a server is started; its addresses and data directory are put behind.
    #[arg(long, value_name = "COMMAND", default_value = "target/release/sluice serve")]
    server_command: String,
    /// Below which the servers store; what they stored goes after every run.
    #[arg(long, value_name = "FOLDER")]
    folder: PathBuf,
    /// Runs of each server.
    #[arg(long, value_name = "COUNT", default_value_t = 5)]
    #[arg(value_parser = clap::value_parser!(u16).range(1..))]
    repeats: u16,
    #[command(flatten)]
    load: LoadFlags,
    /// Prints all reports as one line of JSON.
    #[arg(long)]
    json: bool,
}

pub fn run(arguments: &Arguments) -> Exit {
    match compare(arguments) {
        Ok(runs) => {
            show(arguments.json, &runs, || comparison::text(&runs));
            Exit::Done
        }
        Err(error) => error.tell(),
    }
}

fn compare(arguments: &Arguments) -> Result<Vec<Runs>, RunError> {
    let variants = &arguments.variant;
    let named = |variant: &Variant| Runs { name: variant.name.clone(), reports: Vec::new() };
    let mut runs: Vec<Runs> = variants.iter().map(named).collect();
    for round in 0..usize::from(arguments.repeats) {
        for nth in order(variants.len(), round) {
            let report = run_once(arguments, &variants[nth])?;
            eprintln!("round {round} {}: {:.3} GB/s", variants[nth].name, report.gb_per_s);
            runs[nth].reports.push(report);
        }
    }
    Ok(runs)
}

fn run_once(arguments: &Arguments, variant: &Variant) -> Result<crate::report::Report, RunError> {
    let common: Vec<String>;
    let command = match variant.command.is_empty() {
        true => {
            common = arguments.server_command.split_whitespace().map(str::to_owned).collect();
            &common
        }
        false => &variant.command,
    };
    let server = Server::start(command, &variant.environment, &arguments.folder)?;
    let report = measure(server.address(), &arguments.load, Some(server.pid()))?;
    server.stop()?;
    Ok(report)
}
