//! A result to try the report with. Its numbers are made up, as its names say: nothing was run.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;

use crate::job::{Load, Offered, Size, Time};
use crate::outcome::{Histogram64, Outcome, Second};
use crate::result::{
    GateResult, Interface, Machine, Missing, Repeat, RunResult, Sample, SuiteResult, Taken,
};

/// What a made-up server is like.
#[derive(Clone, Copy)]
struct Traits {
    kind: &'static str,
    client: &'static str,
    gb_per_s: f64,
    cpu_s_per_gb: f64,
    user_share: f64,
    p50_ms: f64,
    rss_mib: f64,
}

const fn traits(
    kind: &'static str,
    client: &'static str,
    gb_per_s: f64,
    cpu_s_per_gb: f64,
    p50_ms: f64,
    rss_mib: f64,
) -> Traits {
    Traits { kind, client, gb_per_s, cpu_s_per_gb, user_share: 0.3, p50_ms, rss_mib }
}

const SLUICE: Traits = traits("sluice", "own", 4.1, 0.171, 5.2, 88.0);
const TUNED: Traits = traits("tonic-tuned", "own", 3.2, 0.29, 8.4, 61.0);
const STOCK: Traits = traits("tonic-stock", "own", 1.7, 0.63, 14.0, 140.0);
const SINK: Traits = traits("sink", "tcp", 4.9, 0.148, 3.3, 8.0);
const GLOMMIO: Traits = traits("sink-glommio", "tcp", 4.0, 0.18, 4.1, 44.0);
const TUSD: Traits = traits("tusd", "tus", 0.42, 1.9, 40.0, 52.0);

/// Everything that the report can show.
pub fn suite() -> SuiteResult {
    let mut chance = Chance(7);
    let mut runs = Vec::new();
    peers(&mut runs, &mut chance);
    half_load(&mut runs, &mut chance);
    offered(&mut runs, &mut chance);
    sizes(&mut runs, &mut chance);
    matrix(&mut runs, &mut chance);
    over_time(&mut runs, &mut chance);
    SuiteResult {
        suite: "made-up".into(),
        about: "Made-up numbers, to try the report with: nothing was run".into(),
        began: "2001-02-03T04:05:06Z".into(),
        seconds: 1125.0,
        rerun: "make bench SUITE=made-up".into(),
        rounds: 5,
        machine: machine(),
        gates: gates(),
        missing: vec![Missing {
            run: "made-up-seaweedfs-16MiB".into(),
            why: "seaweedfs is not installed: scripts/bench-tools says <how> & why".into(),
        }],
        runs,
    }
}

fn machine() -> Machine {
    let sysctl = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
    Machine {
        cpu: "Made-up CPU @ 2.5 GHz".into(),
        cpus: 2,
        memory_bytes: 24 << 30,
        kernel: "Linux 0.0.0-made-up".into(),
        system: "Made-up Linux 1".into(),
        governor: None,
        clock_source: "tsc".into(),
        interfaces: vec!["lo".into(), "eth0 (virtio_net, 10 Gbit/s)".into()],
        file_system: "ext4".into(),
        commit: "0123456789ab".into(),
        dirty: true,
        rustc: "rustc 0.0.0".into(),
        load_1min: 0.31,
        other_load: vec!["made-up-daemon 3 %".into()],
        server_cpus: "0".into(),
        client_cpus: "1".into(),
        sysctls: [("net.core.somaxconn", "4096"), ("net.ipv4.tcp_rmem", "4096 131072 6291456")]
            .map(sysctl)
            .into(),
    }
}

fn load(chunk_size: u64, connections: usize) -> Load {
    Load {
        chunk_size: Size(chunk_size),
        upload_size: Size(1 << 30),
        connections,
        uploads: connections,
        duration: Time(std::time::Duration::from_secs(3)),
        ..Load::default()
    }
}

