//! The upload loops of `docs/clients`, as a user copies them: every one goes on after kills of
//! either side, and waits when it is told to.

use std::process::Command;

use sluice_proto::pb::{self, UploadState};

use crate::harness::{
    CHUNK_BYTES, Calls, Ended, FILE_BYTES, Options, Outcome, Server, UploadLoop, audit,
    file_to_send, get, noise, python_loop, runtime, seed, test_tools, tool,
};

const CHUNKS: usize = FILE_BYTES.div_ceil(CHUNK_BYTES);

/// How an upload loop is run, but for its arguments.
type Loop = fn(&Server) -> Command;

fn go(_: &Server) -> Command {
    tool("go/upload")
}

fn java(_: &Server) -> Command {
    let built = test_tools("java/target");
    let classes = format!("{0}/classes:{0}/dependency/*", built.display());
    let mut command = Command::new("java");
    // Quick to start, and small.
    command.args(["-XX:TieredStopAtLevel=1", "-Xmx256M", "-cp", &classes, "Upload"]);
    command
}

#[test]
fn the_python_loop_goes_on_after_kills_of_either_side() {
    goes_on_after_kills("python", python_loop);
}

#[test]
fn the_go_loop_goes_on_after_kills_of_either_side() {
    goes_on_after_kills("go", go);
}

#[test]
fn the_java_loop_goes_on_after_kills_of_either_side() {
    goes_on_after_kills("java", java);
}

#[test]
fn the_python_loop_waits_as_long_as_it_is_asked_to() {
    waits_as_asked(python_loop);
}

#[test]
fn the_go_loop_waits_as_long_as_it_is_asked_to() {
    waits_as_asked(go);
}

#[test]
fn the_java_loop_waits_as_long_as_it_is_asked_to() {
    waits_as_asked(java);
}

fn goes_on_after_kills(name: &str, program: Loop) {
    let bytes = noise(seed(name), FILE_BYTES);
    let mut server = Server::start(Options::default());
    let file = file_to_send(&server, &bytes);

    let mut first = UploadLoop::start(program(&server), &server.address(), &file);
    let sent = first.wait_for_chunks(30);
    assert_eq!(sent, CHUNKS, "a new upload misses every chunk");
    first.kill();
    server.kill();
    server.restart();

    let mut second = UploadLoop::start(program(&server), &server.address(), &file);
    let left = second.wait_for_chunks(30);
    assert!(left <= CHUNKS - 30, "{left} of {CHUNKS} were sent again");
    server.kill();
    second.assert_runs();
    server.restart();
    let upload_id = second.stored();
    let received = received_bytes(&server);
    assert!(0 < received && received < left * CHUNK_BYTES, "{received} of the {left} last chunks");

    let filename = "sent.bin".to_owned();
    audit(server, &[Outcome { upload_id, filename, ended: Ended::Whole(bytes) }]);
}

fn waits_as_asked(program: Loop) {
    let settings = "[limits]\nuploads_max = 1".to_owned();
    // Each shard has its share of the limit.
    let cpus = Options::default().cpus.split(',').next().unwrap().to_owned();
    let server = Server::start(Options { settings, cpus, ..Options::default() });
    let bytes = noise(1, 1_000);
    let file = file_to_send(&server, &bytes);
    let runtime = runtime();
    let calls = runtime.block_on(async { Calls::to(&server.address()) });
    let blocking = runtime.block_on(calls.open("blocking"));

    let mut running = UploadLoop::start(program(&server), &server.address(), &file);
    let told = running.wait_for(|line| line.contains("asked to wait"));
    assert!(told.ends_with("asked to wait 200 ms"), "{told}");
    let request = pb::AbortUploadRequest { upload_id: blocking.clone(), ..Default::default() };
    runtime.block_on(calls.abort_upload(request)).unwrap();
    let upload_id = running.stored();

    let outcome = |upload_id, ended| Outcome { upload_id, filename: String::new(), ended };
    let aborted = outcome(blocking, Ended::As(UploadState::Aborted));
    audit(server, &[outcome(upload_id, Ended::Whole(bytes)), aborted]);
}

/// Bytes of chunks that this process of the server took, those of repeats included.
fn received_bytes(server: &Server) -> usize {
    let metrics = get(&server.admin(), "/metrics").unwrap().body;
    let counters = metrics.lines().filter(|line| line.starts_with("sluice_received_bytes_total"));
    counters.map(|line| line.rsplit(' ').next().unwrap().parse::<usize>().unwrap()).sum()
}
