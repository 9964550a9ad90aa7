//! The upload loops of `docs/clients`, as a user copies them: every one goes on after kills of
//! either side, and waits when it is told to.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use sluice_proto::pb::{self, UploadState};

use crate::harness::{
    Calls, Ended, Options, Outcome, PYTHON, Server, audit, get, make_stubs, noise, root, runtime,
    seed, test_tools, tool,
};

/// Small, so that a kill comes amid many.
const CHUNK_BYTES: usize = 128 << 10;
/// The last chunk is a short one.
const FILE_BYTES: usize = 200 * CHUNK_BYTES + 12_345;
const CHUNKS: usize = FILE_BYTES.div_ceil(CHUNK_BYTES);

/// How an upload loop is run, but for its arguments.
type Loop = fn(&Server) -> Command;

fn python(server: &Server) -> Command {
    let stubs = server.scratch().join("stubs");
    if !stubs.exists() {
        make_stubs(&stubs);
    }
    let mut command = tool(PYTHON);
    command.env("PYTHONPATH", &stubs).arg(root().join("docs/clients/python/upload.py"));
    command
}

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
    goes_on_after_kills("python", python);
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
    waits_as_asked(python);
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
    let file = file(&server, &bytes);

    let mut first = Running::start(program(&server), &server, &file);
    let sent = first.wait_for_chunks(30);
    assert_eq!(sent, CHUNKS, "a new upload misses every chunk");
    first.process.kill().unwrap();
    first.process.wait().unwrap();
    server.kill();
    server.restart();

    let mut second = Running::start(program(&server), &server, &file);
    let left = second.wait_for_chunks(30);
    assert!(left <= CHUNKS - 30, "{left} of {CHUNKS} were sent again");
    server.kill();
    assert!(second.process.try_wait().unwrap().is_none(), "it ended before the kill");
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
    let file = file(&server, &bytes);
    let runtime = runtime();
    let calls = runtime.block_on(async { Calls::to(&server.address()) });
    let blocking = runtime.block_on(calls.open("blocking"));

    let mut running = Running::start(program(&server), &server, &file);
    let told = running.wait_for(|line| line.contains("asked to wait"));
    assert!(told.ends_with("asked to wait 200 ms"), "{told}");
    let request = pb::AbortUploadRequest { upload_id: blocking.clone(), ..Default::default() };
    runtime.block_on(calls.abort_upload(request)).unwrap();
    let upload_id = running.stored();

    let outcome = |upload_id, ended| Outcome { upload_id, filename: String::new(), ended };
    let aborted = outcome(blocking, Ended::As(UploadState::Aborted));
    audit(server, &[outcome(upload_id, Ended::Whole(bytes)), aborted]);
}

fn file(server: &Server, bytes: &[u8]) -> PathBuf {
    let path = server.scratch().join("sent.bin");
    std::fs::write(&path, bytes).unwrap();
    path
}

/// Bytes of chunks that this process of the server took, those of repeats included.
fn received_bytes(server: &Server) -> usize {
    let metrics = get(&server.admin(), "/metrics").unwrap().body;
    let counters = metrics.lines().filter(|line| line.starts_with("sluice_received_bytes_total"));
    counters.map(|line| line.rsplit(' ').next().unwrap().parse::<usize>().unwrap()).sum()
}

/// An upload loop at work.
struct Running {
    process: Child,
    lines: BufReader<ChildStdout>,
}

impl Running {
    fn start(mut command: Command, server: &Server, file: &Path) -> Self {
        command.arg(server.address()).arg(file).arg(CHUNK_BYTES.to_string());
        let mut process = command.stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap());
        Self { process, lines }
    }

    /// The first line that is as wanted.
    fn wait_for(&mut self, wanted: impl Fn(&str) -> bool) -> String {
        loop {
            let mut line = String::new();
            let read = self.lines.read_line(&mut line).unwrap();
            assert!(read > 0, "it ended: {:?}", self.process.wait());
            if wanted(line.trim_end()) {
                return line.trim_end().to_owned();
            }
        }
    }

    /// Waits until so many are acknowledged. Returns how many it set out to send.
    fn wait_for_chunks(&mut self, count: usize) -> usize {
        let line = self.wait_for(|line| line.starts_with(&format!("{count} of ")));
        line.split(' ').nth(2).unwrap().parse().unwrap()
    }

    /// The id of the upload, when it has ended well.
    fn stored(&mut self) -> String {
        let line = self.wait_for(|line| line.starts_with("stored "));
        assert!(self.process.wait().unwrap().success());
        line["stored ".len()..].to_owned()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