fn peers(runs: &mut Vec<RunResult>, chance: &mut Chance) {
    for (mib, connections, factor) in [(16, 2, 1.0), (16, 16, 0.96), (1, 2, 0.8)] {
        let group = format!("peers-{mib}MiB-{connections}c");
        for mut of in [SLUICE, TUNED, STOCK, SINK, GLOMMIO, TUSD] {
            of.gb_per_s *= factor;
            // Somebody must do better now and then.
            if of.kind == "tonic-tuned" && mib == 1 {
                of.p50_ms = 1.1;
                of.gb_per_s = 3.4;
            }
            let name = format!("made-up-{}-{mib}MiB-{connections}c", of.kind);
            let mut run = run(&name, of, load(mib << 20, connections), 5, chance);
            run.group.clone_from(&group);
            if of.kind == "sluice" {
                run.repeats[3].client_bound =
                    Some("the client kept 0.97 of its 1 CPUs busy".into());
            }
            if of.kind == "tonic-stock" && connections == 16 {
                run.repeats[1].outcome =
                    Outcome { failed: Some("<made up> & failed".into()), ..Outcome::default() };
            }
            runs.push(run);
        }
    }
}

fn half_load(runs: &mut Vec<RunResult>, chance: &mut Chance) {
    for mut of in [SLUICE, TUNED] {
        of.gb_per_s /= 2.0;
        of.p50_ms /= 3.0;
        let mut load = load(16 << 20, 2);
        load.offered =
            Some(Offered::Of { run: format!("made-up-{}-16MiB-2c", of.kind), share: 0.5 });
        let mut run = run(&format!("made-up-{}-half-load", of.kind), of, load, 5, chance);
        run.group = "half-load".into();
        runs.push(run);
    }
}

fn offered(runs: &mut Vec<RunResult>, chance: &mut Chance) {
    for (server, limit) in [(SLUICE, 4.1_f64), (TUNED, 3.1)] {
        for percent in [25_u64, 50, 75, 90, 100, 125, 150] {
            let offered = 4.0 * percent as f64 / 100.0;
            let mut load = load(16 << 20, 4);
            load.offered = Some(Offered::Bytes(Size((offered * 1e9) as u64)));
            let mut of = server;
            let over = offered / limit;
            of.gb_per_s = offered.min(limit);
            of.p50_ms = if over < 0.97 { 1.5 / (1.05 - over) } else { 400.0 * over };
            let name = format!("made-up-offered-{}-{percent}", of.kind);
            let mut run = run(&name, of, load, 3, chance);
            run.series = Some("offered-load".into());
            for repeat in &mut run.repeats {
                let outcome = &mut repeat.outcome;
                let chunks = offered * 1e9 * outcome.seconds / f64::from(16 << 20);
                outcome.offered_chunks = chunks as u64;
                if over > 1.0 && of.kind == "sluice" {
                    outcome.refusals.insert("BUDGET".into(), (chunks * (1.0 - 1.0 / over)) as u64);
                }
            }
            runs.push(run);
        }
    }
}

fn sizes(runs: &mut Vec<RunResult>, chance: &mut Chance) {
    for server in [SLUICE, TUNED, STOCK, SINK] {
        for kib in [1_u64, 16, 128, 1024, 4096, 16_384, 65_536, 131_072] {
            let small = kib as f64 / (kib as f64 + 180.0);
            let large = if server.kind == "tonic-stock" { 1.0 + kib as f64 / 4e4 } else { 1.0 };
            let mut of = server;
            of.gb_per_s *= small / large;
            of.cpu_s_per_gb *= large / small;
            of.p50_ms *= 0.02 + kib as f64 / 16_384.0;
            let name = format!("made-up-size-{}-{}", of.kind, Size(kib << 10)).replace(' ', "");
            let mut run = run(&name, of, load(kib << 10, 2), 3, chance);
            run.series = Some("chunk-size".into());
            runs.push(run);
        }
    }
}

