//! A child process that doesn't outlive its value, nor the test that started it.

use std::{
    fs::{self, File},
    io,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// A server that doesn't answer after this long never will.
const PATIENCE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(10);

/// A server's process; dropping it kills it.
pub(crate) struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `command`; what it prints is added to `log`.
    pub(crate) fn spawn(command: &mut Command, log: &Path) -> Self {
        let file = File::options().append(true).create(true).open(log).unwrap();
        command.stdin(Stdio::null()).stdout(file.try_clone().unwrap()).stderr(file);
        // SAFETY: between fork and exec only this system call is made. A test that is killed must
        // leave no server behind.
        unsafe { command.pre_exec(die_with_parent) };
        let child = command.spawn().unwrap_or_else(|error| {
            let program = command.get_program().to_string_lossy();
            panic!("{program}: {error}; scripts/test-tools installs it")
        });
        Self { child, log: log.to_owned() }
    }

    /// Waits until `is_ready`, while the process lives.
    #[track_caller]
    pub(crate) fn until(&mut self, is_ready: impl Fn() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !is_ready() {
            if let Some(ended) = self.child.try_wait().unwrap() {
                panic!("it ended at its start: {ended}\n{}", self.printed());
            }
            assert!(Instant::now() < deadline, "it doesn't answer\n{}", self.printed());
            thread::sleep(POLL);
        }
    }

    pub(crate) fn printed(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: libc::c_int) {
        // SAFETY: a plain system call; the process is our child and not waited for yet.
        let sent = unsafe { libc::kill(self.child.id() as libc::pid_t, signal) };
        assert_eq!(sent, 0, "{}", io::Error::last_os_error());
    }

    /// Waits until it has ended by itself.
    pub(crate) fn wait(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        while self.child.try_wait().unwrap().is_none() {
            assert!(Instant::now() < deadline, "it doesn't end\n{}", self.printed());
            thread::sleep(POLL);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn die_with_parent() -> io::Result<()> {
    // SAFETY: a plain system call.
    match unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
