//! One server: a real process on private ports, with a folder that outlives it.

use std::fs::{self, File};
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use sluice_test_servers::ports;
use tempfile::TempDir;

use super::data_dir::DataDir;
use super::http;

/// A server that isn't ready, or not gone, after this long never will be.
const PATIENCE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(10);
/// Shards at most, so that each has its port.
const SHARDS_MAX: u16 = 2;

/// How a server is started.
#[derive(Debug, Clone)]
pub struct Options {
    /// The address to listen on.
    pub ip: &'static str,
    /// `--cpus`.
    pub cpus: String,
    /// `--memory-limit`.
    pub memory_limit: &'static str,
    /// The settings file.
    pub settings: String,
    /// `FAILPOINTS`: where to die.
    pub failpoints: String,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            ip: "127.0.0.1",
            cpus: two_cpus().to_owned(),
            memory_limit: "512M",
            settings: String::new(),
            failpoints: String::new(),
        }
    }
}

/// `0,1` of a machine with CPUs 0 and 1; one CPU where there is only one.
pub fn two_cpus() -> &'static str {
    static LIST: std::sync::LazyLock<String> = std::sync::LazyLock::new(|| {
        let cpus = allowed_cpus();
        let first: Vec<String> = cpus.iter().take(2).map(ToString::to_string).collect();
        first.join(",")
    });
    &LIST
}

fn allowed_cpus() -> Vec<usize> {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).unwrap();
    sluice_server::config::parse_cpus(list.trim()).unwrap()
}

/// A server, running or not. Dropping it ends the process and removes the folder.
pub struct Server {
    pub options: Options,
    /// What it finds in its environment beside that.
    pub environment: Vec<(String, String)>,
    folder: TempDir,
    listen: u16,
    process: Option<Child>,
    starts: u32,
}

impl Server {
    /// Starts one on an empty folder, and waits until it is ready.
    pub fn start(options: Options) -> Self {
        let mut server = Self::prepare(options);
        server.restart();
        server
    }

    /// One that isn't started yet.
    pub fn prepare(options: Options) -> Self {
        let folder = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        // The shared port, the admin page's, and one for each shard.
        let listen = ports::free(2 + SHARDS_MAX);
        Self { options, environment: Vec::new(), folder, listen, process: None, starts: 0 }
    }

    /// The address that all shards share.
    pub fn address(&self) -> String {
        format!("{}:{}", self.options.ip, self.listen)
    }

    /// Where status and metrics are.
    pub fn admin(&self) -> String {
        format!("127.0.0.1:{}", self.listen + 1)
    }

    /// Where each shard can have its own.
    pub fn shard_addresses(&self) -> Vec<String> {
        (0..SHARDS_MAX)
            .map(|shard| format!("{}:{}", self.options.ip, self.listen + 2 + shard))
            .collect()
    }

    /// Its data directory.
    pub fn data(&self) -> DataDir {
        DataDir::new(self.data_path())
    }

    fn data_path(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// A folder of the test's own, removed with the server.
    pub fn scratch(&self) -> PathBuf {
        let path = self.folder.path().join("scratch");
        fs::create_dir_all(&path).unwrap();
        path
    }

    /// The process, while it runs.
    pub fn pid(&self) -> u32 {
        self.process.as_ref().expect("the server runs").id()
    }

    /// Starts it without waiting for anything.
    pub fn spawn(&mut self) {
        assert!(self.process.is_none(), "it runs already");
        self.starts += 1;
        let settings = self.folder.path().join("sluice.toml");
        fs::write(&settings, &self.options.settings).unwrap();
        let log = File::options().append(true).create(true).open(self.log_path()).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_sluice"));
        command
            .env_clear()
            .envs(self.environment.iter().cloned())
            .arg("serve")
            .args(["--listen", &self.address(), "--admin-listen", &self.admin()])
            .args(["--shard-port-base", &(self.listen + 2).to_string()])
            .args(["--cpus", &self.options.cpus, "--memory-limit", self.options.memory_limit])
            .arg("--config")
            .arg(settings)
            // Relative, as it is by default.
            .args(["--data-dir", "data"])
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        if !self.options.failpoints.is_empty() {
            command.env("FAILPOINTS", &self.options.failpoints);
        } else {
            command.env("RUST_BACKTRACE", "1");
        }
        self.process = Some(command.spawn().unwrap());
    }

    /// Starts it, on what it left behind, and waits until it is ready. `None` if it ended first.
    pub fn try_restart(&mut self) -> Option<ExitStatus> {
        self.spawn();
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answer = http::get(&self.admin(), "/readyz");
            if answer.as_ref().is_some_and(|answer| answer.code == 200) {
                return None;
            }
            if let Some(ended) = self.try_wait() {
                return Some(ended);
            }
            assert!(Instant::now() < deadline, "not ready: {answer:?}\n{}", self.log());
            std::thread::sleep(POLL);
        }
    }

    /// As [`Server::try_restart`], where it must not end.
    pub fn restart(&mut self) {
        if let Some(ended) = self.try_restart() {
            panic!("the server ended at its start: {ended}\n{}", self.log());
        }
    }

    /// Kills it as kill -9 does, and waits until it is gone.
    pub fn kill(&mut self) {
        let mut process = self.process.take().expect("the server runs");
        process.kill().unwrap();
        let ended = process.wait().unwrap();
        assert_eq!(ended.signal(), Some(libc::SIGKILL), "it ended before\n{}", self.log());
    }

    /// Asks it to end.
    pub fn signal_terminate(&self) {
        let sent = Command::new("kill").args(["-TERM", &self.pid().to_string()]).status();
        assert!(sent.unwrap().success());
    }

    /// Asks it to end, and waits until it has, well.
    pub fn terminate(&mut self) {
        self.signal_terminate();
        let ended = self.wait();
        assert!(ended.success(), "{ended}\n{}", self.log());
    }

    /// Waits until it ends by itself.
    pub fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(ended) = self.try_wait() {
                return ended;
            }
            assert!(Instant::now() < deadline, "it doesn't end\n{}", self.log());
            std::thread::sleep(POLL);
        }
    }

    /// How it ended, if it has.
    pub fn try_wait(&mut self) -> Option<ExitStatus> {
        let ended = self.process.as_mut().expect("the server runs").try_wait().unwrap()?;
        self.process = None;
        Some(ended)
    }

    /// What it has printed, over all its starts.
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    fn log_path(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    /// A figure of `/proc/PID/status` in bytes, such as `VmHWM`.
    pub fn memory_bytes(&self, figure: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(figure)).unwrap();
        let kib: u64 = line.trim_matches([':', ' ', '\t', 'k', 'B']).parse().unwrap();
        kib << 10
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            // It may have ended by itself.
            let _ = process.kill();
            let _ = process.wait();
        }
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            let last = lines[lines.len().saturating_sub(60)..].join("\n");
            eprintln!("the server's last words, of {} starts:\n{last}", self.starts);
        }
    }
}

/// Waits until something holds. It tells what still lacks.
#[track_caller]
pub fn eventually(mut lacking: impl FnMut() -> Option<String>) {
    let deadline = Instant::now() + PATIENCE;
    while let Some(lack) = lacking() {
        assert!(Instant::now() < deadline, "{lack}");
        std::thread::sleep(POLL);
    }
}
