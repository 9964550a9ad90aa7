//! The figures in Prometheus' text format, version 0.0.4.

use std::fmt::Write as _;

use sluice_proto::error::Reason;

use crate::metrics::distribution::Distribution;
use crate::metrics::gauges::ShardGauges;
use crate::metrics::labels::{
    Active, ChunkResult, End, Level, Method, RpcCode, Stage, Work, WorkOutcome,
};
use crate::metrics::shard::ShardSnapshot;

/// Of `GET /metrics`.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Upper bounds of duration buckets, microseconds.
const DURATION_BOUNDS_US: &[u64] = &[
    100,
    250,
    500,
    1_000,
    2_500,
    5_000,
    10_000,
    25_000,
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    30_000_000,
    60_000_000,
    300_000_000,
    1_800_000_000,
];
/// Upper bounds of size buckets, bytes: powers of four.
const SIZE_BOUNDS_BYTES: &[u64] =
    &[1 << 10, 1 << 12, 1 << 14, 1 << 16, 1 << 18, 1 << 20, 1 << 22, 1 << 24, 1 << 26, 1 << 28];
const US_PER_SECOND: f64 = 1e6;
const MS_PER_SECOND: f64 = 1e3;

type Labels<'a> = &'a [(&'a str, &'a str)];

/// Renders all figures; `shards` is in the order of their numbers, and none is missing.
///
/// # Panics
/// When there is no shard.
pub fn render(shards: &[ShardSnapshot], version: &str) -> String {
    let total = ShardSnapshot::total(shards);
    let mut text = Text::default();
    text.gauge("build_info", "The running version.", [(&[("version", version)][..], 1)]);
    rpc(&mut text, &total);
    intake(&mut text, &total);
    uploads(&mut text, &total);
    work(&mut text, &total);
    by_shard(&mut text, shards);
    let gauges = &total.gauges;
    let kind = [("kind", gauges.spool_kind.as_str())];
    text.gauge(
        "window_committed_bytes",
        "Bytes inside open windows, and held from them.",
        [(&[][..], gauges.window_committed_bytes)],
    );
    text.gauge("spool_used_bytes", "Bytes in the spool.", [(&kind[..], gauges.spool_used_bytes)]);
    text.gauge(
        "spool_free_bytes",
        "Bytes that still fit into the spool.",
        [(&kind[..], gauges.spool_free_bytes)],
    );
    let help = "How long the oldest chunk has waited for its object.";
    text.family("queue_oldest_age_seconds", help, "gauge");
    text.sample("queue_oldest_age_seconds", &[], gauges.queue_oldest_ms as f64 / MS_PER_SECOND);
    backends(&mut text, &total);
    if let Some(redis) = &gauges.redis {
        let help = "Memory that all servers of Redis use.";
        text.gauge("redis_memory_used_bytes", help, [(&[][..], redis.used_bytes)]);
        let help = "Memory that they may use; 0: no limit.";
        text.gauge("redis_memory_limit_bytes", help, [(&[][..], redis.limit_bytes)]);
    }
    text.family("shard_stall_seconds", "How late the shards ran what was due.", "histogram");
    text.durations("shard_stall_seconds", &[], &total.recorded.stall);
    text.0
}

fn rpc(text: &mut Text, total: &ShardSnapshot) {
    let name = "rpc_server_duration_seconds";
    text.family(name, "How long calls took.", "histogram");
    for &method in Method::ALL {
        for &code in RpcCode::ALL {
            if let Some(distribution) = total.rpc(method, code) {
                let labels = [("method", method.as_str()), ("code", code.as_str())];
                text.durations(name, &labels, distribution);
            }
        }
    }
    text.family("rpc_server_in_flight", "Calls that have not ended.", "gauge");
    for &method in Method::ALL {
        let labels = [("method", method.as_str())];
        text.sample("rpc_server_in_flight", &labels, total.in_flight[method as usize]);
    }
}

