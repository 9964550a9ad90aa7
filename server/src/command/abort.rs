//! `sluice abort`: gives an upload up.

use clap::Args;

use crate::command::connection::runtime;
use crate::command::{Connection, Exit, output};

#[derive(Debug, Args)]
pub struct Arguments {
    /// The upload.
    #[arg(value_name = "ID")]
    upload_id: String,
}

pub fn run(arguments: &Arguments, connection: &Connection) -> Exit {
    let aborted = runtime().map(|runtime| {
        runtime.block_on(async {
            connection.open().await?.abort(&arguments.upload_id, "sluice abort").await
        })
    });
    match aborted {
        Ok(Ok(_)) => {
            output::line(format_args!("aborted {}", arguments.upload_id));
            Exit::Done
        }
        Ok(Err(error)) => {
            eprintln!("sluice: {error}");
            Exit::of(&error, false)
        }
        Err(error) => {
            eprintln!("sluice: {error}");
            Exit::Failed
        }
    }
}