fn matrix(runs: &mut Vec<RunResult>, chance: &mut Chance) {
    for mib in [1_u64, 4, 16, 64, 128] {
        for connections in [8_usize, 32, 64, 128, 256] {
            let mut of = SLUICE;
            of.gb_per_s *= (mib as f64 / (mib as f64 + 0.4)) / (1.0 + connections as f64 / 900.0);
            of.p50_ms *= connections as f64 * mib as f64 / 32.0;
            let name = format!("made-up-matrix-{mib}MiB-{connections}");
            let mut load = load(mib << 20, connections);
            load.order = crate::job::Order::Shuffled;
            let mut run = run(&name, of, load, 1, chance);
            run.series = Some("matrix".into());
            if mib == 128 && connections == 256 {
                run.repeats[0].outcome.refusals.insert("BUDGET".into(), 40);
            }
            if mib == 64 && connections == 256 {
                run.repeats[0].outcome.failed = Some("made up: an upload never ended".into());
            }
            runs.push(run);
        }
    }
}

fn over_time(runs: &mut Vec<RunResult>, chance: &mut Chance) {
    let seconds = 620;
    let mut load = load(16 << 20, 8);
    load.duration = Time(std::time::Duration::from_secs(seconds));
    let mut run = run("made-up-soak", SLUICE, load, 1, chance);
    run.series = Some("time".into());
    let repeat = &mut run.repeats[0];
    repeat.outcome.seconds = seconds as f64;
    repeat.outcome.bytes = (4.0e9 * seconds as f64) as u64;
    repeat.server.as_mut().unwrap().cpu_s = 0.69 * seconds as f64;
    repeat.outcome.series = (0..seconds)
        .map(|at| Second {
            bytes: (4.0e9 * chance.about(1.0, 0.04)) as u64,
            acks: 240,
            ack_p99_us: (9_000.0 * chance.about(1.0, 0.2)) as u64
                + if at == 333 { 30_000 } else { 0 },
            refusals: 0,
        })
        .collect();
    repeat.samples = (0..600)
        .map(|nth| {
            let at_s = f64::from(nth) * seconds as f64 / 600.0;
            let rss = 88.0 - 20.0 * (-at_s / 20.0).exp() + chance.about(0.0, 0.3);
            Sample { at_s, rss_bytes: (rss * 1_048_576.0) as u64, cpu_s: at_s * 0.69 }
        })
        .collect();
    runs.push(run);
}

fn run(name: &str, of: Traits, load: Load, rounds: usize, chance: &mut Chance) -> RunResult {
    let settings: BTreeMap<String, String> =
        [("allocator", "mimalloc"), ("SLUICE_OBJECTS", "discard"), ("made up", "yes, <all> of it")]
            .into_iter()
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect();
    RunResult {
        name: name.into(),
        about: "made up: what a run is for".into(),
        server: of.kind.into(),
        shards: 1,
        settings,
        command: format!("made-up/{} serve --listen 127.0.0.1:0", of.kind),
        client: of.client.into(),
        repeats: (0..rounds).map(|round| repeat(round, of, &load, chance)).collect(),
        load,
        ..RunResult::default()
    }
}

