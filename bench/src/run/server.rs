//! A server that is started for one repeat.

use std::path::Path;
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

use crate::clock::now;
use crate::run::child::{Child, Program};
use crate::run::cpus::Cpus;
use crate::run::{Ended, Interrupt};

/// It serves.
#[derive(Debug)]
pub struct Server {
    child: Child,
    address: String,
    /// Whether it must end by itself, and with 0.
    drains: bool,
}

impl Server {
    /// Starts one and waits until it says where it serves.
    ///
    /// # Errors
    /// When it can't be started, ends, or says nothing.
    pub fn start(
        program: &Program,
        cpus: &Cpus,
        drains: bool,
        log: &Path,
        interrupt: &Interrupt,
    ) -> Result<Self, Ended> {
        let mut child = Child::start(program, cpus, b"", log)?;
        let started = now();
        let address = loop {
            interrupt.check()?;
            match child.line(LOOK) {
                Ok(line) => match address_in(&line) {
                    Some(address) => break address.to_owned(),
                    None => continue,
                },
                Err(RecvTimeoutError::Timeout) if now() - started < START_MAX => {}
                Err(RecvTimeoutError::Timeout) => {
                    let last = child.last_words();
                    return Err(Ended::failed(format!("the server didn't serve in time: {last}")));
                }
                Err(RecvTimeoutError::Disconnected) => {
                    let last = child.last_words();
                    return Err(Ended::failed(format!("the server ended at once: {last}")));
                }
            }
        };
        child.ignore_lines();
        Ok(Self { child, address, drains })
    }

    /// Where it serves.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.pid()
    }

    /// Whether it still runs.
    ///
    /// # Errors
    /// When it has ended.
    pub fn check(&mut self) -> Result<(), Ended> {
        match self.child.ended()? {
            None => Ok(()),
            Some(status) => {
                let last = self.child.last_words();
                Err(Ended::failed(format!("the server ended with {status}: {last}")))
            }
        }
    }

    /// What it wrote to its log last.
    pub fn last_words(&self) -> String {
        self.child.last_words()
    }

    /// Ends it by SIGTERM.
    ///
    /// # Errors
    /// When one that must drain doesn't end with 0.
    pub fn stop(mut self) -> Result<(), Ended> {
        self.check()?;
        self.child.terminate();
        match self.child.wait(STOP_MAX) {
            Ok(status) if self.drains && !status.success() => {
                let last = self.child.last_words();
                Err(Ended::failed(format!("the server drained and ended with {status}: {last}")))
            }
            Err(error) if self.drains => {
                Err(Ended::failed(format!("the server didn't drain: {error}")))
            }
            _ => Ok(()),
        }
    }
}

const LOOK: Duration = Duration::from_millis(100);
const START_MAX: Duration = Duration::from_secs(60);
const STOP_MAX: Duration = Duration::from_secs(30);

/// The address in `gRPC ADDRESS   status …`, or `listening ADDRESS`.
fn address_in(line: &str) -> Option<&str> {
    let rest = line.strip_prefix("gRPC ").or_else(|| line.strip_prefix("listening "))?;
    rest.split_whitespace().next()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(script: &str, drains: bool) -> Result<Server, String> {
        // Its own: tests run side by side.
        let log = tempfile::NamedTempFile::new().unwrap().into_temp_path();
        let command = ["sh", "-c", script].map(str::to_owned).to_vec();
        let program = Program { command, environment: Vec::new() };
        let all = Cpus::allowed().unwrap();
        let server = Server::start(&program, &all, drains, &log, &Interrupt::default());
        server.map_err(|ended| ended.to_string())
    }

    #[test]
    fn the_address_is_found_in_the_banner() {
        let line = "gRPC 127.0.0.1:7070   status http://127.0.0.1:7080   data data";
        assert_eq!(address_in(line), Some("127.0.0.1:7070"));
        assert_eq!(address_in("listening http://[::1]:80/x"), Some("http://[::1]:80/x"));
        assert_eq!(address_in("sluice 0.1.0 · 2 shards"), None);
    }

    #[test]
    fn one_that_never_serves_is_told_with_its_last_words() {
        let error = start("echo 'no such setting' >&2", false).unwrap_err();
        assert!(error.contains("ended at once: no such setting"), "{error}");
    }

    #[test]
    fn one_that_dies_is_noticed() {
        let mut server = start("echo listening here; exec sleep 0", false).unwrap();
        assert_eq!(server.address(), "here");
        while server.check().is_ok() {
            std::thread::sleep(LOOK);
        }
        assert!(server.stop().is_err());
    }

    #[test]
    fn only_one_that_drains_must_end_with_0() {
        let script = "trap 'exit 3' TERM; echo listening here; while :; do sleep 0.01; done";
        assert!(start(script, false).unwrap().stop().is_ok());
        let error = start(script, true).unwrap().stop().unwrap_err().to_string();
        assert!(error.contains("exit status: 3"), "{error}");
    }
}
