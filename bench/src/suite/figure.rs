//! Figures that gates and reports speak of, each of one repeat.

use hdrhistogram::Histogram;

use crate::outcome::Histogram64;
use crate::result::{Repeat, RunResult, Taken};

/// One of them.
pub struct Figure {
    /// As a suite's file names it.
    pub name: &'static str,
    /// What one of it is.
    pub unit: &'static str,
    /// What it says.
    pub about: &'static str,
    of: fn(&RunResult, &Repeat) -> Option<f64>,
}

impl Figure {
    /// The one of that name.
    pub fn named(name: &str) -> Option<&'static Self> {
        FIGURES.iter().find(|figure| figure.name == name)
    }

    /// Its value; none if the repeat failed, or has nothing to make it of.
    pub fn of(&self, run: &RunResult, repeat: &Repeat) -> Option<f64> {
        if repeat.outcome.failed.is_some() {
            return None;
        }
        (self.of)(run, repeat).filter(|value| value.is_finite())
    }
}

/// All of them.
pub const FIGURES: &[Figure] = &[
    Figure {
        name: "gb_per_s",
        unit: "GB/s",
        about: "payload acked a second",
        of: |_, repeat| over(gb(repeat), repeat.outcome.seconds),
    },
    Figure {
        name: "chunks_per_s",
        unit: "/s",
        about: "chunks acked a second",
        of: |_, repeat| over(repeat.outcome.chunks as f64, repeat.outcome.seconds),
    },
    Figure {
        name: "chunks_per_server_cpu_s",
        unit: "/s",
        about: "chunks acked for a CPU second of the server",
        of: |_, repeat| over(repeat.outcome.chunks as f64, repeat.server?.cpu_s),
    },
    Figure {
        name: "server_cpu_s_per_gb",
        unit: "s/GB",
        about: "CPU seconds of the server for 10^9 bytes of payload",
        of: |_, repeat| server_per_gb(repeat, |server| server.cpu_s),
    },
    Figure {
        name: "server_user_s_per_gb",
        unit: "s/GB",
        about: "of these in its own code",
        of: |_, repeat| server_per_gb(repeat, |server| server.user_s),
    },
    Figure {
        name: "server_system_s_per_gb",
        unit: "s/GB",
        about: "of these in the kernel",
        of: |_, repeat| server_per_gb(repeat, |server| server.system_s),
    },
    Figure {
        name: "softirq_s_per_gb",
        unit: "s/GB",
        about: "softirq time on the server's CPUs for 10^9 bytes of payload",
        of: |_, repeat| server_per_gb(repeat, |server| server.softirq_s),
    },
    Figure {
        name: "client_cpu_s_per_gb",
        unit: "s/GB",
        about: "CPU seconds of the client for 10^9 bytes of payload",
        of: |_, repeat| over(repeat.client.cpu_s, gb(repeat)),
    },
    Figure {
        name: "client_cpu_us_per_chunk",
        unit: "µs",
        about: "CPU of the client for a chunk that was acked",
        of: |_, repeat| over(repeat.client.cpu_s * 1e6, repeat.outcome.chunks as f64),
    },
    Figure {
        name: "server_cpus_busy",
        unit: "CPUs",
        about: "CPUs that the server kept busy",
        of: |_, repeat| over(repeat.server?.cpu_s, repeat.outcome.seconds),
    },
    Figure {
        name: "client_cpus_busy",
        unit: "CPUs",
        about: "CPUs that the client kept busy",
        of: |_, repeat| over(repeat.client.cpu_s, repeat.outcome.seconds),
    },
    Figure {
        name: "backend_cpu_s_per_gb",
        unit: "s/GB",
        about: "CPU seconds of what stands behind the server for 10^9 bytes of payload",
        of: |_, repeat| over(repeat.backend?.cpu_s, gb(repeat)),
    },
    Figure {
        name: "backend_cpus_busy",
        unit: "CPUs",
        about: "CPUs that what stands behind the server kept busy",
        of: |_, repeat| over(repeat.backend?.cpu_s, repeat.outcome.seconds),
    },
    Figure {
        name: "syscalls_per_gb",
        unit: "/GB",
        about: "system calls of the server for 10^9 bytes of payload",
        of: |_, repeat| over(repeat.server?.syscalls? as f64, gb(repeat)),
    },
    Figure {
        name: "switches_per_gb",
        unit: "/GB",
        about: "context switches of the server for 10^9 bytes of payload",
        of: |_, repeat| {
            server_per_gb(repeat, |server| {
                (server.switches_voluntary + server.switches_involuntary) as f64
            })
        },
    },
    Figure {
        name: "ack_p50_ms",
        unit: "ms",
        about: "half of the acks came no later",
        of: |_, repeat| ack(repeat, 0.5),
    },
    Figure {
        name: "ack_p95_ms",
        unit: "ms",
        about: "95 of 100 acks came no later",
        of: |_, repeat| ack(repeat, 0.95),
    },
    Figure {
        name: "ack_p99_ms",
        unit: "ms",
        about: "99 of 100 acks came no later",
        of: |_, repeat| ack(repeat, 0.99),
    },
    Figure {
        name: "ack_p99_9_ms",
        unit: "ms",
        about: "999 of 1000 acks came no later",
        of: |_, repeat| ack(repeat, 0.999),
    },
    Figure {
        name: "ack_max_ms",
        unit: "ms",
        about: "the slowest ack",
        of: |_, repeat| ack(repeat, 1.0),
    },
    Figure {
        name: "upload_p50_ms",
        unit: "ms",
        about: "half of the uploads were stored no later than this after their start",
        of: |_, repeat| quantile_ms(&repeat.outcome.upload, 0.5),
    },
    Figure {
        name: "complete_p50_ms",
        unit: "ms",
        about: "half of the uploads were stored no later than this after their last ack",
        of: |_, repeat| quantile_ms(&repeat.outcome.complete, 0.5),
    },
    Figure {
        name: "disk_written_per_byte",
        unit: "",
        about: "bytes that the server wrote to storage for a byte of payload",
        of: |_, repeat| over(repeat.server?.disk_written_bytes as f64, repeat.outcome.bytes as f64),
    },
    Figure {
        name: "rss_peak_bytes",
        unit: "bytes",
        about: "most memory of the server",
        of: |_, repeat| Some(repeat.server?.rss_peak_bytes as f64),
    },
    Figure {
        name: "rss_per_shard_bytes",
        unit: "bytes",
        about: "most memory of the server, for each of its shards",
        of: |run, repeat| over(repeat.server?.rss_peak_bytes as f64, run.shards as f64),
    },
    Figure {
        name: "rss_growth",
        unit: "",
        about: "memory over the last tenth of the measured time ÷ over the second tenth",
        of: |_, repeat| rss_growth(repeat),
    },
    Figure {
        name: "idle_cpu_share",
        unit: "CPUs",
        about: "part of a CPU that the server took",
        of: |_, repeat| over(repeat.server?.cpu_s, repeat.outcome.seconds),
    },
    Figure {
        name: "idle_upload_bytes",
        unit: "bytes",
        about: "memory that an upload took which was opened and left alone",
        of: |run, repeat| {
            let before = repeat.rss_before_idle_bytes? as f64;
            let after = repeat.rss_after_idle_bytes? as f64;
            over(after - before, run.load.idle_uploads as f64)
        },
    },
    Figure {
        name: "offered_gb_per_s",
        unit: "GB/s",
        about: "payload that was to be sent a second, in an open loop",
        of: |run, repeat| {
            let bytes = repeat.outcome.offered_chunks * run.load.chunk_size.0;
            over(bytes as f64 / GB, repeat.outcome.seconds).filter(|_| bytes > 0)
        },
    },
    Figure {
        name: "error_rate",
        unit: "",
        about: "refusals and acks that never came ÷ all tries",
        of: |_, repeat| {
            let errors = repeat.outcome.refusals.values().sum::<u64>() + repeat.outcome.acks_lost;
            over(errors as f64, (errors + repeat.outcome.chunks) as f64)
        },
    },
];

