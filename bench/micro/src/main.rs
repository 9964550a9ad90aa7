//! `sluice-micro`: the instructions of every scenario, held against those that were stored.
//! `scripts/instructions` runs it.

use std::{path::PathBuf, process::ExitCode};

use sluice_micro::figures::{self, FigureError, Figures, Verdict};

const USAGE: &str =
    "usage: sluice-micro check FILE | store FILE | run SCENARIO ROUNDS | cpu | list";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments[..] {
        ["check", path] => check(path.into()),
        ["store", path] => store(path.into()),
        ["run", name, rounds] => match rounds.parse() {
            Ok(rounds) => figures::run(name, rounds).map(|()| true),
            Err(_) => return usage(),
        },
        ["cpu"] => {
            println!("{}", figures::cpu_features());
            Ok(true)
        }
        ["list"] => {
            sluice_micro::all().for_each(|one| println!("{:<16} {}", one.name, one.round));
            Ok(true)
        }
        _ => return usage(),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("sluice-micro: {error}");
            ExitCode::from(2)
        }
    }
}

fn usage() -> ExitCode {
    eprintln!("{USAGE}");
    ExitCode::from(2)
}

fn store(path: PathBuf) -> Result<bool, FigureError> {
    let figures = Figures::taken()?;
    print!("{}", figures::table(&figures::compare(&figures.instructions, &stored_or_none(&path))));
    println!("instructions: stored in {}", path.display());
    figures.store(path).map(|()| true)
}

/// What a store replaces, if it can be read at all.
fn stored_or_none(path: &std::path::Path) -> std::collections::BTreeMap<String, u64> {
    Figures::load(path.to_owned()).map(|figures| figures.instructions).unwrap_or_default()
}

/// Whether all is as stored, or can't be told.
fn check(path: PathBuf) -> Result<bool, FigureError> {
    let stored = Figures::load(path)?;
    let counted = Figures::taken()?;
    let lines = figures::compare(&counted.instructions, &stored.instructions);
    print!("{}", figures::table(&lines));
    let same = lines.iter().all(|line| line.verdict() == Verdict::Same);
    let differences = counted.machine.differences(&stored.machine);
    if !differences.is_empty() {
        differences.iter().for_each(|difference| println!("instructions: {difference}"));
        println!("instructions: NOT CHECKED, as these counts can't be compared. Where the code is");
        println!("known to be good, store them anew: scripts/instructions --store");
        return Ok(true);
    }
    if !same {
        println!(
            "instructions: more than 2 % from what is stored. If that is on purpose, or a gain,"
        );
        println!("store it and say why in the commit: scripts/instructions --store");
    }
    Ok(same)
}
