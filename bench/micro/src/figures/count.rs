//! One scenario under callgrind.

use std::{
    path::Path,
    process::{Command, Output},
};

use super::FigureError;
use crate::Scenario;

/// Rounds of a shorter and a longer run. Their difference is what rounds alone cost: start-up and
/// making the input are in both, as are the first rounds, which grow what is kept.
const ROUNDS: [u64; 2] = [100, 200];

/// Does a scenario's rounds.
///
/// # Errors
/// When there is no such scenario.
pub fn run(name: &str, rounds: u64) -> Result<(), FigureError> {
    let scenario = crate::all().find(|scenario| scenario.name == name);
    let scenario = scenario.ok_or_else(|| FigureError::Unknown(name.to_owned()))?;
    let mut round = (scenario.begin)();
    (0..rounds).for_each(|_| round());
    Ok(())
}

/// Instructions of one round.
///
/// # Errors
/// When valgrind or the scenario fails.
pub fn count(scenario: &Scenario) -> Result<u64, FigureError> {
    let [fewer, more] = ROUNDS;
    let counted = counted(scenario.name, more)?.saturating_sub(counted(scenario.name, fewer)?);
    Ok(counted / (more - fewer))
}

fn counted(name: &str, rounds: u64) -> Result<u64, FigureError> {
    let options = ["--tool=callgrind", "--callgrind-out-file=/dev/null"];
    let rounds = rounds.to_string();
    let output = this_program_under_valgrind(&options, &["run", name, &rounds])?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    collected(&stderr).ok_or_else(|| FigureError::NoSum { stderr: stderr.trim().to_owned() })
}

pub(super) fn this_program_under_valgrind(
    options: &[&str],
    arguments: &[&str],
) -> Result<Output, FigureError> {
    let this = std::env::current_exe()
        .map_err(|source| FigureError::Spawn { program: "this program".to_owned(), source })?;
    output("valgrind", options.iter().map(Path::new).chain([&*this]), arguments)
}

/// Runs a program to its end in an environment that is the same everywhere: where the stack lies,
/// and how long a start takes, depends on it.
pub(super) fn output<'a>(
    program: &str,
    first: impl IntoIterator<Item = &'a Path>,
    arguments: &[&str],
) -> Result<Output, FigureError> {
    let kept = ["PATH", "HOME", "RUSTUP_HOME", "CARGO_HOME", "RUSTUP_TOOLCHAIN"];
    let environment = kept.into_iter().filter_map(|name| Some((name, std::env::var_os(name)?)));
    let output = Command::new(program)
        .args(first)
        .args(arguments)
        .env_clear()
        .envs(environment)
        .output()
        .map_err(|source| FigureError::Spawn { program: program.to_owned(), source })?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(FigureError::Failed { program: program.to_owned(), stderr });
    }
    Ok(output)
}

/// The sum in callgrind's last words: `==42== Collected : 123`.
fn collected(stderr: &str) -> Option<u64> {
    let (_, sum) = stderr.rsplit_once("Collected : ")?;
    sum.lines().next()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callgrinds_last_words_are_understood() {
        let said = "==42== Events    : Ir\n==42== Collected : 7247606\n==42== \n";
        assert_eq!(collected(said), Some(7_247_606));
        assert_eq!(collected("==42== valgrind: Unrecognised instruction\n"), None);
    }

    #[test]
    fn a_scenario_that_is_none_is_named() {
        assert!(run("budget", 1).is_ok());
        assert_eq!(run("bugdet", 1).unwrap_err().to_string(), "there is no scenario bugdet");
    }
}
