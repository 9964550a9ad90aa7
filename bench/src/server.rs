//! A server that is started for one run, and ended after it.

use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A server process with a fresh data directory. Dropping it kills it.
#[derive(Debug)]
pub struct Server {
    process: Child,
    address: String,
    folder: PathBuf,
}

impl Server {
    /// Starts `command` (program, then arguments) on free ports, and waits until it says where it
    /// serves. It stores in a folder of its own below `folder`; what an earlier run left there goes.
    ///
    /// # Errors
    /// When it can't be started, or ends before it serves.
    pub fn start(
        command: &[String],
        environment: &[(String, String)],
        folder: &Path,
    ) -> io::Result<Self> {
        let (program, arguments) =
            command.split_first().ok_or_else(|| io::Error::other("no command for the server"))?;
        // Whatever else lies in the folder that was named isn't ours to remove.
        let folder = folder.join("sluice-bench-server");
        match fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => fs::create_dir_all(&folder)?,
        }
        let log = folder.join("log");
        let mut process = Command::new(program)
            .args(arguments)
            .args(["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--data-dir"])
            .arg(folder.join("data"))
            .envs(environment.iter().map(|(key, value)| (key, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(&log)?)
            .spawn()?;
        let stdout = process.stdout.take().expect("asked for above");
        let address = BufReader::new(stdout)
            .lines()
            .map_while(Result::ok)
            .find_map(|line| address_in(&line).map(str::to_owned));
        let Some(address) = address else {
            process.wait()?;
            let message = format!("the server ended before it served: {}", log.display());
            return Err(io::Error::other(message));
        };
        Ok(Self { process, address, folder })
    }

    /// Where it serves.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Ends it by SIGTERM, and removes what it stored.
    ///
    /// # Errors
    /// When it didn't end with 0: that is a finding, so its folder stays.
    pub fn stop(mut self) -> io::Result<()> {
        let pid = libc::pid_t::try_from(self.pid()).map_err(io::Error::other)?;
        // SAFETY: touches no memory; the process is ours and not yet waited for.
        if unsafe { libc::kill(pid, libc::SIGTERM) } != 0 {
            return Err(io::Error::last_os_error());
        }
        let status = self.process.wait()?;
        match status.success() {
            true => fs::remove_dir_all(&self.folder),
            false => {
                let folder = self.folder.display();
                Err(io::Error::other(format!("the server ended with {status}: {folder}")))
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // After `stop` there is nothing left to kill.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The address in `gRPC ADDRESS   status …`.
fn address_in(line: &str) -> Option<&str> {
    line.strip_prefix("gRPC ")?.split_whitespace().next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_found_in_the_banner() {
        let line = "gRPC 127.0.0.1:7070   status http://127.0.0.1:7080   data data";
        assert_eq!(address_in(line), Some("127.0.0.1:7070"));
        assert_eq!(address_in("sluice 0.1.0 · 2 shards"), None);
    }

    #[test]
    fn a_server_that_never_serves_is_told() {
        let folder = std::env::temp_dir().join(format!("sluice-bench-{}", std::process::id()));
        let started = Server::start(&["true".into()], &[], &folder);
        assert!(started.unwrap_err().to_string().contains("before it served"));
        fs::remove_dir_all(folder).unwrap();
    }
}
