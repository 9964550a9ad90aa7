//! The command against a real server: what is put is what lies in the data directory, whoever was
//! killed on the way, and the exit code says what to do next.

use std::io::Write as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::harness::{
    Ended, Options, Outcome, Server, audit, eventually, get, hex, noise, sha256, sluice, text,
};

/// Small chunks, one after the other, so that there is time to interrupt.
const SLOWLY: [&str; 4] = ["--chunk-size", "16K", "--parallel", "1"];
const SLOW_BYTES: usize = 40 << 20;
const INTERRUPT_AFTER_BYTES: u64 = 1 << 20;

fn file(server: &Server, name: &str, bytes: &[u8]) -> PathBuf {
    let path = server.scratch().join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap_or_else(|| panic!("{output:?}"))
}

/// What `put --json` told, a line a file.
fn told(output: &Output) -> Vec<Value> {
    text(output).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn outcome(told: &Value, name: &str, bytes: &[u8]) -> Outcome {
    let upload_id = told["upload_id"].as_str().unwrap().to_owned();
    Outcome { upload_id, filename: name.into(), ended: Ended::Whole(bytes.to_vec()) }
}

#[test]
fn files_and_the_standard_input_are_stored_as_they_are() {
    let server = Server::start(Options::default());
    let (big, small) = (noise(1, 20_000_003), noise(2, 10));
    file(&server, "big.iso", &big);
    file(&server, "small \u{1f600}.txt", &small);
    file(&server, "empty", b"");
    let put = ["put", "--json", "big.iso", "small \u{1f600}.txt", "empty"];
    let several = told(&sluice(&server).args(put).output().unwrap());
    assert_eq!(several.len(), 3);
    assert_eq!(several[0]["sha256"], hex(&sha256(&big)));

    let piped = noise(3, 3_000_000);
    let mut command = sluice(&server);
    command.args(["put", "--json", "-", "--chunk-size", "500K"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let feeding = {
        let piped = piped.clone();
        std::thread::spawn(move || input.write_all(&piped).unwrap())
    };
    let stdin = told(&child.wait_with_output().unwrap());
    feeding.join().unwrap();

    // The same again is the same upload, found by its file.
    let again = told(&sluice(&server).args(["put", "--json", "big.iso"]).output().unwrap());
    assert_eq!(again[0]["upload_id"], several[0]["upload_id"]);
    assert_eq!(again[0]["resumed_bytes"], big.len());

    let outcomes = [
        outcome(&several[0], "big.iso", &big),
        outcome(&several[1], "small \u{1f600}.txt", &small),
        outcome(&several[2], "empty", b""),
        outcome(&stdin[0], "stdin", &piped),
    ];
    audit(server, &outcomes);
}

/// Starts putting a file slowly, and comes back when some of it is in.
fn put_until_some_is_in(server: &Server, path: &Path) -> std::process::Child {
    let mut command = sluice(server);
    command.args(["put", "--json"]).args(SLOWLY).arg(path);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let admin = server.admin();
    eventually(|| {
        let page = get(&admin, "/status.json")?.body;
        let status: Value = serde_json::from_str(&page).unwrap();
        let received = status["chunks"]["received_bytes"].as_u64().unwrap();
        (received < INTERRUPT_AFTER_BYTES).then(|| format!("only {received} bytes came"))
    });
    child
}

fn put_again(server: &Server, path: &Path) -> Value {
    let again = sluice(server).args(["put", "--json"]).args(SLOWLY).arg(path).output().unwrap();
    told(&again).remove(0)
}

#[test]
fn a_killed_put_goes_on_where_it_was() {
    let server = Server::start(Options::default());
    let bytes = noise(4, SLOW_BYTES);
    let path = file(&server, "big.iso", &bytes);
    let mut child = put_until_some_is_in(&server, &path);
    child.kill().unwrap();
    let killed = child.wait().unwrap();
    assert_eq!(killed.signal(), Some(libc::SIGKILL), "it ended too early: {killed}");
    let again = put_again(&server, &path);
    let resumed = again["resumed_bytes"].as_u64().unwrap();
    assert!((1..SLOW_BYTES as u64).contains(&resumed), "{again}");
    let outcomes = [outcome(&again, "big.iso", &bytes)];
    audit(server, &outcomes);
}

#[test]
fn an_interrupted_put_says_so_and_goes_on_where_it_was() {
    let server = Server::start(Options::default());
    let bytes = noise(5, SLOW_BYTES);
    let path = file(&server, "big.iso", &bytes);
    let child = put_until_some_is_in(&server, &path);
    let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
    let paused = child.wait_with_output().unwrap();
    assert_eq!(code(&paused), 5, "{paused:?}");
    let said = String::from_utf8_lossy(&paused.stderr);
    assert!(said.contains("the same command goes on from there"), "{said}");
    let again = put_again(&server, &path);
    assert!(again["resumed_bytes"].as_u64().unwrap() >= INTERRUPT_AFTER_BYTES / 2, "{again}");
    let outcomes = [outcome(&again, "big.iso", &bytes)];
    audit(server, &outcomes);
}

#[test]
fn a_put_outlives_its_server() {
    let mut server = Server::start(Options::default());
    let bytes = noise(6, SLOW_BYTES);
    let path = file(&server, "big.iso", &bytes);
    let mut child = put_until_some_is_in(&server, &path);
    server.kill();
    assert!(child.try_wait().unwrap().is_none(), "it waits for the server");
    server.restart();
    let stored = told(&child.wait_with_output().unwrap()).remove(0);
    let outcomes = [outcome(&stored, "big.iso", &bytes)];
    audit(server, &outcomes);
}

#[test]
fn status_and_exit_codes_tell_what_became_of_it() {
    let server = Server::start(Options::default());
    let bytes = noise(7, 100_000);
    file(&server, "a.bin", &bytes);
    let run = |words: &[&str]| sluice(&server).args(words).output().unwrap();
    let stored = told(&run(&["put", "--json", "--meta", "k=v", "a.bin"])).remove(0);
    let upload_id = stored["upload_id"].as_str().unwrap();
    for words in [&["status", upload_id][..], &["status", "-w", upload_id]] {
        let status = run(words);
        assert!(text(&status).starts_with("COMPLETED  default/a.bin  97.7 KiB"), "{status:?}");
    }
    for (words, expected, why) in [
        (&["put", "--drive", "nowhere", "a.bin"][..], 3, "DRIVE_UNKNOWN"),
        (&["put", "--no-resume", "--if-not-exists", "a.bin"], 3, "NAME_EXISTS"),
        (&["status", "nobody's"], 3, "UPLOAD_UNKNOWN"),
        (&["abort", upload_id], 3, "UPLOAD_ENDED"),
        (&["put", "missing.bin"], 2, "missing.bin"),
        (&["put", "/dev/null"], 2, "no plain file"),
        (&["put", "--server", "127.0.0.1:1", "a.bin"], 5, "can't connect"),
    ] {
        let refused = run(words);
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert_eq!(code(&refused), expected, "{words:?}: {said}");
        assert!(said.contains(why), "{words:?}: {said}");
    }
    let outcomes = [outcome(&stored, "a.bin", &bytes)];
    audit(server, &outcomes);
}

#[test]
fn doctor_finds_nothing_that_stops_a_server_that_runs() {
    let server = Server::start(Options::default());
    let folder = server.scratch().join("data");
    let mut command = sluice(&server);
    command.args(["doctor", "--json", "--memory-limit", "256M", "--data-dir"]).arg(folder);
    let checked = command.output().unwrap();
    let report: Value = serde_json::from_str(text(&checked)).unwrap();
    assert!(report.to_string().contains("io_uring"), "{report}");
}