fn intake(text: &mut Text, total: &ShardSnapshot) {
    text.family("chunks_total", "Chunks that have ended.", "counter");
    for &result in ChunkResult::ALL {
        let labels = [("result", result.as_str())];
        text.sample("chunks_total", &labels, total.chunks[result as usize]);
    }
    text.family("chunk_size_bytes", "Sizes of the chunks that were taken.", "histogram");
    let sizes = &total.recorded.chunk_size;
    text.histogram("chunk_size_bytes", &[], sizes, SIZE_BOUNDS_BYTES, |bytes| bytes as f64);
    let name = "chunk_ack_duration_seconds";
    text.family(name, "From a chunk's header to its ack.", "histogram");
    for &level in Level::ALL {
        let distribution = &total.recorded.chunk_ack[level as usize];
        text.durations(name, &[("level", level.as_str())], distribution);
    }
    let help = "Chunks that came to another shard than their owner.";
    text.family("chunks_misrouted_total", help, "counter");
    text.sample("chunks_misrouted_total", &[], total.chunks_misrouted);
    text.family("refusals_total", "Calls and chunks that were refused.", "counter");
    for &reason in Reason::ALL {
        let labels = [("reason", reason.as_str())];
        text.sample("refusals_total", &labels, total.refusals[reason as usize]);
    }
    let help = "Bytes that differed from what was declared.";
    text.family("integrity_failures_total", help, "counter");
    for &stage in Stage::ALL {
        let failures = total.integrity_failures[stage as usize];
        text.sample("integrity_failures_total", &[("stage", stage.as_str())], failures);
    }
}

fn uploads(text: &mut Text, total: &ShardSnapshot) {
    text.family("uploads_active", "Uploads that have not ended.", "gauge");
    for &state in Active::ALL {
        let labels = [("state", state.as_str())];
        text.sample("uploads_active", &labels, total.gauges.uploads_active[state as usize]);
    }
    text.family("uploads_total", "Uploads that have ended.", "counter");
    for &end in End::ALL {
        let count = total.recorded.upload_duration[end as usize].count();
        text.sample("uploads_total", &[("outcome", end.as_str())], count);
    }
    let name = "upload_duration_seconds";
    text.family(name, "From an upload's start to its end.", "histogram");
    for &end in End::ALL {
        let distribution = &total.recorded.upload_duration[end as usize];
        text.durations(name, &[("outcome", end.as_str())], distribution);
    }
}

fn work(text: &mut Text, total: &ShardSnapshot) {
    let name = "backend_request_duration_seconds";
    text.family(
        name,
        "How long disks, databases and object stores took; what failed is tried again.",
        "histogram",
    );
    for &work in Work::ALL {
        for &outcome in WorkOutcome::ALL {
            if let Some(distribution) = total.work(work, outcome) {
                let labels = [
                    ("backend", work.backend()),
                    ("op", work.as_str()),
                    ("outcome", outcome.as_str()),
                ];
                text.durations(name, &labels, distribution);
            }
        }
    }
}

/// How backends are that this process doesn't have in itself.
fn backends(text: &mut Text, total: &ShardSnapshot) {
    let ShardGauges { redis, s3, .. } = &total.gauges;
    let up = [
        ("redis", redis.as_ref().map(|redis| redis.is_up)),
        ("s3", s3.as_ref().map(|s3| s3.is_up)),
    ];
    if up.iter().any(|(_, is_up)| is_up.is_some()) {
        text.family("backend_up", "Whether a backend answers.", "gauge");
    }
    for (backend, is_up) in up {
        if let Some(is_up) = is_up {
            text.sample("backend_up", &[("backend", backend)], u64::from(is_up));
        }
    }
    let Some(s3) = s3 else { return };
    let help = "What a backend refused and was asked of it again.";
    text.family("backend_retries_total", help, "counter");
    for &work in Work::ALL.iter().filter(|work| work.backend() == "s3") {
        let labels = [("backend", work.backend()), ("op", work.as_str())];
        text.sample("backend_retries_total", &labels, total.retries[work as usize]);
    }
    let none = &[][..];
    text.gauge("s3_parts_in_flight", "Parts that are being sent.", [(none, s3.parts_in_flight)]);
    let help = "Uploads that have not ended and have a multipart upload in the object store.";
    text.gauge("s3_multipart_open", help, [(none, s3.multiparts_open)]);
    let help = "Multipart uploads that were found and that nobody goes on with.";
    text.family("s3_orphans_found_total", help, "counter");
    text.sample("s3_orphans_found_total", &[], total.orphans_found);
    let help = "Tries to abort a multipart upload that left it there.";
    text.family("s3_abort_failures_total", help, "counter");
    text.sample("s3_abort_failures_total", &[], total.abort_failures);
}

