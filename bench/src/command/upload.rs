//! `sluice-bench upload`.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use clap::Args;
use sluice_proto::units;

use crate::command::{Exit, show};
use crate::job::{Job, Load, Route, Size, Time};
use crate::load::{self, Kind, Mark};
use crate::process::{self, Cpu, Memory, Watch};
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
    /// How long is measured.
    #[arg(long, value_name = "TIME", default_value = "3 s", value_parser = duration)]
    duration: Duration,
    /// Ends the measured time when so much is acked, if that is earlier.
    #[arg(long, value_name = "SIZE", value_parser = size)]
    total: Option<u64>,
    /// Load before, which isn't measured.
    #[arg(long, value_name = "TIME", default_value = "500 ms", value_parser = duration)]
    warm_up: Duration,
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
    /// The server can't be started or watched, or no thread can be made.
    #[error("{0}")]
    Process(#[from] io::Error),
    /// Something didn't come out: the run doesn't count.
    #[error("the run doesn't count: {0}")]
    Failed(String),
}

impl RunError {
    /// Tells it to whoever runs the command.
    pub fn tell(&self) -> Exit {
        eprintln!("sluice-bench: {self}");
        Exit::Failed
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
    let job = Job { address: server.to_owned(), load: flags.load(), extra: BTreeMap::new() };
    let mut measured = Measured { server_pid, ..Default::default() };
    let mut looked = Ok(());
    let outcome = load::run(Kind::Own, &job, &mut |mark| {
        if looked.is_ok() {
            looked = measured.look(mark);
        }
    });
    if let Some(why) = outcome.failed {
        return Err(RunError::Failed(why));
    }
    looked?;
    Ok(Report::new(setup(server, flags), &outcome, cpus(), measured.client, measured.server))
}

/// What both sides took in the measured time.
#[derive(Default)]
struct Measured {
    server_pid: Option<u32>,
    at_begin: Cpu,
    watch: Option<Watch>,
    client: Cpu,
    server: Option<(Cpu, Memory)>,
}

impl Measured {
    fn look(&mut self, mark: Mark) -> io::Result<()> {
        match mark {
            Mark::Begin => {
                self.watch = self.server_pid.map(Watch::start).transpose()?;
                self.at_begin = process::cpu("self")?;
            }
            Mark::End => {
                self.client = process::cpu("self")?.since(&self.at_begin);
                self.server = self.watch.take().map(Watch::finish).transpose()?;
            }
            Mark::BeforeIdle | Mark::Idle => {}
        }
        Ok(())
    }
}

impl LoadFlags {
    fn load(&self) -> Load {
        Load {
            connections: self.connections as usize,
            uploads: self.uploads as usize,
            upload_size: Size(self.upload_size),
            chunk_size: Size(self.chunk_size),
            parallel: self.parallel as usize,
            route: if self.no_endpoints { Route::Shared } else { Route::Owner },
            warm_up: Time(self.warm_up),
            duration: Time(self.duration),
            total_size: self.total.map(Size),
            ..Default::default()
        }
    }
}

fn setup(server: &str, flags: &LoadFlags) -> Setup {
    Setup {
        r#loop: "closed",
        server: server.to_owned(),
        uploads: flags.uploads as usize,
        upload_bytes: flags.upload_size,
        chunk_bytes: flags.chunk_size,
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
