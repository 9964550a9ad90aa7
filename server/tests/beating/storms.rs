//! Refusals in number: nobody but who is refused hears of them, on the same connection neither.

use std::process::Command;
use std::time::{Duration, Instant};

use sluice_proto::pb;

use crate::harness::{
    Calls, Ended, Options, Outcome, PYTHON, Server, eventually, get, noise, root, runtime, text,
    tool,
};
use crate::raw::Raw;
use crate::scene::{end_well, metric};
use crate::wire::{Answer, Target, answer, call_head, chunk_head, framed};

/// go/storm.go, built by `scripts/test-tools`.
const GO_STORM: &str = "bin/beating-storm";
/// As storm.py, storm.go and Storm.java have it.
const HONEST_CHUNKS: usize = 16;
const HONEST_CHUNK_BYTES: usize = 1 << 20;
const STATUS_CALLS: usize = 100;
/// Half of these may take so much longer than ten times what they take alone.
const GRACE: Duration = Duration::from_millis(100);
/// Streams of chunks that wait; numbers only go up, and calls came before.
const PARKED_FROM: u32 = 1_501;

#[test]
fn a_storm_of_refusals_by_stock_python() {
    python(100);
}

#[test]
fn a_storm_of_refusals_by_stock_go() {
    go(300);
}

#[test]
fn a_storm_of_refusals_by_stock_java() {
    java(100);
}

#[test]
#[ignore = "long: make beating"]
fn long_storms_of_refusals() {
    python(1_000);
    go(1_000);
    java(1_000);
}

fn python(refused: usize) {
    let mut command = tool(PYTHON);
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/beating/storm.py"));
    storm(command, refused, "NOT_FOUND");
}

fn go(refused: usize) {
    storm(tool(GO_STORM), refused, "NotFound");
}

fn java(refused: usize) {
    let made = root().join("target/test-tools/java/target");
    let classes = format!("{0}/classes:{0}/dependency/*", made.display());
    let mut command = Command::new("java");
    command.args(["-XX:TieredStopAtLevel=1", "-cp", &classes]);
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/beating/Storm.java"));
    storm(command, refused, "NOT_FOUND");
}

/// A client sends so many chunks that are refused, 16 MiB each, and an honest upload, all on one
/// connection. `not_found` is how it calls that code.
fn storm(mut client: Command, refused: usize, not_found: &str) {
    let server = Server::start(Options::default());
    let (runtime, address) = (runtime(), server.address());
    let upload_id = runtime.block_on(async { Calls::to(&address).open("honest").await });
    let began = Instant::now();
    let ran = client.arg(&address).arg(&upload_id).arg(refused.to_string()).output().unwrap();
    println!("{refused} refusals of 16 MiB: {:?}", began.elapsed());
    let mut told: Vec<&str> = text(&ran).lines().collect();
    told.sort_unstable();
    assert_eq!(
        told,
        [format!("honest OK {HONEST_CHUNKS}"), format!("refused {not_found} {refused}")]
    );
    let complete = async {
        Calls::to(&address).complete(&upload_id, Some(HONEST_CHUNKS as i32)).await.unwrap()
    };
    assert_eq!(runtime.block_on(complete).state(), pb::UploadState::Completed);
    let bytes = (0..HONEST_CHUNKS).flat_map(|n| vec![n as u8; HONEST_CHUNK_BYTES]).collect();
    let ended = Ended::Whole(bytes);
    end_well(server, &[Outcome { upload_id, filename: "honest".into(), ended }]);
}

#[test]
fn a_status_call_answers_beside_parked_chunks_on_its_connection() {
    let settings = "[limits]\nadmission_wait = \"10 min\"".to_owned();
    let server = Server::start(Options { settings, memory_limit: "256M", ..Options::default() });
    let address = server.address();
    let open = async { Calls::to(&address).open("parked").await };
    let target = Target { address: address.parse().unwrap(), upload_id: runtime().block_on(open) };
    let mut raw = Raw::connect(target.address);
    let quiet = status_calls(&mut raw, &target, 1_001);
    let data = noise(1, 16 << 20);
    // None of them touches the front, and all together are more than memory has room for.
    for number in 1..=16 {
        let stream = PARKED_FROM + 2 * (number as u32 - 1);
        raw.open_with(stream, &call_head("UploadChunk"));
        raw.send_part(stream, &chunk_head(&target.upload_id, number, data.len()), 100, false);
    }
    let parked = || metric(&get(&server.admin(), "/metrics").unwrap().body, "parked_streams");
    eventually(|| (parked() < 4.0).then(|| format!("{} are parked", parked())));
    // What they may send unasked.
    for stream in (PARKED_FROM..).step_by(2).take(16) {
        raw.look();
        let room = raw.room(stream).min(60_000);
        raw.send_part(stream, &data[..room], 16 << 10, false);
    }
    let beside = status_calls(&mut raw, &target, 2_001);
    println!(
        "of {STATUS_CALLS} status calls, the middle and the worst: {beside:?}, quiet {quiet:?}"
    );
    // None waited for a chunk that waits: those do so still, and for minutes.
    assert!(parked() >= 4.0, "{} are parked", parked());
    // A machine that stands still is late with one or two, not with half of them.
    assert!(beside.0 <= 10 * quiet.0 + GRACE, "{beside:?}, quiet {quiet:?}");
    drop(raw);
    let aborted = async {
        let upload_id = target.upload_id.clone();
        let request = pb::AbortUploadRequest { upload_id, ..Default::default() };
        Calls::to(&address).abort_upload(request).await.unwrap();
    };
    runtime().block_on(aborted);
    let ended = Ended::As(pb::UploadState::Aborted);
    let upload_id = target.upload_id;
    end_well(server, &[Outcome { upload_id, filename: "parked".into(), ended }]);
}

/// The middle and the longest time of as many calls, on streams from `from` on.
fn status_calls(raw: &mut Raw, target: &Target, from: u32) -> (Duration, Duration) {
    let upload_id = target.upload_id.clone();
    let request = framed(&pb::GetUploadStatusRequest { upload_id, ..Default::default() });
    let mut took: Vec<_> = (from..)
        .step_by(2)
        .take(STATUS_CALLS)
        .map(|stream| {
            let began = Instant::now();
            raw.open_with(stream, &call_head("GetUploadStatus"));
            raw.send_all(stream, &request, 16 << 10);
            assert_eq!(answer(raw, stream), Answer::Ok);
            began.elapsed()
        })
        .collect();
    took.sort_unstable();
    (took[STATUS_CALLS / 2], took[STATUS_CALLS - 1])
}
