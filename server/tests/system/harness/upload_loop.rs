//! An upload loop of `docs/clients` at work.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use super::{PYTHON, Server, make_stubs, root, tool};

/// Small, so that a kill comes amid many.
pub const CHUNK_BYTES: usize = 128 << 10;
/// The last chunk is a short one.
pub const FILE_BYTES: usize = 200 * CHUNK_BYTES + 12_345;

/// How the one in Python is run, but for its arguments.
pub fn python_loop(server: &Server) -> Command {
    let stubs = server.scratch().join("stubs");
    if !stubs.exists() {
        make_stubs(&stubs);
    }
    let mut command = tool(PYTHON);
    command.env("PYTHONPATH", &stubs).arg(root().join("docs/clients/python/upload.py"));
    command
}

/// A file of these bytes.
pub fn file_to_send(server: &Server, bytes: &[u8]) -> PathBuf {
    let path = server.scratch().join("sent.bin");
    std::fs::write(&path, bytes).unwrap();
    path
}

/// A running one.
pub struct UploadLoop {
    process: Child,
    lines: BufReader<ChildStdout>,
}

impl UploadLoop {
    /// Starts one. `address`: the server's, or a proxy's.
    pub fn start(mut command: Command, address: &str, file: &Path) -> Self {
        command.arg(address).arg(file).arg(CHUNK_BYTES.to_string());
        let mut process = command.stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap());
        Self { process, lines }
    }

    /// The first line that is as wanted.
    pub fn wait_for(&mut self, wanted: impl Fn(&str) -> bool) -> String {
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
    pub fn wait_for_chunks(&mut self, count: usize) -> usize {
        let line = self.wait_for(|line| line.starts_with(&format!("{count} of ")));
        line.split(' ').nth(2).unwrap().parse().unwrap()
    }

    /// Kills it, as kill -9 does.
    pub fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// It hasn't ended yet.
    #[track_caller]
    pub fn assert_runs(&mut self) {
        assert!(self.process.try_wait().unwrap().is_none(), "it ended already");
    }

    /// The id of the upload, when it has ended well.
    pub fn stored(&mut self) -> String {
        let line = self.wait_for(|line| line.starts_with("stored "));
        assert!(self.process.wait().unwrap().success());
        line["stored ".len()..].to_owned()
    }
}

impl Drop for UploadLoop {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
