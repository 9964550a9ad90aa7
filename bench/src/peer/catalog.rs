//! Which program serves, or puts load on, for each kind that a run's file names; and why it can't,
//! where it isn't there.
//!
//! Every server here prints `listening ADDRESS` once it accepts, and ends by SIGTERM. Every client
//! reads a [`Job`](crate::job::Job) and ends with an [`Outcome`](crate::outcome::Outcome). Each is
//! one process: what replaces itself by a product keeps its process id.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::peer::settings;

/// What a server is told when it starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerContext {
    /// `127.0.0.1:0` takes a free port.
    pub listen: String,
    /// A folder of its own, for those that store. It is there, and empty.
    pub data_dir: PathBuf,
    /// The CPU of those that pin themselves.
    pub cpu: usize,
}

/// How a server or client is started.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Program {
    /// Program, then arguments.
    pub command: Vec<String>,
    /// Environment beside ours.
    pub environment: Vec<(String, String)>,
    /// What a reader of the report is shown.
    pub settings: BTreeMap<String, String>,
    /// Of a server: what [`Job::extra`](crate::job::Job::extra) tells its clients.
    pub extra: BTreeMap<String, String>,
}

/// Why a kind can't be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Missing {
    /// There is no such kind here.
    #[error("no peer is called {0:?}")]
    Unknown(String),
    /// It was to be installed.
    #[error("{kind} is not installed: {why}")]
    NotInstalled {
        /// Kind of server or client.
        kind: &'static str,
        /// One line.
        why: String,
    },
    /// This very program can't be found.
    #[error("this program doesn't know where it lies: {0}")]
    NoProgram(String),
}

/// Kinds of servers that [`server`] knows.
pub const SERVERS: [&str; 12] = [
    "tonic-stock",
    "tonic-tuned",
    "sink",
    "sink-rotating",
    "sink-glommio",
    "sink-s3",
    "forward",
    "forward-rotating",
    "tusd",
    "seaweedfs",
    "redis",
    "redis-log",
];

/// Kinds of clients that [`client`] knows.
pub const CLIENTS: [&str; 6] = ["tus", "s3", "grpc-go", "grpc-java", "grpc-python", "ghz"];

/// How a server of this kind is started.
///
/// # Errors
/// When it isn't here.
pub fn server(kind: &str, context: &ServerContext) -> Result<Program, Missing> {
    let kind = known(&SERVERS, kind)?;
    let mut command = match kind {
        "tonic-stock" => vec![beside_us("sluice-bench-tonic-stock", kind)?],
        _ => vec![ourselves()?, "peer".into(), kind.into()],
    };
    command.extend(["--listen".into(), context.listen.clone()]);
    let mut extra = BTreeMap::new();
    match kind {
        "sink-glommio" => command.extend(["--cpu".into(), context.cpu.to_string()]),
        "tusd" | "seaweedfs" | "redis" | "redis-log" => {
            match kind {
                "tusd" => drop(installed("bin/tusd", kind)?),
                "seaweedfs" => drop(installed("bin/weed", kind)?),
                _ => on_path("redis-server", kind)?,
            }
            let data_dir = context.data_dir.display().to_string();
            command.extend(["--data-dir".into(), data_dir.clone()]);
            extra.insert("data_dir".into(), data_dir);
        }
        _ => {}
    }
    if matches!(kind, "seaweedfs" | "sink-s3") {
        extra.extend(settings::s3_access());
    }
    let settings = with_version(kind, settings::of_server(kind));
    Ok(Program { command, environment: Vec::new(), settings, extra })
}

/// How a client of this kind is started.
///
/// # Errors
/// When it isn't here.
pub fn client(kind: &str) -> Result<Program, Missing> {
    let kind = known(&CLIENTS, kind)?;
    let command = match kind {
        "tus" => vec![ourselves()?, "load".into(), kind.into()],
        "grpc-go" => vec![installed("bin/bench-grpc-go", kind)?],
        "grpc-java" => {
            let classes = installed("java/target/classes", kind)?;
            let libraries = installed("java/target/dependency", kind)?;
            vec!["java".into(), "-cp".into(), format!("{classes}:{libraries}/*"), "Bench".into()]
        }
        _ => {
            let python = installed("python/bin/python", kind)?;
            let script = match kind {
                "s3" => "s3.py",
                "ghz" => "ghz.py",
                _ => "grpc_python.py",
            };
            let script = installed(&format!("clients/python/{script}"), kind)?;
            if kind == "ghz" {
                installed("bin/ghz", kind)?;
            }
            vec![python, script]
        }
    };
    let settings = with_version(kind, settings::of_client(kind));
    Ok(Program { command, environment: Vec::new(), settings, extra: BTreeMap::new() })
}

