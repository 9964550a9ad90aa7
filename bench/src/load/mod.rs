//! A closed loop: so many uploads at a time, each followed by the next as soon as it is verified.
//!
//! What is not offered while the server is slow is not measured either: latencies of a closed loop
//! tell how the server does under this load, never how it would do at a given rate.

mod links;
mod refusal;
mod tally;
mod upload;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

pub use links::Links;
pub use tally::Tally;
pub use upload::{Shared, UploadError};

use crate::clock::now;
use crate::payload::Payload;

/// How much is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Amount {
    /// So many uploads one after the other, in each of the parallel lines.
    Rounds(u64),
    /// New uploads until this has passed; those under way go on to their end.
    Duration(Duration),
}

/// A load that can be put on a server, more than once.
#[derive(Debug)]
pub struct Load {
    shared: Arc<Shared>,
    lines: usize,
    nth: Arc<AtomicU64>,
}

/// What a load came to.
#[derive(Debug)]
pub struct Outcome {
    /// The counts.
    pub tally: Tally,
    /// From the first upload's start to the last one's end.
    pub took: Duration,
}

impl Load {
    /// `lines` uploads at a time, each with `parallel` chunks in flight.
    pub fn new(links: Links, payload: Payload, lines: usize, parallel: usize) -> Self {
        let tally = Mutex::default();
        let shared = Arc::new(Shared { links, payload, parallel, tally });
        Self { shared, lines, nth: Arc::default() }
    }

    /// Puts the load on.
    ///
    /// # Errors
    /// The first upload that didn't come out: then the run doesn't count.
    pub async fn run(&self, amount: Amount) -> Result<Outcome, UploadError> {
        let started = now();
        let mut lines = JoinSet::new();
        for _ in 0..self.lines {
            lines.spawn(line(self.shared.clone(), self.nth.clone(), amount, started));
        }
        while let Some(ended) = lines.join_next().await {
            ended.expect("a line neither panics nor is aborted while it is awaited")?;
        }
        let took = now() - started;
        let mut tally = self.shared.tally.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(Outcome { tally: std::mem::take(&mut tally), took })
    }
}

async fn line(
    shared: Arc<Shared>,
    nth: Arc<AtomicU64>,
    amount: Amount,
    started: Instant,
) -> Result<(), UploadError> {
    let mut done = 0;
    loop {
        let goes_on = match amount {
            Amount::Rounds(rounds) => done < rounds,
            Amount::Duration(duration) => now() - started < duration,
        };
        if !goes_on {
            return Ok(());
        }
        upload::upload(&shared, nth.fetch_add(1, Ordering::Relaxed)).await?;
        done += 1;
    }
}
