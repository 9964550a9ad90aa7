//! What several tests look at: sums, outputs, and programs that nobody here wrote.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use sluice_proto::checksum::Sha256State;
use tokio::runtime::{Builder, Runtime};

use super::Server;

/// Below `target/test-tools`, where `scripts/test-tools` puts it.
pub const PYTHON: &str = "python/bin/python";
/// As [`PYTHON`].
pub const GRPCURL: &str = "bin/grpcurl";

const CONTRACT: [&str; 4] = ["upload", "upload_service", "node_service", "drive_service"];

/// A command of such a program.
pub fn tool(name: &str) -> Command {
    Command::new(test_tools(name))
}

/// What lies below `target/test-tools`.
pub fn test_tools(name: &str) -> PathBuf {
    let path = root().join("target/test-tools").join(name);
    assert!(path.exists(), "{} is missing: scripts/test-tools gets it", path.display());
    path
}

/// Makes Python's stubs of the contract, by its own tools.
pub fn make_stubs(folder: &Path) {
    std::fs::create_dir(folder).unwrap();
    let contract = root().join("proto/proto");
    let mut protoc = tool(PYTHON);
    protoc.args(["-m", "grpc_tools.protoc"]).arg("-I").arg(&contract);
    for kind in ["--python_out", "--grpc_python_out"] {
        protoc.arg(kind).arg(folder);
    }
    for file in CONTRACT {
        protoc.arg(contract.join(format!("sluice/upload/v1/{file}.proto")));
    }
    text(&protoc.output().unwrap());
}

/// The command, in the scratch folder of the server that it talks to.
pub fn sluice(server: &Server) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sluice"));
    command.env_clear().env("SLUICE_SERVER", server.address()).stdin(Stdio::null());
    command.current_dir(server.scratch());
    command
}

/// The checkout.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// What clients run on. Two threads: enough to have calls overlap while the test itself waits.
pub fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut state = Sha256State::new();
    state.update(bytes);
    state.finish()
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The standard output of a command that must end well.
pub fn text(output: &Output) -> &str {
    assert!(
        output.status.success(),
        "{}\n{}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    std::str::from_utf8(&output.stdout).unwrap()
}
