//! Puts a load on a server, and counts what comes of it.

mod chance;
mod closed;
mod grpc;
mod idle;
mod links;
mod looped;
mod meter;
mod open;
mod order;
mod payload;
mod plan;
mod route;
mod run;
mod schedule;
mod sha256;
mod tcp;
#[cfg(test)]
mod tests;
mod ticker;
mod transitions;
mod tus;
mod upload;
mod wire;

use std::io;

use clap::ValueEnum;

use crate::job::{Job, Load, Offered};
use crate::outcome::Outcome;
use meter::Meter;
use plan::Plan;
use tcp::Dialect;
use wire::Speaker;

/// Who puts the load on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// This crate's own gRPC client, as cheap as it can be.
    Own,
    /// The client of tonic, as it comes.
    Tonic,
    /// For the sinks: lengths and bytes over plain TCP, by blocking threads.
    Tcp,
    /// For Redis: SETs over plain TCP, by blocking threads.
    RedisSet,
    /// For Redis: chunks recorded as the server does it.
    Transitions,
    /// For tus servers, over HTTP/1.1.
    Tus,
    /// No server: SHA-256 over memory.
    Sha256,
}

/// A moment of a run that others wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// Idle uploads are about to be opened.
    BeforeIdle,
    /// All idle uploads are open.
    Idle,
    /// The measured time begins.
    Begin,
    /// The measured time is over.
    End,
}

impl Mark {
    /// As it is told on standard output.
    pub const fn name(self) -> &'static str {
        match self {
            Self::BeforeIdle => "before-idle",
            Self::Idle => "idle",
            Self::Begin => "begin",
            Self::End => "end",
        }
    }
}

/// Puts the load on, tells of each moment when it comes, and tells what it came to. What keeps the
/// run from counting is told in the outcome, too.
pub fn run(kind: Kind, job: &Job, on: &mut dyn FnMut(Mark)) -> Outcome {
    let mut meter = match try_run(kind, job, on) {
        Ok(meter) => meter,
        Err(error) => {
            let mut meter = Meter::new();
            meter.failed(error.to_string());
            meter
        }
    };
    for note in notes(kind, &job.load) {
        meter.note(note);
    }
    meter.finish()
}

fn try_run(kind: Kind, job: &Job, on: &mut dyn FnMut(Mark)) -> io::Result<Meter> {
    let plans = check(&job.load).map_err(|why| io::Error::new(io::ErrorKind::InvalidInput, why))?;
    let frame_bytes = job.load.frame_size.map_or(FRAME_BYTES_MAX, |size| {
        usize::try_from(size.0).unwrap_or(FRAME_BYTES_MAX).min(FRAME_BYTES_MAX)
    });
    match kind {
        Kind::Own => grpc::run(job, &plans, Speaker::Own { frame_bytes }, on),
        Kind::Tonic => grpc::run(job, &plans, Speaker::Tonic, on),
        Kind::Tcp => tcp::run(job, &plans, Dialect::Sink, on),
        Kind::RedisSet => tcp::run(job, &plans, Dialect::RedisSet, on),
        Kind::Transitions => transitions::run(job, on),
        Kind::Tus => tus::run(job, &plans, on),
        Kind::Sha256 => sha256::run(job, &plans, on),
    }
}

/// The best of all that were measured; a server may take less.
const FRAME_BYTES_MAX: usize = 1 << 20;
/// A frame must have room for what stands before the payload.
const FRAME_BYTES_MIN: u64 = 1 << 10;
/// More than any machine has a use for; keeps a slip of the pen from filling the memory.
const COUNT_MAX: usize = 1 << 20;

