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
    let settings = "[limits]\nadmission_wait = \"30 s\"".to_owned();
    let server = Server::start(Options { settings, memory_limit: "256M", ..Options::default() });
    let address = server.address();
    let open = async { Calls::to(&address).open("parked").await };
    let target = Target { address: address.parse().unwrap(), upload_id: runtime().block_on(open) };
    let mut raw = Raw::connect(target.address);
    let data = noise(1, 16 << 20);
    // None of them touches the front, and all together are more than memory has room for.
    for number in 1..=16 {
        let stream = 2 * number as u32 - 1;
        raw.open_with(stream, &call_head("UploadChunk"));
        raw.send_part(stream, &chunk_head(&target.upload_id, number, data.len()), 100, false);
    }
    eventually(|| {
        let parked = metric(&get(&server.admin(), "/metrics")?.body, "parked_streams");
        (parked < 4.0).then(|| format!("{parked} are parked"))
    });
    // What they may send unasked.
    for stream in (1..=31).step_by(2) {
        raw.look();
        let room = raw.room(stream).min(60_000);
        raw.send_part(stream, &data[..room], 16 << 10, false);
    }
    let (worst, gap) = gap_of_a_plain_thread(|| worst_status_call(&mut raw, &target));
    println!("worst of 100 status calls {worst:?}, a plain thread's worst gap {gap:?}");
    assert!(worst <= gap + Duration::from_millis(100), "{worst:?}, a plain thread {gap:?}");
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

fn worst_status_call(raw: &mut Raw, target: &Target) -> Duration {
    let upload_id = target.upload_id.clone();
    let request = framed(&pb::GetUploadStatusRequest { upload_id, ..Default::default() });
    let mut worst = Duration::ZERO;
    for n in 0..100 {
        let stream = 101 + 2 * n;
        let began = Instant::now();
        raw.open_with(stream, &call_head("GetUploadStatus"));
        raw.send_all(stream, &request, 16 << 10);
        assert_eq!(answer(raw, stream), Answer::Ok);
        worst = worst.max(began.elapsed());
    }
    worst
}

/// What `work` gives, and by how much a thread that only sleeps woke up too late meanwhile.
fn gap_of_a_plain_thread<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    const STEP: Duration = Duration::from_millis(1);
    let is_over = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let sleeper = scope.spawn(|| {
            let mut worst = Duration::ZERO;
            while !is_over.load(std::sync::atomic::Ordering::SeqCst) {
                let began = Instant::now();
                std::thread::sleep(STEP);
                worst = worst.max(began.elapsed() - STEP);
            }
            worst
        });
        let done = work();
        is_over.store(true, std::sync::atomic::Ordering::SeqCst);
        (done, sleeper.join().unwrap())
    })
}
