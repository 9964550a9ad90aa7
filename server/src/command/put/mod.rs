//! `sluice put`: uploads files, and goes on where an earlier try stopped.

mod folder;
mod identity;
mod one;
mod outcome;
mod progress;
mod walk;

use std::fs;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::time::Duration;

use clap::{Args, ValueEnum};
use futures_util::future::{Either, select};
use sluice_proto::client::{Client, Pace, Progress};
use sluice_proto::units::{format_size, parse_size};

use self::one::{Failure, Job, One};
use self::progress::Display;
use crate::command::{Connection, Exit, connection, output};

/// Cleaning up must not keep a user waiting who wants to leave.
const ABORT_WAIT: Duration = Duration::from_secs(2);
const STDIN_NAME: &str = "stdin";
/// Chunks held at most, of all files: no more than this are of use, and they cost memory.
const CHUNKS_AT_ONCE: usize = 16;

#[derive(Debug, Args)]
pub struct Arguments {
    /// Files to upload, and folders with all files below them; - is the standard input.
    #[arg(required = true, value_name = "FILE|DIR|-")]
    paths: Vec<PathBuf>,
    /// Drive to put them on.
    #[arg(long, default_value = "default")]
    drive: String,
    /// Media type.
    #[arg(long = "type", value_name = "MIME", default_value = "")]
    mime_type: String,
    /// A pair to keep with each file; can be given several times.
    #[arg(long = "meta", value_name = "KEY=VALUE", value_parser = pair)]
    metadata: Vec<(String, String)>,
    /// Size of a chunk, such as 16M [default: 8 MiB, more for huge files].
    #[arg(long, value_name = "SIZE", value_parser = some_size)]
    chunk_size: Option<u64>,
    /// Chunks in flight, of all files together [default: what the server recommends].
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u16).range(1..=1024))]
    parallel: Option<u16>,
    /// Bytes a second at most, such as 50M [default: no limit].
    #[arg(long, value_name = "SIZE", value_parser = some_size)]
    limit: Option<u64>,
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
    for path in &arguments.paths {
        if let Err(problem) = can_be_put(path) {
            output::problem(format_args!("{}: {problem}", path.display()));
            return Exit::Usage;
        }
    }
    connection::run(put_all(arguments, connection))
}

async fn put_all(arguments: &Arguments, connection: &Connection) -> Exit {
    let client = match connection.open().await {
        Ok(client) => client,
        Err(error) => {
            output::problem(outcome::describe(&error));
            return Exit::of(&error, !arguments.no_resume);
        }
    };
    let chunks_max = arguments.parallel.map_or(CHUNKS_AT_ONCE, usize::from);
    let job = Job { arguments, client, pace: Pace::new(arguments.limit, chunks_max) };
    let mut exit = Exit::Done;
    for path in &arguments.paths {
        let ended = match path.is_dir() && !is_stdin(path) {
            true => folder::put(&job, path).await,
            false => put(&job, path).await,
        };
        match ended {
            Ended::Told(told) => exit = exit.worst(told),
            Ended::Stopped(told) => return exit.worst(told),
        }
    }
    exit
}

/// How a file or folder ended: by itself, or so that the others are not tried.
enum Ended {
    Told(Exit),
    Stopped(Exit),
}

async fn put(job: &Job<'_>, path: &Path) -> Ended {
    let shown = path.display().to_string();
    let one = match open(job, path) {
        Ok(one) => one,
        Err(error) => return Ended::Told(failed(job, &shown, &Failure::Unreadable(error))),
    };
    let (name, resumes) = (one.name().to_owned(), one.resumes());
    let mut last = Progress::default();
    let mut display = Display::new(&name, one.size_bytes(), job.arguments.quiet);
    let uploaded = {
        let upload = one.upload(job, |progress| {
            display.show(progress);
            last.clone_from(progress);
        });
        unless_interrupted(upload).await
    };
    display.end();
    match uploaded {
        Some(Ok(stored)) => {
            outcome::tell_stored(job.arguments, &shown, &name, &stored);
            Ended::Told(Exit::Done)
        }
        Some(Err(error)) => Ended::Told(failed(job, &shown, &Failure::upload(error, resumes))),
        None => Ended::Stopped(stopped(&job.client, &last, resumes).await),
    }
}

fn open(job: &Job<'_>, path: &Path) -> std::io::Result<One> {
    if is_stdin(path) {
        return Ok(One::stdin(job, STDIN_NAME));
    }
    let name = path.file_name().unwrap_or(path.as_os_str());
    let name = name.to_str().ok_or_else(|| std::io::Error::other("its name is not UTF-8"))?;
    One::file(job, path, name.to_owned())
}

fn failed(job: &Job<'_>, shown: &str, failure: &Failure) -> Exit {
    outcome::tell_failed(job.arguments, shown, failure);
    if failure.exit() == Exit::Resumable {
        output::note("the same command goes on from there");
    }
    failure.exit()
}

async fn stopped(client: &Client, last: &Progress, resumes: bool) -> Exit {
    if resumes {
        let acked = format_size(last.acked_bytes);
        output::note(format_args!("paused at {acked}; the same command goes on from there"));
        return Exit::Resumable;
    }
    output::note("stopped");
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

fn can_be_put(path: &Path) -> Result<(), String> {
    if is_stdin(path) {
        return Ok(());
    }
    match fs::metadata(path) {
        Ok(found) if !found.is_file() && !found.is_dir() => {
            Err("is no plain file; pipe it in and name -".into())
        }
        Ok(_) => Ok(()),
        Err(error) => Err(error.to_string()),
    }
}

fn is_stdin(path: &Path) -> bool {
    path == Path::new("-")
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("needed is KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}

fn some_size(text: &str) -> Result<u64, &'static str> {
    parse_size(text).filter(|&bytes| bytes > 0).ok_or("needed is a size such as 16M")
}