/// What uploads there are.
fn check(load: &Load) -> Result<Vec<Plan>, String> {
    for (name, count, least) in [
        ("connections", load.connections, 1),
        ("uploads", load.uploads, 1),
        ("parallel", load.parallel, 1),
        ("idle_uploads", load.idle_uploads, 0),
    ] {
        if !(least..=COUNT_MAX).contains(&count) {
            return Err(format!("{name} is {count}: at least {least}, at most {COUNT_MAX}"));
        }
    }
    if load.duration.0.is_zero() {
        return Err("duration is 0: nothing would be measured".to_owned());
    }
    if load.frame_size.is_some_and(|size| size.0 < FRAME_BYTES_MIN) {
        return Err(format!("frame_size is below {FRAME_BYTES_MIN}"));
    }
    match &load.offered {
        Some(Offered::Bytes(rate)) if rate.0 == 0 => return Err("offered is 0".to_owned()),
        Some(Offered::Of { run, .. }) => {
            return Err(format!("offered is a share of {run}: whoever runs it must say how much"));
        }
        _ => {}
    }
    let one = [(load.upload_size, load.chunk_size)];
    let sizes: Vec<_> = match load.mix.as_slice() {
        [] => one.into(),
        mix => mix.iter().map(|share| (share.upload_size, share.chunk_size)).collect(),
    };
    if !load.mix.is_empty() && load.mix.iter().all(|share| share.weight == 0) {
        return Err("mix: no share has a weight".to_owned());
    }
    sizes.into_iter().map(|(upload, chunk)| Plan::new(upload.0, chunk.0)).collect()
}

/// Settings that a client of this kind doesn't have.
fn notes(kind: Kind, load: &Load) -> Vec<String> {
    let mut notes = Vec::new();
    let mut ignored = |names: &str| notes.push(format!("this client has no {names}"));
    match kind {
        Kind::Own => {}
        Kind::Tonic if load.frame_size.is_some() => ignored("frame_size"),
        Kind::Tonic => {}
        Kind::Tcp | Kind::RedisSet => {
            ignored("uploads, order, checksums, routes or acks of the contract")
        }
        Kind::Transitions => ignored("payload: what is counted are records of chunks"),
        Kind::Tus => notes = tus::notes(load),
        Kind::Sha256 => ignored("server; it tells what one pass of SHA-256 costs"),
    }
    notes
}

#[cfg(test)]
mod checks {
    use super::*;
    use crate::job::{Share, Size, Time};
    use std::time::Duration;

    fn job(load: Load) -> Job {
        Job { address: "127.0.0.1:1".into(), load, extra: Default::default() }
    }

    #[test]
    fn a_load_that_makes_no_sense_is_told_in_the_outcome() {
        let bad = [
            Load { connections: 0, ..Default::default() },
            Load { parallel: COUNT_MAX + 1, ..Default::default() },
            Load { chunk_size: Size(0), ..Default::default() },
            Load { duration: Time(Duration::ZERO), ..Default::default() },
            Load { upload_size: Size(1 << 40), chunk_size: Size(1), ..Default::default() },
            Load { offered: Some(Offered::Bytes(Size(0))), ..Default::default() },
            Load { frame_size: Some(Size(10)), ..Default::default() },
            Load {
                mix: vec![Share { upload_size: Size(1), chunk_size: Size(1), weight: 0 }],
                ..Default::default()
            },
        ];
        for load in bad {
            assert!(check(&load).is_err(), "{load:?}");
            let outcome = run(Kind::Own, &job(load), &mut |mark| panic!("{mark:?}"));
            assert!(outcome.failed.is_some());
        }
    }

    #[test]
    fn nobody_there_is_told_in_the_outcome() {
        for kind in [Kind::Own, Kind::Tonic, Kind::Tcp] {
            let outcome = run(kind, &job(Load::default()), &mut |mark| panic!("{mark:?}"));
            assert!(outcome.failed.unwrap().contains("127.0.0.1:1"), "{kind:?}");
        }
    }

    #[test]
    fn sha256_needs_no_server_and_is_verified() {
        let load = Load {
            chunk_size: Size(32 << 20),
            warm_up: Time(Duration::from_millis(1)),
            duration: Time(Duration::from_secs(600)),
            total_size: Some(Size(100 << 20)),
            ..Default::default()
        };
        let mut marks = Vec::new();
        let outcome = run(Kind::Sha256, &job(load), &mut |mark| marks.push(mark));
        assert_eq!(marks, [Mark::Begin, Mark::End]);
        assert_eq!((outcome.failed, outcome.bytes, outcome.chunks), (None, 128 << 20, 4));
        assert!(outcome.uploads >= 2 && outcome.checksums_verified == outcome.uploads);
    }
}
