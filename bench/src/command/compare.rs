//! `sluice-bench compare`.

use std::path::PathBuf;

use clap::Args;
use toml::{Table, Value};

use crate::command::suite::{self, MachineFlags};
use crate::command::{Exit, show};
use crate::suite::{Group, NamedRun, Run, RunFile, Suite, comparison};
use crate::variant::Variant;

#[derive(Debug, Args)]
pub struct Arguments {
    /// A server to compare, given at least once: a name, its settings, and its build and arguments
    /// if it has some of its own. Ratios are to the first.
    #[arg(long, required = true, value_name = "NAME: KEY=VALUE… BINARY ARGUMENT…")]
    #[arg(value_parser = Variant::parse)]
    variant: Vec<Variant>,
    /// The run that each of them does.
    #[arg(long, value_name = "FILE.toml", default_value = "bench/runs/disk.toml")]
    run: PathBuf,
    /// Put over the run's file: `load.chunk_size=1 MiB`.
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    set: Vec<(String, Value)>,
    /// Repeats of each, by turns.
    #[arg(long, value_name = "COUNT", default_value_t = 5)]
    #[arg(value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,
    /// Where results go, and below which the servers store.
    #[arg(long, value_name = "FOLDER", default_value = "bench/out/compare")]
    out: PathBuf,
    #[command(flatten)]
    machine: MachineFlags,
    /// Prints the result as one line of JSON.
    #[arg(long)]
    json: bool,
}

pub fn run(arguments: &Arguments) -> Exit {
    let suite = match read(arguments) {
        Ok(suite) => suite,
        Err(error) => {
            eprintln!("sluice-bench: {error}");
            return Exit::Usage;
        }
    };
    match suite::measure(&suite, &arguments.out, &arguments.machine) {
        Ok(result) => {
            show(arguments.json, &result, || comparison::text(&result));
            suite::exit(&result)
        }
        Err(error) => {
            eprintln!("sluice-bench: {error}");
            Exit::Failed
        }
    }
}

/// A suite of one group: the run once for each variant.
fn read(arguments: &Arguments) -> Result<Suite, String> {
    let file = RunFile::read(&arguments.run).map_err(|error| error.to_string())?;
    let run = file.with(&arguments.set).map_err(|(key, why)| format!("--set {key}: {why}"))?;
    let mut runs: Vec<NamedRun> = Vec::new();
    for variant in &arguments.variant {
        if runs.iter().any(|run| run.name == variant.name) {
            return Err(format!("--variant: {} is given twice", variant.name));
        }
        runs.push(NamedRun { name: variant.name.clone(), run: with(&run, variant) });
    }
    let rounds = arguments.rounds.into();
    let group = Group { name: String::new(), rounds, runs };
    Ok(Suite {
        name: "compare".into(),
        about: run.about,
        rounds,
        syscalls: true,
        groups: vec![group],
        gates: Vec::new(),
    })
}

fn with(run: &Run, variant: &Variant) -> Run {
    let mut run = run.clone();
    run.server.settings.extend(variant.settings.iter().cloned());
    run.server.arguments.extend(variant.arguments.iter().cloned());
    run.server.binary = variant.binary.clone().or(run.server.binary);
    run
}

/// A value that isn't TOML is text: nobody quotes on a command line.
fn pair(text: &str) -> Result<(String, Value), String> {
    let (key, value) =
        text.split_once('=').ok_or_else(|| "not such as load.connections=16".to_owned())?;
    let read = toml::from_str::<Table>(&format!("value = {value}"));
    let read = read.ok().and_then(|mut table| table.remove("value"));
    Ok((key.trim().to_owned(), read.unwrap_or_else(|| Value::from(value.trim()))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_as_people_write_them() {
        let read = |text: &str| pair(text).unwrap();
        assert_eq!(read("load.connections=16"), ("load.connections".into(), 16.into()));
        assert_eq!(read("load.chunk_size = 1 MiB").1, Value::from("1 MiB"));
        assert_eq!(read("load.promise=false").1, Value::from(false));
        assert_eq!(read("server.settings.A=x=y").1, Value::from("x=y"));
        assert!(pair("load.connections").is_err());
    }

    #[test]
    fn a_variant_is_put_over_the_run() {
        let run: Run = toml::from_str(
            "about = 'x'\nclient.kind = 'own'\n[server]\nkind = 'sluice'\nsettings = { A = '1' }",
        )
        .unwrap();
        let variant = Variant::parse("new: A=2 B=3 build/sluice --shard-port-base 9000").unwrap();
        let run = with(&run, &variant);
        assert_eq!(run.server.settings["A"], "2");
        assert_eq!(run.server.settings["B"], "3");
        assert_eq!(run.server.binary, Some("build/sluice".into()));
        assert_eq!(run.server.arguments, ["--shard-port-base", "9000"]);
    }
}