/// One figure of one shard.
type OfShard = fn(&ShardSnapshot) -> u64;

fn by_shard(text: &mut Text, shards: &[ShardSnapshot]) {
    let families: [(&str, &str, &str, OfShard); 8] = [
        ("connections", "Open connections.", "gauge", |s| s.connections),
        ("parked_streams", "Streams that wait for admission.", "gauge", |s| {
            s.gauges.parked_streams
        }),
        ("received_bytes_total", "Bytes of chunks that have come.", "counter", |s| {
            s.received_bytes
        }),
        ("memory_used_bytes", "Memory granted to chunks.", "gauge", |s| s.gauges.memory_used_bytes),
        ("memory_limit_bytes", "Memory that chunks may have.", "gauge", |s| {
            s.gauges.memory_limit_bytes
        }),
        (
            "direct_io_fallbacks_total",
            "Reads and writes that went through the page cache though they need not.",
            "counter",
            |s| s.gauges.direct_io_fallbacks,
        ),
        (
            "damaged_records_total",
            "Times that a record of an upload was met that can't be read: its id is in the log.",
            "counter",
            |s| s.gauges.damaged_records,
        ),
        ("queue_chunks", "Chunks recorded and not yet in their object.", "gauge", |s| {
            s.gauges.queue_chunks
        }),
    ];
    for (name, help, kind, figure) in families {
        text.family(name, help, kind);
        for (number, shard) in shards.iter().enumerate() {
            text.sample(name, &[("shard", &number.to_string())], figure(shard));
        }
    }
    text.family("shard_busy_seconds_total", "Time that a shard worked.", "counter");
    for (number, shard) in shards.iter().enumerate() {
        let seconds = shard.busy_us as f64 / US_PER_SECOND;
        text.sample("shard_busy_seconds_total", &[("shard", &number.to_string())], seconds);
    }
}

#[derive(Default)]
struct Text(String);

impl Text {
    fn family(&mut self, name: &str, help: &str, kind: &str) {
        // Writing to a `String` can't fail, here and below.
        let _ = writeln!(self.0, "# HELP sluice_{name} {help}\n# TYPE sluice_{name} {kind}");
    }

    fn gauge<'a>(&mut self, name: &str, help: &str, samples: [(Labels<'a>, u64); 1]) {
        self.family(name, help, "gauge");
        for (labels, value) in samples {
            self.sample(name, labels, value);
        }
    }

    fn sample(&mut self, name: &str, labels: Labels<'_>, value: impl std::fmt::Display) {
        let _ = write!(self.0, "sluice_{name}");
        for (position, (label, value)) in labels.iter().enumerate() {
            let before = if position == 0 { '{' } else { ',' };
            let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let _ = write!(self.0, "{before}{label}=\"{value}\"");
        }
        let after = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(self.0, "{after} {value}");
    }

    fn durations(&mut self, name: &str, labels: Labels<'_>, distribution: &Distribution) {
        let seconds = |us: u64| us as f64 / US_PER_SECOND;
        self.histogram(name, labels, distribution, DURATION_BOUNDS_US, seconds);
    }

    fn histogram(
        &mut self,
        name: &str,
        labels: Labels<'_>,
        distribution: &Distribution,
        bounds: &[u64],
        in_base_unit: impl Fn(u64) -> f64,
    ) {
        let bucket = format!("{name}_bucket");
        for &bound in bounds {
            let shown = in_base_unit(bound).to_string();
            let labels: Vec<_> = labels.iter().copied().chain([("le", shown.as_str())]).collect();
            self.sample(&bucket, &labels, distribution.count_up_to(bound));
        }
        let infinite: Vec<_> = labels.iter().copied().chain([("le", "+Inf")]).collect();
        self.sample(&bucket, &infinite, distribution.count());
        self.sample(&format!("{name}_sum"), labels, in_base_unit(distribution.sum()));
        self.sample(&format!("{name}_count"), labels, distribution.count());
    }
}

#[cfg(test)]
mod tests;
