//! What a run came to, for people and for programs.

mod digest;
#[cfg(test)]
mod fixture;
mod number;
mod page;
mod plot;
mod terminal;
mod text;

use std::collections::BTreeMap;

use serde::Serialize;

use crate::outcome::{Histogram64, Outcome};
use crate::process::{Cpu, Memory};

pub use page::html;
pub use terminal::suite_text;
pub use text::text;

const GB: f64 = 1e9;

/// The load that was put on.
#[derive(Debug, Clone, Serialize)]
pub struct Setup {
    /// Always `closed`: the next upload begins when one before has ended.
    pub r#loop: &'static str,
    /// Where to.
    pub server: String,
    /// Uploads at a time.
    pub uploads: usize,
    /// Bytes of each.
    pub upload_bytes: u64,
    /// Bytes of a chunk.
    pub chunk_bytes: u64,
    /// Chunks of an upload in flight.
    pub parallel: usize,
    /// Connections an address.
    pub connections: usize,
    /// Whether chunks go to the address that the owner tells.
    pub follow_owners: bool,
}

/// Percentiles, in milliseconds.
#[derive(Debug, Clone, Serialize)]
pub struct Latency {
    /// How many were measured.
    pub count: u64,
    /// Half were no slower.
    pub p50_ms: f64,
    /// 95 of 100 were no slower.
    pub p95_ms: f64,
    /// 99 of 100 were no slower.
    pub p99_ms: f64,
    /// The slowest.
    pub max_ms: f64,
}

impl Latency {
    fn of(us: &Histogram64) -> Self {
        let Some(us) = us.read() else {
            return Self { count: 0, p50_ms: 0.0, p95_ms: 0.0, p99_ms: 0.0, max_ms: 0.0 };
        };
        let at = |quantile| us.value_at_quantile(quantile) as f64 / 1e3;
        let max_ms = us.max() as f64 / 1e3;
        Self { count: us.len(), p50_ms: at(0.5), p95_ms: at(0.95), p99_ms: at(0.99), max_ms }
    }
}

/// What one side of the wire took.
#[derive(Debug, Clone, Serialize)]
pub struct Side {
    /// CPU time.
    pub cpu: Cpu,
    /// CPU seconds for each GB (10^9 bytes).
    pub cpu_s_per_gb: f64,
    /// CPUs kept busy on average.
    pub cpus_busy: f64,
}

/// CPUs there are, and how many of them the client may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cpus {
    /// Of the machine.
    pub online: usize,
    /// Of the client.
    pub client: usize,
}

/// The result of a run in which every object was verified.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// What was done.
    pub setup: Setup,
    /// Uploads whose size the server gave back as it was sent: all of them.
    pub uploads_verified: u64,
    /// Of these, whose checksum it gave back too.
    pub checksums_verified: u64,
    /// Payload bytes acked in the measured time.
    pub bytes: u64,
    /// The measured time.
    pub seconds: f64,
    /// GB (10^9 bytes) of payload a second.
    pub gb_per_s: f64,
    /// Acks of chunks that don't end their upload.
    pub ack: Latency,
    /// Acks of chunks that do, and so wait for the object.
    pub ending_ack: Latency,
    /// Whole uploads.
    pub upload: Latency,
    /// Refusals by reason.
    pub refusals: BTreeMap<String, u64>,
    /// Calls sent again.
    pub retries: u64,
    /// Acks of bytes that were in already.
    pub duplicates: u64,
    /// This process.
    pub client: Side,
    /// The server, if its process was named.
    pub server: Option<Side>,
    /// Its memory, if its process was named.
    pub server_memory: Option<Memory>,
    /// Why the server's throughput may be more than this run shows.
    pub client_bound: Option<String>,
}

