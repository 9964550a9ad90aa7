//! `sluice abort`: gives an upload up.

use clap::Args;

use crate::command::{Connection, Exit, output};

#[derive(Debug, Args)]
pub struct Arguments {
    /// The upload.
    #[arg(value_name = "ID")]
    upload_id: String,
}

pub fn run(arguments: &Arguments, connection: &Connection) -> Exit {
    connection.call(async |client| {
        client.abort(&arguments.upload_id, "sluice abort").await?;
        output::line(format_args!("aborted {}", arguments.upload_id));
        Ok(Exit::Done)
    })
}
