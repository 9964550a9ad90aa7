//! `sluice-bench report`.

use std::fs;
use std::path::PathBuf;

use clap::Args;

use crate::command::{Exit, show};
use crate::report;
use crate::result::SuiteResult;

#[derive(Debug, Args)]
pub struct Arguments {
    /// What a suite wrote: its result.json.
    #[arg(value_name = "RESULT.json")]
    result: PathBuf,
    /// Where the page goes; without it the result is told as text.
    #[arg(long, value_name = "FILE.html")]
    out: Option<PathBuf>,
}

pub fn run(arguments: &Arguments) -> Exit {
    let file = arguments.result.display();
    let result = match read(arguments) {
        Ok(result) => result,
        Err(why) => {
            eprintln!("sluice-bench: {file}: {why}");
            return Exit::Usage;
        }
    };
    let Some(out) = &arguments.out else {
        show(false, &result, || report::suite_text(&result));
        return Exit::Done;
    };
    match fs::write(out, report::html(&result)) {
        Ok(()) => Exit::Done,
        Err(error) => {
            eprintln!("sluice-bench: {}: {error}", out.display());
            Exit::Failed
        }
    }
}

fn read(arguments: &Arguments) -> Result<SuiteResult, String> {
    let text = fs::read_to_string(&arguments.result).map_err(|error| error.to_string())?;
    serde_json::from_str(&text).map_err(|error| format!("it is no result: {error}"))
}