impl Report {
    /// Puts it together. `server` is what its process took, if it is known.
    pub fn new(
        setup: Setup,
        outcome: &Outcome,
        cpus: Cpus,
        client: Cpu,
        server: Option<(Cpu, Memory)>,
    ) -> Self {
        let seconds = outcome.seconds;
        let gb = outcome.bytes as f64 / GB;
        let side = |cpu: Cpu| Side {
            cpu,
            cpu_s_per_gb: cpu.total_s() / gb,
            cpus_busy: cpu.total_s() / seconds,
        };
        let (client, server_side) = (side(client), server.map(|(cpu, _)| side(cpu)));
        let server_busy = server_side.as_ref().map(|side| side.cpus_busy);
        Self {
            setup,
            uploads_verified: outcome.sizes_verified,
            checksums_verified: outcome.checksums_verified,
            bytes: outcome.bytes,
            seconds,
            gb_per_s: gb / seconds,
            ack: Latency::of(&outcome.ack),
            ending_ack: Latency::of(&outcome.ending_ack),
            upload: Latency::of(&outcome.upload),
            refusals: outcome.refusals.clone(),
            retries: outcome.retries,
            duplicates: outcome.duplicates,
            client_bound: client_bound(cpus, client.cpus_busy, server_busy),
            client,
            server: server_side,
            server_memory: server.map(|(_, memory)| memory),
        }
    }
}

/// Busier than this, a CPU is the limit.
const BUSY: f64 = 0.85;

/// Says so when the client used up its CPUs, or when both share CPUs that are used up and the
/// client took the larger part.
fn client_bound(cpus: Cpus, client_busy: f64, server_busy: Option<f64>) -> Option<String> {
    let own = cpus.client as f64;
    if client_busy >= BUSY * own {
        return Some(format!("the client kept {client_busy:.2} of its {own} CPUs busy"));
    }
    let server_busy = server_busy?;
    let used_up = client_busy + server_busy >= BUSY * cpus.online as f64;
    (used_up && client_busy > server_busy).then(|| {
        format!(
            "of {} CPUs the client kept {client_busy:.2} busy and the server {server_busy:.2}",
            cpus.online
        )
    })
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use hdrhistogram::Histogram;

    /// One that has something of everything.
    pub fn report() -> Report {
        let setup = Setup {
            r#loop: "closed",
            server: "127.0.0.1:7070".into(),
            uploads: 2,
            upload_bytes: 64 << 20,
            chunk_bytes: 8 << 20,
            parallel: 4,
            connections: 1,
            follow_owners: true,
        };
        let outcome = Outcome {
            seconds: 0.5,
            bytes: 1_000_000_000,
            uploads: 2,
            sizes_verified: 2,
            checksums_verified: 2,
            refusals: BTreeMap::from([("BUDGET".into(), 1)]),
            retries: 1,
            ack: latencies(&[8_000]),
            ending_ack: latencies(&[]),
            upload: latencies(&[400_000, 500_000]),
            ..Default::default()
        };
        let client = Cpu { user_s: 0.2, system_s: 0.1 };
        let server = Cpu { user_s: 0.1, system_s: 0.4 };
        let memory = Memory { rss_peak_bytes: 100 << 20, high_water_bytes: 120 << 20 };
        Report::new(setup, &outcome, Cpus { online: 2, client: 2 }, client, Some((server, memory)))
    }

    fn latencies(us: &[u64]) -> Histogram64 {
        let mut histogram = Histogram::new_with_bounds(1, 3_600_000_000, 3).unwrap();
        us.iter().for_each(|&us| histogram.record(us).unwrap());
        Histogram64::of(&histogram)
    }

    const TWO: Cpus = Cpus { online: 2, client: 2 };

    #[test]
    fn a_client_that_uses_its_cpus_up_is_named() {
        let pinned = Cpus { online: 2, client: 1 };
        assert!(client_bound(pinned, 0.9, Some(0.5)).is_some());
        assert!(client_bound(pinned, 0.6, Some(0.9)).is_none());
    }

    #[test]
    fn on_shared_cpus_the_larger_part_counts() {
        assert!(client_bound(TWO, 1.1, Some(0.8)).is_some());
        assert!(client_bound(TWO, 0.8, Some(1.1)).is_none());
        assert!(client_bound(TWO, 0.8, Some(0.3)).is_none());
        assert!(client_bound(TWO, 1.1, None).is_none());
    }
}
