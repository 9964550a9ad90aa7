//! A run against a server that speaks the contract.

use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::runtime::Builder;
use tokio::task::{JoinSet, LocalSet};

use crate::clock::now;
use crate::job::{Job, Load, Offered};
use crate::load::links::Links;
use crate::load::meter::Meter;
use crate::load::open::{Open, Window};
use crate::load::payload::Payload;
use crate::load::plan::Plan;
use crate::load::run::Run;
use crate::load::upload::UploadError;
use crate::load::wire::Speaker;
use crate::load::{Mark, closed, idle, route};

/// What is under way when the measured time is over has so long to come to its end.
const DRAIN_LIMIT: Duration = Duration::from_secs(if cfg!(test) { 10 } else { 120 });

/// Puts the load on. One thread does it all: threads would only take turns on the client's CPU.
///
/// # Errors
/// When there is nothing to send, or no runtime.
pub fn run(
    job: &Job,
    plans: &[Plan],
    speaker: Speaker,
    on: &mut dyn FnMut(Mark),
) -> io::Result<Meter> {
    let payloads = Payload::make(plans, &job.load.fill)?;
    let links = Links::new(speaker, job.load.connections);
    let mut run = Run::new(job.address.clone(), job.load.clone(), links, payloads);
    let shards = job.extra.get("shards").and_then(|count| count.parse().ok()).unwrap_or(1);
    let runtime = Builder::new_current_thread().enable_all().build()?;
    // What is still under way when it is given up goes with the set.
    let meter = LocalSet::new().block_on(&runtime, async {
        match connect(&run, shards).await {
            Ok(owners) => run.owners = owners,
            Err(error) => {
                run.fail(error);
                return run.take_meter();
            }
        }
        let run = Rc::new(run);
        if let Err(error) = put_on(&run, on).await {
            run.fail(error);
        }
        run.take_meter()
    });
    Ok(meter)
}

/// Connections cost a server memory, so they are made before anyone looks at that. Gives the owners
/// that uploads are opened at.
async fn connect(run: &Run, shards: usize) -> Result<Vec<String>, UploadError> {
    run.links.to(&run.address).await?;
    let owners = route::find_owners(run, shards).await?;
    for owner in &owners {
        run.links.to(owner).await?;
    }
    Ok(owners)
}

async fn put_on(run: &Rc<Run>, on: &mut dyn FnMut(Mark)) -> Result<(), UploadError> {
    idle::open(run, on).await?;
    let mut work = JoinSet::new();
    let window = match &run.load.offered {
        Some(Offered::Bytes(rate)) => {
            let open = Open::prepare(run.clone(), rate.0).await?;
            let window = window(&run.load);
            work.spawn_local(open.offer(window));
            window
        }
        _ => {
            let window = window(&run.load);
            for line in 0..run.load.uploads as u64 {
                work.spawn_local(closed::line(run.clone(), line));
            }
            window
        }
    };
    measure(run, window, on).await;
    drain(run, work).await;
    Ok(())
}

fn window(load: &Load) -> Window {
    let begin = now() + load.warm_up.0;
    Window { begin, end: begin + load.duration.0 }
}

/// Tells when the window opens and closes. A run that fails before is told at once.
async fn measure(run: &Run, window: Window, on: &mut dyn FnMut(Mark)) {
    if enough_before(run, window.begin).await {
        return;
    }
    run.begin(now());
    on(Mark::Begin);
    enough_before(run, window.end).await;
    run.end(now());
    on(Mark::End);
}

async fn enough_before(run: &Run, instant: Instant) -> bool {
    tokio::time::timeout_at(instant.into(), run.enough.notified()).await.is_ok()
}

async fn drain(run: &Run, mut work: JoinSet<()>) {
    let all = async { while !run.has_failed() && work.join_next().await.is_some() {} };
    if tokio::time::timeout(DRAIN_LIMIT, all).await.is_err() {
        run.give_up(DRAIN_LIMIT);
    }
}
