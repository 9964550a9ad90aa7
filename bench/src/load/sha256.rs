//! What one pass of SHA-256 costs on this machine, as the server computes it: the measure of what
//! it may cost a server that computes it beside all else.

use std::io;
use std::time::Instant;

use sluice_proto::checksum::Sha256State;

use crate::clock::now;
use crate::job::Job;
use crate::load::Mark;
use crate::load::meter::{Ack, Meter};
use crate::load::payload::noise;
use crate::load::plan::Plan;

/// Chunks come from so much memory that none is in a cache when its turn comes.
const ROTATED_BYTES: u64 = 64 << 20;

/// Sums chunk after chunk for as long as the load lasts. A chunk that gives another digest than the
/// first time fails the run.
///
/// # Errors
/// None so far.
pub fn run(job: &Job, plans: &[Plan], on: &mut dyn FnMut(Mark)) -> io::Result<Meter> {
    let chunk_bytes = plans.iter().map(|plan| plan.chunk_bytes).max().unwrap_or(1);
    let chunks = ROTATED_BYTES.div_ceil(chunk_bytes).max(2);
    let memory = noise((chunks * chunk_bytes) as usize);
    let mut pass = Pass {
        chunks: memory.chunks(chunk_bytes as usize).map(|data| (data, None)).collect(),
        next: 0,
        meter: Meter::new(),
    };
    let total_bytes = job.load.total_size.map_or(u64::MAX, |size| size.0);
    let begin = now() + job.load.warm_up.0;
    while now() < begin {
        pass.chunk();
    }
    let begin = now();
    pass.meter.begin(begin);
    on(Mark::Begin);
    let end = begin + job.load.duration.0;
    while now() < end && pass.chunk() < total_bytes {}
    pass.meter.end(now());
    on(Mark::End);
    Ok(pass.meter)
}

/// A chunk, and its digest once it is known.
type Summed<'a> = (&'a [u8], Option<[u8; 32]>);

struct Pass<'a> {
    chunks: Vec<Summed<'a>>,
    next: usize,
    meter: Meter,
}

impl Pass<'_> {
    /// Gives the bytes that were measured so far.
    fn chunk(&mut self) -> u64 {
        let place = self.next % self.chunks.len();
        self.next += 1;
        let started: Instant = now();
        let (data, known) = &mut self.chunks[place];
        let digest = Sha256State::of(data);
        let acked = now();
        match known.replace(digest) {
            Some(before) if before != digest => self.meter.failed("a digest changed".to_owned()),
            Some(_) => self.meter.verified(started, acked, true),
            None => {}
        }
        let (bytes, timed) = (data.len() as u64, self.meter.measures(acked));
        self.meter.acked(Ack { started, acked, bytes, ending: false, timed })
    }
}