/// Where `scripts/bench-tools` puts what it installs.
pub fn tools() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
    root.expect("the crate lies in the workspace").join("target/bench-tools")
}

fn known(kinds: &[&'static str], kind: &str) -> Result<&'static str, Missing> {
    let known = kinds.iter().find(|known| **known == kind);
    known.copied().ok_or_else(|| Missing::Unknown(kind.into()))
}

fn ourselves() -> Result<String, Missing> {
    match std::env::current_exe() {
        Ok(program) => Ok(program.display().to_string()),
        Err(error) => Err(Missing::NoProgram(error.to_string())),
    }
}

/// Another program of this crate: cargo lays them side by side, those of tests one folder below.
fn beside_us(name: &str, kind: &'static str) -> Result<String, Missing> {
    let ours = PathBuf::from(ourselves()?);
    let mut folders = ours.ancestors().skip(1).take(2);
    let found = folders.find_map(|folder| Some(folder.join(name)).filter(|path| path.exists()));
    let why = || format!("{name} doesn't lie beside {}", ours.display());
    found
        .map(|path| path.display().to_string())
        .ok_or_else(|| Missing::NotInstalled { kind, why: why() })
}

/// Adds the version that was installed, where that is noted.
fn with_version(kind: &str, mut settings: BTreeMap<String, String>) -> BTreeMap<String, String> {
    if let Ok(version) = std::fs::read_to_string(tools().join("versions").join(kind)) {
        settings.insert("version".into(), version.trim().into());
    }
    settings
}

/// A program that the system has.
fn on_path(name: &str, kind: &'static str) -> Result<(), Missing> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let is_there = std::env::split_paths(&path).any(|folder| folder.join(name).exists());
    let why = || format!("no {name} on this machine: install Debian's redis-server");
    is_there.then_some(()).ok_or_else(|| Missing::NotInstalled { kind, why: why() })
}

/// A path below [`tools`], if it is there; else what the installing script left as a reason.
fn installed(path: &str, kind: &'static str) -> Result<String, Missing> {
    let tools = tools();
    let found = tools.join(path);
    if found.exists() {
        return Ok(found.display().to_string());
    }
    let told = std::fs::read_to_string(tools.join("missing").join(kind));
    let why = told.map_or_else(|_| "run scripts/bench-tools".into(), |text| text.trim().into());
    Err(Missing::NotInstalled { kind, why })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context() -> ServerContext {
        let data_dir = PathBuf::from("/nowhere");
        ServerContext { listen: "127.0.0.1:0".into(), data_dir, cpu: 3 }
    }

    #[test]
    fn what_this_program_serves_is_always_there_and_tells_its_settings() {
        for kind in ["tonic-tuned", "sink", "sink-rotating", "sink-glommio", "sink-s3", "forward"] {
            let program = server(kind, &context()).unwrap();
            assert_eq!(program.command[1..5], ["peer", kind, "--listen", "127.0.0.1:0"]);
            assert!(!program.settings.is_empty(), "{kind}");
        }
        let glommio = server("sink-glommio", &context()).unwrap();
        assert!(glommio.command.ends_with(&["--cpu".into(), "3".into()]));
    }

    #[test]
    fn every_kind_is_there_or_says_in_one_line_why_not() {
        let servers = SERVERS.iter().map(|kind| server(kind, &context()));
        for program in servers.chain(CLIENTS.iter().map(|kind| client(kind))) {
            match program {
                Ok(program) => assert!(!program.settings.is_empty(), "{:?}", program.command),
                Err(missing) => assert_eq!(missing.to_string().lines().count(), 1, "{missing}"),
            }
        }
    }

    #[test]
    fn what_nobody_knows_is_told() {
        let unknown = Missing::Unknown("nginx".into());
        assert_eq!(server("nginx", &context()), Err(unknown.clone()));
        assert_eq!(client("nginx"), Err(unknown));
    }
}
