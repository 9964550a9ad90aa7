//! `sluice put`: uploads files, and goes on where an earlier try stopped.

mod identity;
mod outcome;
mod progress;

use std::collections::HashMap;
use std::fs;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use futures_util::future::{Either, select};
use sluice_proto::client::{Client, ClientError, Progress, Source, UploadOptions};
use sluice_proto::pb::AckLevel;

use self::progress::Display;
use crate::command::connection::runtime;
use crate::command::{Connection, Exit, output};
use sluice_proto::units::{format_size, parse_size};

/// Cleaning up must not keep a user waiting who wants to leave.
const ABORT_WAIT: Duration = Duration::from_secs(2);
const STDIN_NAME: &str = "stdin";

#[derive(Debug, Args)]
pub struct Arguments {
    /// Files to upload; - is the standard input.
    #[arg(required = true, value_name = "FILE|-")]
    files: Vec<PathBuf>,
    /// Drive to put them on.
    #[arg(long, default_value = "default")]
    drive: String,
    /// Media type.
    #[arg(long = "type", value_name = "MIME", default_value = "")]
    mime_type: String,
    /// A pair to keep with each file; can be given several times.
    #[arg(long = "meta", value_name = "KEY=VALUE", value_parser = pair)]
    metadata: Vec<(String, String)>,
    /// Size of a chunk, such as 16M [default: 8 MiB].
    #[arg(long, value_name = "SIZE", value_parser = chunk_size)]
    chunk_size: Option<u64>,
    /// Chunks in flight [default: what the server recommends].
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u16).range(1..=1024))]
    parallel: Option<u16>,
    /// What an acknowledged chunk must survive [default: the most that the server gives].
    #[arg(long, value_enum)]
    ack: Option<Ack>,
    /// Refuse if the drive has a file of this name.
    #[arg(long)]
    if_not_exists: bool,
    /// Start a new upload, even if an earlier one could go on.
    #[arg(long)]
    no_resume: bool,
    /// Prints the result as one line of JSON a file.
    #[arg(long)]
    json: bool,
    /// Shows no progress.
    #[arg(short, long)]
    quiet: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Ack {
    /// In the server's memory.
    Received,
    /// The end of the server's process.
    Spooled,
}

pub fn run(arguments: &Arguments, connection: &Connection) -> Exit {
    for file in &arguments.files {
        if let Err(problem) = can_be_put(file) {
            eprintln!("sluice: {}: {problem}", file.display());
            return Exit::Usage;
        }
    }
    match runtime() {
        Ok(runtime) => {
            let exit = runtime.block_on(put_all(arguments, connection));
            // A read of the standard input that nobody waits for would hold up the end.
            runtime.shutdown_background();
            exit
        }
        Err(error) => {
            eprintln!("sluice: {error}");
            Exit::Failed
        }
    }
}

async fn put_all(arguments: &Arguments, connection: &Connection) -> Exit {
    let client = match connection.open().await {
        Ok(client) => client,
        Err(error) => {
            eprintln!("sluice: {}", outcome::describe(&error));
            return Exit::of(&error, !arguments.no_resume);
        }
    };
    let mut exit = Exit::Done;
    for file in &arguments.files {
        match put(&client, arguments, file).await {
            Ended::Told(told) => exit = exit.worst(told),
            Ended::Stopped(told) => return exit.worst(told),
        }
    }
    exit
}

/// How one file ended: by itself, or because the user wants to leave.
enum Ended {
    Told(Exit),
    Stopped(Exit),
}

async fn put(client: &Client, arguments: &Arguments, file: &Path) -> Ended {
    let (source, options) = match prepare(arguments, file) {
        Ok(prepared) => prepared,
        Err(error) => {
            eprintln!("sluice: {}: {error}", file.display());
            return Ended::Told(Exit::Failed);
        }
    };
    let (name, resumes) = (options.filename.clone(), options.request_id.is_some());
    let mut last = Progress::default();
    let mut display = Display::new(&name, size_of(&source), arguments.quiet);
    let started = now();
    let uploaded = {
        let upload = client.upload(source, options, |progress| {
            display.show(progress);
            last.clone_from(progress);
        });
        unless_interrupted(upload).await
    };
    display.end();
    let seconds = (now() - started).as_secs_f64();
    let shown = file.display().to_string();
    match uploaded {
        Some(Ok(report)) => {
            let drive = &arguments.drive;
            match arguments.json {
                true => output::line(outcome::stored_json(drive, &shown, &report, seconds)),
                false => output::line(outcome::stored_text(drive, &name, &report, seconds)),
            }
            Ended::Told(Exit::Done)
        }
        Some(Err(error)) => Ended::Told(failed(arguments, &shown, &error, resumes)),
        None => Ended::Stopped(stopped(client, &last, resumes).await),
    }
}