const GB: f64 = 1e9;

fn gb(repeat: &Repeat) -> f64 {
    repeat.outcome.bytes as f64 / GB
}

/// Nothing by nothing is no figure.
fn over(figure: f64, by: f64) -> Option<f64> {
    (by > 0.0).then(|| figure / by)
}

fn server_per_gb(repeat: &Repeat, of: impl FnOnce(&Taken) -> f64) -> Option<f64> {
    over(of(repeat.server.as_ref()?), gb(repeat))
}

fn ack(repeat: &Repeat, quantile: f64) -> Option<f64> {
    quantile_ms(&repeat.outcome.ack, quantile)
}

fn quantile_ms(latencies: &Histogram64, quantile: f64) -> Option<f64> {
    let read: Histogram<u64> = latencies.read()?;
    (!read.is_empty()).then(|| read.value_at_quantile(quantile) as f64 / 1e3)
}

/// The first tenth is left out: pools fill in it.
fn rss_growth(repeat: &Repeat) -> Option<f64> {
    let samples = &repeat.samples;
    let tenth = samples.len() / 10;
    let mean = |part: &[crate::result::Sample]| {
        over(part.iter().map(|sample| sample.rss_bytes as f64).sum(), part.len() as f64)
    };
    over(mean(&samples[samples.len() - tenth..])?, mean(&samples[tenth..2 * tenth])?)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::job::Load;
    use crate::outcome::Outcome;
    use crate::result::Sample;

    /// A run of that name, a repeat for each speed and CPU time.
    pub fn run(name: &str, repeats: &[(f64, f64)]) -> RunResult {
        let repeat = |(round, &(gb_per_s, cpu_s)): (usize, &(f64, f64))| Repeat {
            round,
            outcome: Outcome { seconds: 1.0, bytes: (gb_per_s * GB) as u64, ..Outcome::default() },
            server: Some(Taken { cpu_s, ..Taken::default() }),
            ..Repeat::default()
        };
        RunResult {
            name: name.into(),
            about: String::new(),
            group: String::new(),
            server: "sluice".into(),
            shards: 1,
            settings: Default::default(),
            command: String::new(),
            client: "own".into(),
            load: Load::default(),
            series: None,
            repeats: repeats.iter().enumerate().map(repeat).collect(),
        }
    }

    fn value(name: &str, run: &RunResult) -> Option<f64> {
        Figure::named(name).unwrap().of(run, &run.repeats[0])
    }

    #[test]
    fn figures_are_per_gb_and_per_second() {
        let run = run("a", &[(2.0, 0.5)]);
        assert_eq!(value("gb_per_s", &run), Some(2.0));
        assert_eq!(value("server_cpu_s_per_gb", &run), Some(0.25));
        assert_eq!(value("idle_cpu_share", &run), Some(0.5));
    }

    #[test]
    fn what_there_is_nothing_of_has_no_value() {
        let mut run = run("a", &[(0.0, 0.0)]);
        assert_eq!(value("server_cpu_s_per_gb", &run), None);
        assert_eq!(value("error_rate", &run), None);
        assert_eq!(value("ack_p99_ms", &run), None);
        assert_eq!(value("rss_growth", &run), None);
        run.repeats[0].server = None;
        assert_eq!(value("idle_cpu_share", &run), None);
        run.repeats[0].outcome.failed = Some("lost".into());
        assert_eq!(value("gb_per_s", &run), None);
    }

    #[test]
    fn percentiles_are_in_milliseconds() {
        let mut run = run("a", &[(1.0, 1.0)]);
        let mut latencies = Histogram::new_with_bounds(1, 3_600_000_000, 3).unwrap();
        (1..=100).for_each(|ms| latencies.record(ms * 1000).unwrap());
        run.repeats[0].outcome.ack = Histogram64::of(&latencies);
        assert!((value("ack_p50_ms", &run).unwrap() - 50.0).abs() < 0.1);
        assert!((value("ack_max_ms", &run).unwrap() - 100.0).abs() < 0.2);
    }

    #[test]
    fn growth_of_memory_leaves_out_the_start() {
        let mut run = run("a", &[(1.0, 1.0)]);
        let sample = |rss_bytes| Sample { rss_bytes, ..Sample::default() };
        run.repeats[0].samples = [1, 4, 4, 4, 4, 4, 4, 4, 4, 5].map(sample).to_vec();
        assert_eq!(value("rss_growth", &run), Some(1.25));
    }

    #[test]
    fn names_are_told_apart() {
        for (nth, figure) in FIGURES.iter().enumerate() {
            assert!(FIGURES[..nth].iter().all(|before| before.name != figure.name));
        }
        assert!(Figure::named("speed").is_none());
    }
}
