use std::collections::BTreeMap;
use std::time::Duration;

use super::*;
use crate::metrics::{ShardGauges, ShardMetrics};

fn two_shards() -> [ShardSnapshot; 2] {
    let (first, second) = (ShardMetrics::default(), ShardMetrics::default());
    for shard in [&first, &second] {
        shard.connection_opened();
        shard.rpc_began(Method::UploadChunk);
        shard.rpc_began(Method::UploadChunk);
        shard.rpc_ended(Method::UploadChunk, RpcCode::Ok, Duration::from_millis(7), 5_500);
        shard.received(1_000);
        shard.chunk_ended(ChunkResult::Accepted, 1_000);
        shard.chunk_acked(Level::Spooled, Duration::from_millis(3));
        shard.upload_ended(End::Completed, Duration::from_secs(2));
        shard.busy(Duration::from_millis(1_500));
        shard.worked(Work::Seal, WorkOutcome::Error, Duration::from_millis(40));
    }
    second.refused(Reason::Budget);
    second.connection_closed();
    let gauges = ShardGauges { uploads_active: [0, 2, 1], ..ShardGauges::default() };
    [first, second].map(|shard| shard.snapshot(gauges, 6_000))
}

/// Every sample by its name and labels; fails on what no scraper would take.
fn scrape(text: &str) -> BTreeMap<String, f64> {
    let mut samples = BTreeMap::new();
    let mut family = "";
    for line in text.lines() {
        if let Some(described) = line.strip_prefix("# TYPE ") {
            family = described.split(' ').next().unwrap();
        } else if !line.starts_with("# HELP ") {
            let (name, value) = line.rsplit_once(' ').unwrap();
            assert!(name.starts_with(family), "{line} is not of {family}");
            assert!(name.starts_with("sluice_"), "{line}");
            let old = samples.insert(name.to_owned(), value.parse().unwrap());
            assert_eq!(old, None, "{name} is there twice");
        }
    }
    samples
}

#[test]
fn what_the_shards_counted_is_summed() {
    let samples = scrape(&render(&two_shards(), "0.1.0"));
    let seal = "{backend=\"disk\",op=\"seal\",outcome=\"error\"}";
    let ok = "{method=\"UploadChunk\",code=\"OK\"";
    for (name, expected) in [
        ("sluice_build_info{version=\"0.1.0\"}".to_owned(), 1.0),
        (format!("sluice_rpc_server_duration_seconds_count{ok}}}"), 2.0),
        (format!("sluice_rpc_server_duration_seconds_sum{ok}}}"), 0.014),
        (format!("sluice_rpc_server_duration_seconds_bucket{ok},le=\"0.005\"}}"), 0.0),
        (format!("sluice_rpc_server_duration_seconds_bucket{ok},le=\"0.01\"}}"), 2.0),
        (format!("sluice_rpc_server_duration_seconds_bucket{ok},le=\"+Inf\"}}"), 2.0),
        ("sluice_rpc_server_in_flight{method=\"UploadChunk\"}".to_owned(), 2.0),
        ("sluice_connections{shard=\"0\"}".to_owned(), 1.0),
        ("sluice_connections{shard=\"1\"}".to_owned(), 0.0),
        ("sluice_received_bytes_total{shard=\"1\"}".to_owned(), 1_000.0),
        ("sluice_chunks_total{result=\"accepted\"}".to_owned(), 2.0),
        ("sluice_chunk_size_bytes_sum".to_owned(), 2_000.0),
        (format!("sluice_backend_request_duration_seconds_count{seal}"), 2.0),
        ("sluice_chunk_size_bytes_bucket{le=\"1024\"}".to_owned(), 2.0),
        ("sluice_refusals_total{reason=\"BUDGET\"}".to_owned(), 1.0),
        ("sluice_refusals_total{reason=\"QUOTA\"}".to_owned(), 0.0),
        ("sluice_uploads_active{state=\"uploading\"}".to_owned(), 4.0),
        ("sluice_uploads_total{outcome=\"completed\"}".to_owned(), 2.0),
        ("sluice_shard_busy_seconds_total{shard=\"0\"}".to_owned(), 1.5),
    ] {
        assert_eq!(samples.get(&name), Some(&expected), "{name}");
    }
}

#[test]
fn buckets_only_grow() {
    let text = render(&two_shards(), "x");
    let mut before = ("", 0.0);
    for line in text.lines().filter(|line| line.contains("_bucket")) {
        let (name, value) = line.rsplit_once(' ').unwrap();
        let (series, value) = (name.split("le=").next().unwrap(), value.parse().unwrap());
        assert!(series != before.0 || value >= before.1, "{line}");
        before = (series, value);
    }
}

#[test]
fn a_version_with_quotes_stays_one_label() {
    let text = render(&two_shards(), "a\"b\\");
    assert!(text.contains("sluice_build_info{version=\"a\\\"b\\\\\"} 1\n"));
}
