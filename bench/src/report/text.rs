//! A report for people.

use std::fmt::Write as _;

use crate::report::{Latency, Report, Side};
use sluice_proto::units::format_size;

/// Some lines, the last with its newline.
pub fn text(report: &Report) -> String {
    let mut out = String::new();
    let setup = &report.setup;
    let _ = writeln!(
        out,
        "closed loop: {} uploads at a time of {} in chunks of {}, {} in flight each, \
         {} connections an address{}",
        setup.uploads,
        format_size(setup.upload_bytes),
        format_size(setup.chunk_bytes),
        setup.parallel,
        setup.connections,
        if setup.follow_owners { "" } else { ", owners not followed" },
    );
    let _ = writeln!(
        out,
        "{} uploads, {} in {:.2} s: {:.3} GB/s; every object verified by size, {} by CRC-64/NVME",
        report.uploads_verified,
        format_size(report.bytes),
        report.seconds,
        report.gb_per_s,
        report.checksums_verified,
    );
    latency(&mut out, "ack", &report.ack);
    latency(&mut out, "ending ack", &report.ending_ack);
    latency(&mut out, "upload", &report.upload);
    side(&mut out, "client", &report.client);
    if let Some(server) = &report.server {
        side(&mut out, "server", server);
    }
    if let Some(memory) = &report.server_memory {
        let peak = format_size(memory.rss_peak_bytes);
        let high = format_size(memory.high_water_bytes);
        let _ = writeln!(out, "server memory: {peak} at most in this run, {high} since its start");
    }
    let refusals: Vec<String> =
        report.refusals.iter().map(|(reason, count)| format!("{reason} {count}")).collect();
    let refusals = if refusals.is_empty() { "none".to_owned() } else { refusals.join(", ") };
    let (retries, duplicates) = (report.retries, report.duplicates);
    let _ = writeln!(out, "refusals: {refusals}; {retries} retries, {duplicates} duplicates");
    if let Some(why) = &report.client_bound {
        let _ = writeln!(out, "client-bound: {why}");
    }
    out
}

fn latency(out: &mut String, name: &str, latency: &Latency) {
    if latency.count == 0 {
        return;
    }
    let Latency { count, p50_ms, p95_ms, p99_ms, max_ms } = latency;
    let _ = writeln!(
        out,
        "{name}: p50 {p50_ms:.2} ms, p95 {p95_ms:.2} ms, p99 {p99_ms:.2} ms, \
         max {max_ms:.2} ms (of {count})"
    );
}

fn side(out: &mut String, name: &str, side: &Side) {
    let Side { cpu, cpu_s_per_gb, cpus_busy } = side;
    let _ = writeln!(
        out,
        "{name} CPU: {cpu_s_per_gb:.3} s/GB, {:.2} s user and {:.2} s system, {cpus_busy:.2} busy",
        cpu.user_s, cpu.system_s,
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::report;

    #[test]
    fn the_text_has_every_figure_and_leaves_out_what_was_not_measured() {
        let expected = "\
closed loop: 2 uploads at a time of 64.0 MiB in chunks of 8.0 MiB, 4 in flight each, \
1 connections an address
2 uploads, 953.7 MiB in 0.50 s: 2.000 GB/s; every object verified by size, 2 by CRC-64/NVME
ack: p50 8.00 ms, p95 8.00 ms, p99 8.00 ms, max 8.00 ms (of 1)
upload: p50 400.13 ms, p95 500.22 ms, p99 500.22 ms, max 500.22 ms (of 2)
client CPU: 0.300 s/GB, 0.20 s user and 0.10 s system, 0.60 busy
server CPU: 0.500 s/GB, 0.10 s user and 0.40 s system, 1.00 busy
server memory: 100.0 MiB at most in this run, 120.0 MiB since its start
refusals: BUDGET 1; 1 retries, 0 duplicates
";
        assert_eq!(text(&report()), expected);
    }

    #[test]
    fn the_json_says_that_the_loop_is_closed() {
        let json = serde_json::to_value(report()).unwrap();
        assert_eq!(json["setup"]["loop"], "closed");
        assert_eq!(json["refusals"]["BUDGET"], 1);
        assert_eq!(json["server"]["cpu"]["system_s"], 0.4);
    }
}
