//! `sluice-bench load`.

use std::io::{self, Write as _};

use clap::Args;

use crate::command::Exit;
use crate::job::Job;
use crate::load::{self, Kind};

#[derive(Debug, Args)]
pub struct Arguments {
    /// Who puts the load on.
    #[arg(value_enum)]
    kind: Kind,
}

pub fn run(arguments: &Arguments) -> Exit {
    let job: Job = match serde_json::from_reader(io::stdin().lock()) {
        Ok(job) => job,
        Err(error) => {
            eprintln!("sluice-bench: standard input is no job: {error}");
            return Exit::Usage;
        }
    };
    let outcome = load::run(arguments.kind, &job, &mut |mark| say(mark.name()));
    if let Some(why) = &outcome.failed {
        eprintln!("sluice-bench: the run doesn't count: {why}");
    }
    say(&serde_json::to_string(&outcome).expect("an outcome is plain data"));
    Exit::Done
}

/// Whoever waits for a line must have it at once. One who doesn't wait any more wants none.
fn say(line: &str) {
    let mut stdout = io::stdout().lock();
    let _ = writeln!(stdout, "{line}").and_then(|()| stdout.flush());
}