fn failed(arguments: &Arguments, file: &str, error: &ClientError, resumes: bool) -> Exit {
    let exit = Exit::of(error, resumes);
    if arguments.json {
        output::line(outcome::failed_json(file, error, exit));
    }
    eprintln!("sluice: {file}: {}", outcome::describe(error));
    if exit == Exit::Resumable {
        eprintln!("the same command goes on from there");
    }
    exit
}

async fn stopped(client: &Client, last: &Progress, resumes: bool) -> Exit {
    if resumes {
        let acked = format_size(last.acked_bytes);
        eprintln!("paused at {acked}; the same command goes on from there");
        return Exit::Resumable;
    }
    eprintln!("stopped");
    if !last.upload_id.is_empty() {
        let abort = client.abort(&last.upload_id, "interrupted, and can't be resumed");
        // What is left behind expires.
        let _ = tokio::time::timeout(ABORT_WAIT, abort).await;
    }
    Exit::Failed
}

/// `None` when the user wanted to leave first.
async fn unless_interrupted<T>(work: impl Future<Output = T>) -> Option<T> {
    let interrupted = async {
        if tokio::signal::ctrl_c().await.is_err() {
            // Without the signal the default of the system ends us.
            std::future::pending::<()>().await;
        }
    };
    match select(pin!(work), pin!(interrupted)).await {
        Either::Left((done, _)) => Some(done),
        Either::Right(_) => None,
    }
}

fn prepare(arguments: &Arguments, file: &Path) -> std::io::Result<(Source, UploadOptions)> {
    let stream = is_stdin(file);
    let name = match file.file_name() {
        Some(name) if !stream => name.to_string_lossy().into_owned(),
        _ => STDIN_NAME.to_owned(),
    };
    let mut options = UploadOptions {
        drive_id: arguments.drive.clone(),
        filename: name,
        mime_type: arguments.mime_type.clone(),
        metadata: arguments.metadata.iter().cloned().collect::<HashMap<_, _>>(),
        if_not_exists: arguments.if_not_exists,
        ack_level: match arguments.ack {
            None => AckLevel::Unspecified,
            Some(Ack::Received) => AckLevel::Received,
            Some(Ack::Spooled) => AckLevel::Spooled,
        },
        chunk_bytes: arguments.chunk_size,
        parallel: arguments.parallel.map(usize::from),
        ..UploadOptions::default()
    };
    if stream {
        return Ok((Source::stream(tokio::io::stdin()), options));
    }
    if !arguments.no_resume {
        options.request_id = Some(identity::request_id(file, &options)?);
    }
    Ok((Source::open(file)?, options))
}

fn can_be_put(file: &Path) -> Result<(), String> {
    if is_stdin(file) {
        return Ok(());
    }
    match fs::metadata(file) {
        Ok(found) if found.is_dir() => Err("is a folder; name the files in it".into()),
        Ok(found) if !found.is_file() => Err("is no plain file; pipe it in and name -".into()),
        Ok(_) => Ok(()),
        Err(error) => Err(error.to_string()),
    }
}

fn is_stdin(file: &Path) -> bool {
    file == Path::new("-")
}

fn size_of(source: &Source) -> Option<u64> {
    match source {
        Source::File { size_bytes, .. } => Some(*size_bytes),
        Source::Stream(_) => None,
    }
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("needed is KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}

fn chunk_size(text: &str) -> Result<u64, &'static str> {
    parse_size(text).filter(|&bytes| bytes > 0).ok_or("needed is a size such as 16M")
}

#[expect(clippy::disallowed_methods, reason = "a person is told how long it took")]
fn now() -> Instant {
    Instant::now()
}
