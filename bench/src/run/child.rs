//! A process that is started for one repeat: on CPUs of its own, in a group of its own, and dead
//! when this process is.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use crate::clock::now;
use crate::run::cpus::{self, Cpus};

/// What is started.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Program {
    /// Program, then arguments.
    pub command: Vec<String>,
    /// Environment beside ours, of which what begins with SLUICE_ is left out.
    pub environment: Vec<(String, String)>,
}

/// It runs. Dropping it kills it and all that it started.
#[derive(Debug)]
pub struct Child {
    process: std::process::Child,
    lines: Option<Receiver<String>>,
    log: PathBuf,
    ended: Option<ExitStatus>,
}

impl Child {
    /// Starts it, with `input` to read, and its errors in a file.
    ///
    /// # Errors
    /// When it can't be started.
    pub fn start(program: &Program, cpus: &Cpus, input: &[u8], log: &Path) -> io::Result<Self> {
        let (name, arguments) =
            program.command.split_first().ok_or_else(|| io::Error::other("no command"))?;
        let mut command = Command::new(name);
        // Whatever is set for another server would be measured here.
        let ours = std::env::vars_os().map(|(key, _)| key);
        let ours = ours.filter(|key| key.as_encoded_bytes().starts_with(b"SLUICE_"));
        ours.for_each(|key| {
            command.env_remove(key);
        });
        command
            .args(arguments)
            .envs(program.environment.iter().map(|(key, value)| (key, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(log)?)
            .process_group(0);
        let set = cpus.set();
        // SAFETY: between fork and exec it makes two system calls, and allocates nothing.
        unsafe { command.pre_exec(move || cpus::pin(&set).and_then(|()| die_with_parent())) };
        let mut process = command
            .spawn()
            .map_err(|error| io::Error::new(error.kind(), format!("{name}: {error}")))?;
        let stdin = process.stdin.take();
        let stdout = process.stdout.take().expect("asked for above");
        let (sender, lines) = sync_channel(LINES_MAX);
        let mut child = Self { process, lines: Some(lines), log: log.to_owned(), ended: None };
        thread::Builder::new().name("lines".into()).spawn(move || read_lines(stdout, &sender))?;
        // A program that is gone already is told by its end.
        if let Err(error) = stdin.map_or(Ok(()), |mut stdin| stdin.write_all(input))
            && error.kind() != io::ErrorKind::BrokenPipe
        {
            child.kill();
            return Err(error);
        }
        Ok(child)
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// The next line of its standard output, if one comes in that time.
    ///
    /// # Errors
    /// When none came, or there are no more.
    pub fn line(&self, within: Duration) -> Result<String, RecvTimeoutError> {
        let lines = self.lines.as_ref().ok_or(RecvTimeoutError::Disconnected)?;
        lines.recv_timeout(within)
    }

    /// Nobody looks at its lines any more; it may write on.
    pub fn ignore_lines(&mut self) {
        self.lines = None;
    }

    /// Whether it has ended, and how.
    pub fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        if self.ended.is_none() {
            self.ended = self.process.try_wait()?;
        }
        Ok(self.ended)
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// When it doesn't end in that time: then it is killed.
    pub fn wait(&mut self, at_most: Duration) -> io::Result<ExitStatus> {
        let started = now();
        loop {
            if let Some(status) = self.ended()? {
                return Ok(status);
            }
            if now() - started > at_most {
                self.kill();
                let message = format!("it didn't end within {} s", at_most.as_secs());
                return Err(io::Error::new(io::ErrorKind::TimedOut, message));
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Asks it to end.
    pub fn terminate(&self) {
        self.signal(libc::SIGTERM);
    }

    /// Ends it, and all of its group.
    pub fn kill(&mut self) {
        self.signal(libc::SIGKILL);
        if self.ended.is_none() {
            self.ended = self.process.wait().ok();
        }
    }

    /// The end of what it wrote to its log, for the one who looks for the reason.
    pub fn last_words(&self) -> String {
        let text = std::fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
        let last = &lines[lines.len().saturating_sub(3)..];
        match last {
            [] => "it said nothing".into(),
            _ => last.join(" | "),
        }
    }

    /// To its group: as long as it isn't waited for, or others of the group live, that is its own.
    fn signal(&self, signal: libc::c_int) {
        let group = libc::pid_t::try_from(self.pid()).expect("pids are below 2^22");
        // SAFETY: touches no memory.
        unsafe { libc::kill(-group, signal) };
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Lines that may wait to be looked at.
const LINES_MAX: usize = 64;
/// An outcome with all its histograms is far below it.
const LINE_BYTES_MAX: u64 = 64 << 20;

fn die_with_parent() -> io::Result<()> {
    // SAFETY: takes constants and touches no memory.
    match unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Reads on when nobody looks any more: a full pipe would hold the process up.
fn read_lines(output: impl io::Read, sender: &SyncSender<String>) {
    let mut output = BufReader::new(output);
    let mut line = String::new();
    while matches!((&mut output).take(LINE_BYTES_MAX).read_line(&mut line), Ok(1..)) {
        let _ = sender.send(line.trim_end().to_owned());
        line.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(script: &str, input: &[u8]) -> Child {
        // Its own: tests run side by side.
        let log = tempfile::NamedTempFile::new().unwrap().into_temp_path();
        let command = ["sh", "-c", script].map(str::to_owned).to_vec();
        let program = Program { command, environment: vec![("WORD".into(), "said".into())] };
        let all = Cpus::allowed().unwrap();
        Child::start(&program, &all, input, &log).unwrap()
    }

    #[test]
    fn it_is_told_and_tells() {
        let mut child = start("cat; echo $WORD", b"one\ntwo\n");
        let line = || child.line(Duration::from_secs(10)).ok();
        assert_eq!(
            [line(), line(), line(), line()].map(Option::unwrap_or_default),
            ["one", "two", "said", ""]
        );
        assert!(child.wait(Duration::from_secs(10)).unwrap().success());
    }

    #[test]
    fn one_that_hangs_is_killed_with_all_it_started() {
        let mut child = start("sleep 600 & echo $!; wait", b"");
        let started = child.line(Duration::from_secs(10)).unwrap();
        let error = child.wait(Duration::from_millis(20)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        // A process that is killed takes a moment to be gone, and may stay a zombie for long.
        let lives = || {
            let stat = std::fs::read_to_string(format!("/proc/{started}/stat"));
            stat.is_ok_and(|stat| !stat.contains(") Z"))
        };
        while lives() {
            thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let program = Program { command: vec!["/no/such".into()], environment: Vec::new() };
        let all = Cpus::allowed().unwrap();
        let error = Child::start(&program, &all, b"", Path::new("/dev/null")).unwrap_err();
        assert!(error.to_string().contains("/no/such"), "{error}");
    }
}
