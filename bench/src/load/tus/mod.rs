//! The client of tus servers (<https://tus.io>, 1.0): an upload is created by POST, its chunks are
//! PATCHes in order, and HEAD says what arrived.
//!
//! Files that the server stored are summed when all is over, if it stores where we can read.

mod connection;
mod stored;

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::runtime::Builder;
use tokio::sync::Notify;
use tokio::task::{JoinSet, LocalSet};

use crate::clock::now;
use crate::job::{Job, Load, Order};
use crate::load::Mark;
use crate::load::meter::{Ack, Meter};
use crate::load::payload::{Payload, share_of};
use crate::load::plan::Plan;
use connection::{Connection, TusError};
use stored::Stored;

/// What is under way when the measured time is over has so long to come to its end.
const DRAIN_LIMIT: Duration = Duration::from_secs(30);

/// Puts the load on, by one thread.
///
/// # Errors
/// When the load has what this client hasn't, or there is no runtime.
pub fn run(job: &Job, plans: &[Plan], on: &mut dyn FnMut(Mark)) -> io::Result<Meter> {
    if job.load.offered.is_some() || job.load.idle_uploads > 0 {
        return Err(io::Error::other("the tus client has no open loop and no idle uploads"));
    }
    let run = Rc::new(Run {
        url: job.address.clone(),
        load: job.load.clone(),
        payloads: Payload::make(plans, &job.load.fill)?,
        meter: RefCell::new(Meter::new()),
        begun: Cell::new(0),
        is_over: Cell::new(false),
        enough: Notify::new(),
        stored: RefCell::default(),
    });
    let runtime = Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, put_on(&run, on));
    let mut meter = run.meter.replace(Meter::new());
    let stored = run.stored.take();
    stored::verify(&mut meter, stored, &run.payloads, job.extra.get("data_dir"));
    Ok(meter)
}

/// What a load asks for that tus hasn't.
pub fn notes(load: &Load) -> Vec<String> {
    let mut notes = vec!["a connection for each upload at a time".to_owned()];
    if load.parallel > 1 || load.order != Order::InOrder {
        notes.push("tus takes the bytes of an upload in order, one chunk at a time".to_owned());
    }
    if load.checksums {
        notes.push("chunks carry no checksum: tusd takes none".to_owned());
    }
    notes
}

struct Run {
    url: String,
    load: Load,
    payloads: Vec<Payload>,
    meter: RefCell<Meter>,
    begun: Cell<u64>,
    is_over: Cell<bool>,
    /// Rung when nothing more need be measured.
    enough: Notify,
    stored: RefCell<Vec<Stored>>,
}

async fn put_on(run: &Rc<Run>, on: &mut dyn FnMut(Mark)) {
    let begin = now() + run.load.warm_up.0;
    let mut work = JoinSet::new();
    for _ in 0..run.load.uploads {
        work.spawn_local(line(run.clone()));
    }
    if !run.is_enough_before(begin).await {
        run.meter.borrow_mut().begin(now());
        on(Mark::Begin);
        run.is_enough_before(begin + run.load.duration.0).await;
        run.meter.borrow_mut().end(now());
        on(Mark::End);
    }
    run.is_over.set(true);
    let all = async { while work.join_next().await.is_some() {} };
    if tokio::time::timeout(DRAIN_LIMIT, all).await.is_err() {
        run.fail(format!("not all came to its end in {} s", DRAIN_LIMIT.as_secs()));
    }
}

/// One of the uploads at a time, each followed by the next.
async fn line(run: Rc<Run>) {
    let all = async {
        let mut connection = Connection::open(&run.url).await?;
        while !run.is_over.get() {
            run.upload(&mut connection).await?;
        }
        Ok::<_, TusError>(())
    };
    if let Err(error) = all.await {
        run.fail(error.to_string());
    }
}

impl Run {
    async fn is_enough_before(&self, instant: Instant) -> bool {
        tokio::time::timeout_at(instant.into(), self.enough.notified()).await.is_ok()
    }

    fn fail(&self, why: String) {
        self.meter.borrow_mut().failed(why);
        self.is_over.set(true);
        self.enough.notify_one();
    }

    async fn upload(&self, connection: &mut Connection) -> Result<(), TusError> {
        let nth = self.begun.replace(self.begun.get() + 1);
        let share = share_of(&self.load.mix, nth);
        let payload = &self.payloads[share];
        let plan = payload.plan();
        let started = now();
        let path = connection.create(plan.upload_bytes).await?;
        let mut offset = 0;
        for number in 0..plan.chunks() {
            let began = now();
            let bytes = plan.length_of(number);
            let patched = connection.append(&path, offset, payload.data(number)).await;
            if patched.is_err() {
                self.meter.borrow_mut().lost(1);
            }
            offset += bytes;
            expect(patched?, offset)?;
            self.acked(began, bytes);
        }
        expect(connection.offset(&path).await?, plan.upload_bytes)?;
        self.stored.borrow_mut().push(Stored { path, share, started, ended: now() });
        Ok(())
    }

    fn acked(&self, started: Instant, bytes: u64) {
        let acked = now();
        let mut meter = self.meter.borrow_mut();
        let timed = meter.measures(acked);
        let sum = meter.acked(Ack { started, acked, bytes, ending: false, timed });
        if self.load.total_size.is_some_and(|total| sum >= total.0) {
            self.enough.notify_one();
        }
    }
}

fn expect(told: u64, sent: u64) -> Result<(), TusError> {
    if told == sent { Ok(()) } else { Err(TusError::Offset { told, sent }) }
}

#[cfg(test)]
mod tests;