fn repeat(round: usize, of: Traits, load: &Load, chance: &mut Chance) -> Repeat {
    let seconds = 3.0;
    let bytes = of.gb_per_s * chance.about(1.0, 0.04) * 1e9 * seconds;
    let gb = bytes / 1e9;
    let cpu_s = of.cpu_s_per_gb * chance.about(1.0, 0.03) * gb;
    let chunks = (bytes / load.chunk_size.0 as f64).max(1.0) as u64;
    let uploads = (bytes / load.upload_size.0 as f64).max(1.0) as u64;
    let rss = (of.rss_mib * chance.about(1.0, 0.02) * 1_048_576.0) as u64;
    let taken = Taken {
        cpu_s,
        user_s: cpu_s * of.user_share,
        system_s: cpu_s * (1.0 - of.user_share),
        softirq_s: cpu_s * 0.12,
        rss_begin_bytes: rss / 2,
        rss_peak_bytes: rss,
        switches_voluntary: (gb * 900.0) as u64,
        switches_involuntary: (gb * 20.0) as u64,
        syscalls: Some((gb * 9_500.0) as u64),
        disk_written_bytes: bytes as u64,
    };
    let wire = (bytes * 1.001) as u64;
    let lo = Interface {
        name: "lo".into(),
        received_bytes: wire,
        sent_bytes: wire,
        ..Interface::default()
    };
    Repeat {
        round,
        outcome: Outcome {
            seconds,
            bytes: bytes as u64,
            chunks,
            uploads,
            sizes_verified: uploads,
            checksums_verified: if of.kind == "sluice" { uploads } else { 0 },
            ack: latencies(of.p50_ms, chunks.min(20_000), chance),
            series: (0..3).map(|_| second(bytes / seconds, of.p50_ms)).collect(),
            notes: vec!["made up: this client can't <promise> a size".into()],
            ..Outcome::default()
        },
        server: Some(taken),
        client: Taken { cpu_s: gb * 0.22, ..Taken::default() },
        interfaces: vec![lo],
        samples: (0..60)
            .map(|nth| f64::from(nth) * 0.05)
            .map(|at_s| Sample { at_s, rss_bytes: rss, cpu_s: cpu_s * at_s / seconds })
            .collect(),
        ..Repeat::default()
    }
}

fn second(bytes: f64, p50_ms: f64) -> Second {
    Second { bytes: bytes as u64, acks: 100, ack_p99_us: (p50_ms * 2_000.0) as u64, refusals: 0 }
}

/// Most near the median, a few far above.
fn latencies(p50_ms: f64, count: u64, chance: &mut Chance) -> Histogram64 {
    let mut latencies = Histogram::<u64>::new_with_bounds(1, 3_600_000_000, 3).unwrap();
    for _ in 0..count {
        let from_end = chance.next().max(1e-5);
        let us = p50_ms * 1e3 * 0.8 * (0.5 / from_end).powf(0.22);
        latencies.record((us as u64).max(1)).unwrap();
    }
    Histogram64::of(&latencies)
}

fn gates() -> Vec<GateResult> {
    let gate = |name: &str, goal: &str, value: f64, met, runs: &[&str]| GateResult {
        name: format!("made up: {name}"),
        figure: "server_cpu_s_per_gb".into(),
        runs: runs.iter().map(|run| (*run).to_owned()).collect(),
        goal: goal.into(),
        value: Some(value),
        low: Some(value * 0.96),
        high: Some(value * 1.05),
        met,
        note: None,
    };
    let pair = ["made-up-sluice-16MiB-2c", "made-up-sink-16MiB-2c"];
    let mut idle = gate("memory of an idle upload", "<= 8192", 6_900.0, true, &pair[..1]);
    idle.figure = "idle_upload_bytes".into();
    let none = GateResult {
        name: "made up: SeaweedFS, throughput".into(),
        figure: "gb_per_s".into(),
        runs: vec!["made-up-sluice-16MiB-2c".into(), "made-up-seaweedfs-16MiB".into()],
        goal: ">= 3".into(),
        note: Some("made-up-seaweedfs-16MiB is missing: not installed".into()),
        ..GateResult::default()
    };
    vec![
        gate(
            "intake-only (checksums off) CPU per GB ÷ blocking sink",
            "<= 1.15",
            1.12,
            true,
            &pair,
        ),
        gate("the same with CRC32C and CRC64NVME", "<= 1.3", 1.41, false, &pair),
        gate("intake-only throughput ÷ stock tonic at 16 MiB", ">= 2.2", 2.41, true, &pair),
        gate("1 → 2 shards, CPU per GB", "0.9..1.1", 1.03, true, &pair),
        idle,
        none,
    ]
}

/// Chance that is the same every time.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn about(&mut self, middle: f64, spread: f64) -> f64 {
        middle + spread * (self.next() * 2.0 - 1.0)
    }
}
