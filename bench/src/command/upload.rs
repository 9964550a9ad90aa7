//! `sluice-bench upload`.

use std::time::Duration;

use clap::Args;
use sluice_proto::units;
use tokio::runtime::Builder;

use crate::command::{Exit, show};
use crate::load::{Amount, Links, Load, UploadError};
use crate::payload::Payload;
use crate::plan::Plan;
use crate::process::{self, Watch};
use crate::report::{self, Cpus, Report, Setup};

#[derive(Debug, Args)]
pub struct Arguments {
    /// The server's gRPC address.
    #[arg(long, value_name = "ADDRESS", env = "SLUICE_SERVER", default_value = "127.0.0.1:7070")]
    server: String,
    #[command(flatten)]
    load: LoadFlags,
    /// The server's process, if it runs here: its CPU time and memory are told too.
    #[arg(long, value_name = "PID")]
    server_pid: Option<u32>,
    /// Prints the report as one line of JSON.
    #[arg(long)]
    json: bool,
}

/// The load itself.
#[derive(Debug, Clone, Args)]
pub struct LoadFlags {
    /// Uploads at a time.
    #[arg(long, value_name = "COUNT", default_value_t = 4, value_parser = count())]
    uploads: u32,
    /// Size of each upload.
    #[arg(long, value_name = "SIZE", default_value = "64 MiB", value_parser = size)]
    upload_size: u64,
    /// Size of a chunk; the last of an upload may be smaller.
    #[arg(long, value_name = "SIZE", default_value = "8 MiB", value_parser = size)]
    chunk_size: u64,
    /// Chunks of one upload in flight.
    #[arg(long, value_name = "COUNT", default_value_t = 4, value_parser = count())]
    parallel: u32,
    /// Connections to the server, and to each owner that it names.
    #[arg(long, value_name = "COUNT", default_value_t = 2, value_parser = count())]
    connections: u32,
    /// Uploads one after the other, at each of those places.
    #[arg(long, value_name = "COUNT", default_value_t = 8, value_parser = count())]
    rounds: u32,
    /// Time in which new uploads begin, instead of a number of rounds.
    #[arg(long, value_name = "TIME", conflicts_with = "rounds", value_parser = duration)]
    duration: Option<Duration>,
    /// Rounds before, which aren't measured.
    #[arg(long, value_name = "COUNT", default_value_t = 1)]
    warm_up: u32,
    /// Sends every chunk to --server, instead of the address that its owner tells.
    #[arg(long)]
    no_endpoints: bool,
}

fn count() -> clap::builder::RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(1..=65_536)
}

fn size(text: &str) -> Result<u64, &'static str> {
    let bytes = units::parse_size(text).filter(|&bytes| bytes > 0);
    bytes.ok_or("not a size such as 8 MiB or 100 MB")
}

fn duration(text: &str) -> Result<Duration, &'static str> {
    let time = units::parse_duration(text).filter(|time| !time.is_zero());
    time.ok_or("not a duration such as 10 s or 2 min")
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Nothing was tried.
    #[error("{0}")]
    Usage(String),
    /// The server can't be started or watched, or no thread can be made.
    #[error("{0}")]
    Process(#[from] std::io::Error),
    /// An upload didn't come out: the run doesn't count.
    #[error(transparent)]
    Upload(#[from] UploadError),
}

impl RunError {
    /// Tells it to whoever runs the command.
    pub fn tell(&self) -> Exit {
        eprintln!("sluice-bench: {self}");
        match self {
            Self::Usage(_) => Exit::Usage,
            Self::Process(_) => Exit::Failed,
            Self::Upload(error) => Exit::of(error),
        }
    }
}

pub fn run(arguments: &Arguments) -> Exit {
    match measure(&arguments.server, &arguments.load, arguments.server_pid) {
        Ok(report) => {
            show(arguments.json, &report, || report::text(&report));
            Exit::Done
        }
        Err(error) => error.tell(),
    }
}

/// Puts the load on `server` and measures it.
///
/// # Errors
/// When there is nothing to tell.
pub fn measure(
    server: &str,
    flags: &LoadFlags,
    server_pid: Option<u32>,
) -> Result<Report, RunError> {
    let plan = Plan::new(flags.upload_size, flags.chunk_size).map_err(RunError::Usage)?;
    let payload = Payload::generate(plan);
    let runtime = Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let connections = flags.connections as usize;
        let links = Links::new(server, connections, !flags.no_endpoints)
            .map_err(|error| RunError::Usage(format!("--server {server}: {error}")))?;
        let load = Load::new(links, payload, flags.uploads as usize, flags.parallel as usize);
        load.run(Amount::Rounds(flags.warm_up.into())).await?;
        let watch = server_pid.map(Watch::start).transpose()?;
        let before = process::cpu("self")?;
        let amount = flags.duration.map_or(Amount::Rounds(flags.rounds.into()), Amount::Duration);
        let outcome = load.run(amount).await?;
        let client = process::cpu("self")?.since(&before);
        let server_took = watch.map(Watch::finish).transpose()?;
        Ok(Report::new(setup(server, flags, plan), &outcome, cpus(), client, server_took))
    })
}

fn setup(server: &str, flags: &LoadFlags, plan: Plan) -> Setup {
    Setup {
        r#loop: "closed",
        server: server.to_owned(),
        uploads: flags.uploads as usize,
        upload_bytes: plan.upload_bytes,
        chunk_bytes: plan.chunk_bytes,
        parallel: flags.parallel as usize,
        connections: flags.connections as usize,
        follow_owners: !flags.no_endpoints,
    }
}

fn cpus() -> Cpus {
    // SAFETY: takes a constant and touches no memory.
    let online = unsafe { libc::sysconf(libc::_SC_NPROCESSORS_ONLN) };
    let client = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    Cpus { online: usize::try_from(online).unwrap_or(client), client }
}
