//! `/status.json`: percentiles and rates that can be read without a metrics server.

use serde_json::{Map, Value, json};

use crate::admin::NotReady;
use crate::metrics::{Active, ChunkResult, Distribution, End, Level, Method, ShardSnapshot};

/// What does not change while the server runs, and how long it has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerFacts {
    /// This node's identity, as upload ids have it.
    pub node: String,
    /// Where gRPC is served, `host:port`.
    pub listen: String,
    /// The shards' own addresses, in the order of their numbers.
    pub endpoints: Vec<String>,
    /// Milliseconds since the start.
    pub uptime_ms: u64,
}

/// All figures as one JSON object with a newline; `shards` in the order of their numbers.
///
/// # Panics
/// When there is no shard.
pub fn status_json(facts: &ServerFacts, reasons: &[NotReady], shards: &[ShardSnapshot]) -> String {
    let total = ShardSnapshot::total(shards);
    let why_not: Vec<String> = reasons.iter().map(ToString::to_string).collect();
    let status = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "node": facts.node,
        "listen": facts.listen,
        "endpoints": facts.endpoints,
        "uptime_seconds": facts.uptime_ms as f64 / 1e3,
        "ready": reasons.is_empty(),
        "not_ready": why_not,
        "rpc": rpc(&total),
        "chunks": chunks(&total),
        "uploads": uploads(&total),
        "memory": {
            "used_bytes": total.gauges.memory_used_bytes,
            "limit_bytes": total.gauges.memory_limit_bytes,
            "window_committed_bytes": total.gauges.window_committed_bytes,
        },
        "spool": {
            "used_bytes": total.gauges.spool_used_bytes,
            "free_bytes": total.gauges.spool_free_bytes,
            "kind": total.gauges.spool_kind.as_str(),
            "queue_chunks": total.gauges.queue_chunks,
            "queue_oldest_seconds": total.gauges.queue_oldest_ms as f64 / 1e3,
        },
        "redis": total.gauges.redis.map(|redis| json!({
            "up": redis.is_up,
            "memory_used_bytes": redis.used_bytes,
            "memory_limit_bytes": redis.limit_bytes,
        })),
        "stall": percentiles(&total.recorded.stall),
        "shards": shards.iter().map(shard).collect::<Vec<_>>(),
    });
    format!("{status}\n")
}

/// Methods that were called at least once, all codes together and OK apart.
fn rpc(total: &ShardSnapshot) -> Value {
    let mut methods = Map::new();
    for &method in Method::ALL {
        let Some((all, ok)) = total.calls(method) else { continue };
        let mut figures = percentiles(&all);
        figures["ok"] = ok.into();
        figures["qps"] = total.calls_per_second[method as usize].into();
        figures["in_flight"] = total.in_flight[method as usize].into();
        methods.insert(method.as_str().into(), figures);
    }
    Value::Object(methods)
}

fn chunks(total: &ShardSnapshot) -> Value {
    let counts = ChunkResult::ALL
        .iter()
        .map(|&result| (result.as_str().to_owned(), Value::from(total.chunks[result as usize])));
    let acks = Level::ALL.iter().map(|&level| {
        let figures = percentiles(&total.recorded.chunk_ack[level as usize]);
        (level.as_str().to_owned(), figures)
    });
    json!({
        "received_bytes": total.received_bytes,
        "results": counts.collect::<Map<_, _>>(),
        "misrouted": total.chunks_misrouted,
        "ack": acks.collect::<Map<_, _>>(),
    })
}

fn uploads(total: &ShardSnapshot) -> Value {
    let active = Active::ALL.iter().map(|&state| {
        (state.as_str().to_owned(), Value::from(total.gauges.uploads_active[state as usize]))
    });
    let ended = End::ALL.iter().map(|&end| {
        let figures = percentiles(&total.recorded.upload_duration[end as usize]);
        (end.as_str().to_owned(), figures)
    });
    json!({ "active": active.collect::<Map<_, _>>(), "ended": ended.collect::<Map<_, _>>() })
}

fn shard(shard: &ShardSnapshot) -> Value {
    json!({
        "connections": shard.connections,
        "parked_streams": shard.gauges.parked_streams,
        "received_bytes": shard.received_bytes,
        "memory_used_bytes": shard.gauges.memory_used_bytes,
        "queue_chunks": shard.gauges.queue_chunks,
        "busy_seconds": shard.busy_us as f64 / 1e6,
    })
}

fn percentiles(durations: &Distribution) -> Value {
    let seconds = |percent| durations.percentile(percent) as f64 / 1e6;
    json!({
        "count": durations.count(),
        "p50_seconds": seconds(50.0),
        "p95_seconds": seconds(95.0),
        "p99_seconds": seconds(99.0),
        "max_seconds": durations.max() as f64 / 1e6,
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::metrics::{RpcCode, ShardGauges, ShardMetrics};

    #[test]
    fn percentiles_and_rates_can_be_read_straight() {
        let metrics = ShardMetrics::default();
        for call in 0..100 {
            metrics.rpc_began(Method::UploadChunk);
            let code = if call == 0 { RpcCode::Unavailable } else { RpcCode::Ok };
            let duration = Duration::from_millis(1 + call);
            metrics.rpc_ended(Method::UploadChunk, code, duration, 5_000);
        }
        let facts = ServerFacts {
            node: "n".into(),
            listen: "l".into(),
            endpoints: vec!["e".into()],
            uptime_ms: 1_500,
        };
        let shards = [metrics.snapshot(ShardGauges::default(), 6_000)];
        let text = status_json(&facts, &[NotReady::Draining], &shards);
        let read: Value = serde_json::from_str(&text).unwrap();
        let call = &read["rpc"]["UploadChunk"];
        assert_eq!((&call["count"], &call["ok"]), (&100.into(), &99.into()));
        assert_eq!(call["qps"], 10.0);
        let p99 = call["p99_seconds"].as_f64().unwrap();
        assert!((0.098..=0.1).contains(&p99), "{p99}");
        assert_eq!(read["rpc"].as_object().unwrap().len(), 1);
        assert_eq!((&read["ready"], &read["not_ready"][0]), (&false.into(), &"draining".into()));
        assert_eq!(
            (&read["uptime_seconds"], &read["shards"][0]["connections"]),
            (&1.5.into(), &0.into())
        );
    }
}
