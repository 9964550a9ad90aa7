//! Clients and servers that nobody here wrote, as `scripts/bench-tools` installs them: each puts a
//! short load on, and what it tells must be whole.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use sluice_bench::job::{Job, Load, Order, Size, Time};
use sluice_bench::outcome::Outcome;
use sluice_bench::peer::catalog::{self, Program, ServerContext};

/// Ended when it is dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// In a test the catalog takes the test for the bench.
fn command(program: &Program) -> Command {
    let ours = std::env::current_exe().unwrap().display().to_string();
    let name = match program.command[0] == ours {
        true => env!("CARGO_BIN_EXE_sluice-bench"),
        false => &program.command[0],
    };
    let mut command = Command::new(name);
    command.args(&program.command[1..]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    command
}

fn serve(program: &Program) -> (Running, BufReader<ChildStdout>, String) {
    let mut server = command(program).spawn().unwrap();
    let mut stdout = BufReader::new(server.stdout.take().unwrap());
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    let address = line.strip_prefix("listening ").expect("it serves").trim().to_owned();
    (Running(server), stdout, address)
}

/// Runs the client on the server and gives what it told, the marks checked.
fn outcome(server: &str, client: &str, load: Load) -> Outcome {
    let folder = tempfile::tempdir().unwrap();
    let data_dir = folder.path().join("data");
    let context = ServerContext { listen: "127.0.0.1:0".into(), data_dir, cpu: 0 };
    let server = catalog::server(server, &context).unwrap();
    let (_running, _stdout, address) = serve(&server);
    let job = Job { address, load, extra: server.extra };
    let mut client = command(&catalog::client(client).unwrap()).spawn().unwrap();
    let job = serde_json::to_vec(&job).unwrap();
    client.stdin.take().unwrap().write_all(&job).unwrap();
    let told = client.wait_with_output().unwrap();
    assert!(told.status.success());
    let lines: Vec<&str> = std::str::from_utf8(&told.stdout).unwrap().lines().collect();
    let (last, marks) = lines.split_last().unwrap();
    let outcome: Outcome = serde_json::from_str(last).unwrap();
    assert_eq!(outcome.failed, None);
    assert_eq!(marks, ["begin", "end"]);
    outcome
}

fn load(upload_size: u64, chunk_size: u64) -> Load {
    Load {
        upload_size: Size(upload_size),
        chunk_size: Size(chunk_size),
        order: Order::Shuffled,
        warm_up: Time(Duration::from_millis(200)),
        duration: Time(Duration::from_millis(2_500)),
        ..Load::default()
    }
}

/// All that was counted is there, and in histograms that we read.
fn check(outcome: &Outcome) {
    let latencies = [&outcome.ack, &outcome.ending_ack].map(|each| each.read().unwrap().len());
    assert_eq!(latencies.iter().sum::<u64>(), outcome.chunks);
    assert!(outcome.bytes > 0 && outcome.uploads > 0 && outcome.upload.read().is_some());
    assert_eq!((outcome.sizes_verified, outcome.acks_lost), (outcome.uploads, 0));
    assert_eq!(outcome.series.len(), 2, "a second that isn't whole is left out");
    assert!(outcome.series.iter().map(|second| second.bytes).sum::<u64>() <= outcome.bytes);
}

#[test]
#[ignore = "takes what scripts/bench-tools installs"]
fn stock_grpc_clients_tell_all_of_a_load() {
    for client in ["grpc-go", "grpc-python", "grpc-java"] {
        println!("{client}");
        check(&outcome("tonic-tuned", client, load(300_000, 70_000)));
        let parallel = Load { parallel: 3, promise: false, ..load(300_000, 70_000) };
        check(&outcome("tonic-tuned", client, parallel));
    }
}

#[test]
#[ignore = "takes what scripts/bench-tools installs"]
fn ghz_is_asked_for_whole_uploads() {
    check(&outcome("tonic-tuned", "ghz", load(70_000, 70_000)));
}

#[test]
#[ignore = "takes what scripts/bench-tools installs"]
fn tusd_has_what_was_sent() {
    let outcome = outcome("tusd", "tus", load(300_000, 70_000));
    check(&outcome);
    assert_eq!(outcome.checksums_verified, outcome.uploads);
}

#[test]
#[ignore = "takes what scripts/bench-tools installs"]
fn seaweedfs_has_what_was_sent() {
    for load in [load(300_000, 300_000), load(20 << 20, 8 << 20)] {
        let outcome = outcome("seaweedfs", "s3", load);
        check(&outcome);
        assert_eq!(outcome.checksums_verified, outcome.uploads);
    }
}

#[test]
#[ignore = "takes what scripts/bench-tools installs"]
fn a_load_that_a_stock_client_cant_put_on_is_told() {
    let tools = catalog::tools();
    assert!(Path::new(&tools).exists(), "run scripts/bench-tools");
    for client in ["grpc-go", "grpc-python", "grpc-java", "ghz", "s3"] {
        let mut client = command(&catalog::client(client).unwrap()).spawn().unwrap();
        let load = Load { idle_uploads: 1, ..Load::default() };
        let job = Job { address: "127.0.0.1:1".into(), load, extra: Default::default() };
        let job = serde_json::to_vec(&job).unwrap();
        client.stdin.take().unwrap().write_all(&job).unwrap();
        let told = client.wait_with_output().unwrap();
        let outcome: Outcome = serde_json::from_slice(&told.stdout).unwrap();
        assert!(outcome.failed.unwrap().contains("idle"));
    }
}
