//! An open loop: chunks begin when they are due, however the server does.
//!
//! A chunk that can't begin when it is due, because too much is in the air already, begins late and
//! is timed from when it was due. So a server that is offered more than it can take shows it in its
//! latencies, and none of what it is offered is left out.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use futures_util::stream::{self, TryStreamExt as _};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinSet;

use crate::job::Load;
use crate::load::closed::send_rest;
use crate::load::run::Run;
use crate::load::schedule::Schedule;
use crate::load::ticker::Ticker;
use crate::load::upload::{Sending, Upload, UploadError};

/// Chunks in the air at most.
const FLYING_MAX: u64 = 4_096;
/// Their bytes at most, unless they are very large: a server without limits of its own holds what
/// is in the air in memory.
const FLYING_BYTES_MAX: u64 = 1 << 30;
const FLYING_MIN: u64 = 16;
/// Uploads that are opened at a time, to replace those that are full.
const OPENERS: u64 = 8;
/// Uploads that are open beside those that chunks are dealt to, at least.
const SPARE_MIN: usize = 64;
/// Uploads that are filled up at a time when all that was offered is sent.
const FILLED_AT_A_TIME: usize = 64;

/// When what is measured should begin and end.
#[derive(Debug, Clone, Copy)]
pub struct Window {
    /// First instant.
    pub begin: Instant,
    /// First instant after.
    pub end: Instant,
}

/// An upload, and the right to have it open.
#[derive(Debug)]
struct Opened {
    upload: Upload,
    _permit: OwnedSemaphorePermit,
}

/// What chunks are dealt to.
#[derive(Debug)]
pub struct Open {
    run: Rc<Run>,
    places: Vec<Rc<Opened>>,
    stock: mpsc::Receiver<Opened>,
    ticker: Ticker,
    bytes_per_second: u64,
    flying: Arc<Semaphore>,
    sent: JoinSet<()>,
}

impl Open {
    /// Opens all uploads that the load has at a time, and goes on to open those that come after.
    pub async fn prepare(run: Rc<Run>, bytes_per_second: u64) -> Result<Self, UploadError> {
        let spare = run.load.uploads.max(SPARE_MIN);
        let (sender, mut stock) = mpsc::channel(spare);
        let permits = Arc::new(Semaphore::new(run.load.uploads + spare));
        for opener in 0..OPENERS {
            let (run, sender, permits) = (run.clone(), sender.clone(), permits.clone());
            tokio::task::spawn_local(keep_stocked(run, sender, permits, opener));
        }
        drop(sender);
        let mut places = Vec::with_capacity(run.load.uploads);
        // When none comes any more the run has failed, and is told why.
        while places.len() < run.load.uploads
            && let Some(opened) = stock.recv().await
        {
            places.push(Rc::new(opened));
        }
        let chunk_bytes = run.load.chunk_size.0;
        let flying = Arc::new(Semaphore::new(flying_max(chunk_bytes)));
        let (ticker, sent) = (Ticker::new()?, JoinSet::new());
        Ok(Self { run, places, stock, ticker, bytes_per_second, flying, sent })
    }

    /// Sends all that is due before the window ends, then what the uploads under way still lack.
    pub async fn offer(mut self, window: Window) {
        let done = async {
            self.deal(window).await?;
            self.fill_up().await
        };
        if let Err(error) = done.await {
            self.run.fail(error);
        }
        while !self.run.has_failed() && self.sent.join_next().await.is_some() {}
    }

    async fn deal(&mut self, window: Window) -> Result<(), UploadError> {
        let Load { warm_up, chunk_size, .. } = &self.run.load;
        let mut schedule =
            Schedule::new(window.begin, warm_up.0, chunk_size.0, self.bytes_per_second);
        for lane in 0.. {
            let Some((opened, number)) = self.next(lane).await else { break };
            let due = schedule.next(opened.upload.length_of(number));
            self.ticker.wait_until(due.min(window.end)).await?;
            let permit = self.flying.clone().acquire_owned().await.expect("it is never closed");
            while self.sent.try_join_next().is_some() {}
            let is_measured = (window.begin..window.end).contains(&due);
            if is_measured {
                self.run.count(|meter| meter.offered());
            }
            let sending = Sending { number, lane, started: due, timed: Some(is_measured) };
            self.sent.spawn_local(send(self.run.clone(), opened, sending, permit));
            if due >= window.end || self.run.has_failed() {
                break;
            }
        }
        Ok(())
    }

    /// The upload that is next in turn, and its next chunk. A full one makes room for another.
    async fn next(&mut self, lane: u64) -> Option<(Rc<Opened>, u32)> {
        let place = (lane % self.places.len().max(1) as u64) as usize;
        loop {
            let opened = self.places.get(place)?;
            if let Some(number) = opened.upload.next_number() {
                return Some((opened.clone(), number));
            }
            self.places[place] = Rc::new(self.stock.recv().await?);
        }
    }

    async fn fill_up(&mut self) -> Result<(), UploadError> {
        let run = &self.run;
        let places = self.places.drain(..).enumerate().map(|(lane, opened)| Ok((lane, opened)));
        stream::iter(places)
            .try_for_each_concurrent(FILLED_AT_A_TIME, |(lane, opened)| async move {
                let lane = lane as u64;
                match send_rest(run, &opened.upload, lane, Some(false)).await? {
                    true => opened.upload.end(run, lane).await,
                    // One that is in the air still has its last ack.
                    false => Ok(()),
                }
            })
            .await
    }
}

async fn keep_stocked(
    run: Rc<Run>,
    stock: mpsc::Sender<Opened>,
    permits: Arc<Semaphore>,
    opener: u64,
) {
    for nth in 0.. {
        let permit = permits.clone().acquire_owned().await.expect("it is never closed");
        match Upload::open(&run, opener + nth * OPENERS).await {
            Ok(upload) => {
                if stock.send(Opened { upload, _permit: permit }).await.is_err() {
                    return;
                }
            }
            Err(error) => return run.fail(error),
        }
    }
}

async fn send(run: Rc<Run>, opened: Rc<Opened>, sending: Sending, permit: OwnedSemaphorePermit) {
    let sent = opened.upload.send(&run, sending).await;
    drop(permit);
    let ended = match sent {
        Ok(true) => opened.upload.end(&run, sending.lane).await,
        Ok(false) => Ok(()),
        Err(error) => Err(error),
    };
    if let Err(error) = ended {
        run.fail(error);
    }
}

fn flying_max(chunk_bytes: u64) -> usize {
    (FLYING_BYTES_MAX / chunk_bytes).clamp(FLYING_MIN, FLYING_MAX) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_the_air_is_bounded_by_number_and_by_bytes() {
        assert_eq!(flying_max(1 << 10), 4_096);
        assert_eq!(flying_max(16 << 20), 64);
        assert_eq!(flying_max(128 << 20), 16);
    }
}
