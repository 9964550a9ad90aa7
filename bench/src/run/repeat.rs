//! One repeat of a run: a server on a fresh folder, a client, and what is seen of both.

use std::fs;
use std::path::Path;
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant, SystemTime};

use crate::clock::{now, wall};
use crate::job::{Job, Load};
use crate::outcome::Outcome;
use crate::result::{Repeat, Sample, Taken};
use crate::run::backend;
use crate::run::child::Child;
use crate::run::cpus::Cpus;
use crate::run::layout::{Layout, Start};
use crate::run::mark::{Looked, Mark};
use crate::run::proc;
use crate::run::server::Server;
use crate::run::syscalls::Syscalls;
use crate::run::{Ended, Interrupt};
use crate::suite::{Run, ServerKind};

/// What a repeat is given.
#[derive(Debug, Clone, Copy)]
pub struct Given<'a> {
    /// Where things run.
    pub layout: &'a Layout,
    /// What is run.
    pub run: &'a Run,
    /// The load; `offered` is in bytes, if it is anything.
    pub load: &'a Load,
    /// Which round.
    pub round: usize,
    /// Made for this repeat, removed after it.
    pub folder: &'a Path,
    /// Whether the server's system calls are counted, which costs it something.
    pub count_syscalls: bool,
    /// Whether to go on.
    pub interrupt: &'a Interrupt,
}

/// Does it. The second is when the measured time began.
///
/// # Errors
/// Why the repeat doesn't count.
pub fn repeat(given: Given<'_>) -> Result<(Repeat, SystemTime), Ended> {
    let data_dir = given.folder.join("data");
    fs::create_dir_all(&data_dir)?;
    let mut start = given.layout.start(given.run, &data_dir).map_err(Ended::failed)?;
    let cpus = given.layout.cpus_of(given.run);
    let backend = backend::start(&given, &mut start)?;
    let server = match &start.server {
        None => None,
        Some(program) => {
            let drains = given.run.server.kind == ServerKind::Sluice;
            let log = given.folder.join("server.log");
            Some(Server::start(program, &cpus, drains, &log, given.interrupt)?)
        }
    };
    let mut watch = Watch::new(given, server, backend.as_ref(), &cpus)?;
    let outcome = match &start.client {
        Some(_) => watch.load(&start)?,
        None => watch.rest()?,
    };
    let finished = watch.finish(outcome)?;
    // Only now: the server drains into it.
    backend.map_or(Ok(()), Server::stop)?;
    Ok(finished)
}

/// Looks at a repeat while it goes on.
struct Watch<'a> {
    given: Given<'a>,
    server: Option<Server>,
    looked: Looked,
    begin: Option<(Mark, SystemTime)>,
    end: Option<Mark>,
    rss_begin_bytes: u64,
    rss_peak_bytes: u64,
    client_rss_bytes: (u64, u64),
    idle_rss_bytes: (Option<u64>, Option<u64>),
    samples: Vec<Sample>,
    last_sample: Option<Instant>,
}

/// Memory is looked at so often.
const LOOK: Duration = Duration::from_millis(50);
/// A long run has no more samples than this.
const SAMPLES_MAX: u32 = 600;
/// A server at rest is left alone for so long before it is measured.
const SETTLE: Duration = Duration::from_secs(2);
/// For a client to get ready, beside its warm-up and what else it is asked for.
const BEGIN_MAX: Duration = Duration::from_secs(60);
/// For opening one idle upload.
const IDLE_UPLOAD_MAX: Duration = Duration::from_millis(20);
/// For what is under way at the end, and to verify it.
const VERIFY_MAX: Duration = Duration::from_secs(180);
/// A client that used more of its CPUs than this may have been the limit.
const BUSY: f64 = 0.85;

impl<'a> Watch<'a> {
    fn new(
        given: Given<'a>,
        server: Option<Server>,
        backend: Option<&Server>,
        cpus: &Cpus,
    ) -> Result<Self, Ended> {
        let pid = server.as_ref().map(Server::pid);
        let syscalls = match pid.filter(|_| given.count_syscalls) {
            // Most machines don't let us; then there is no figure.
            Some(pid) => Syscalls::count(pid).ok(),
            None => None,
        };
        let server_cpus = cpus.numbers().to_vec();
        Ok(Self {
            given,
            server,
            looked: Looked {
                server: pid.into_iter().collect(),
                client: Vec::new(),
                backend: backend.map(Server::pid).into_iter().collect(),
                server_cpus,
                syscalls,
            },
            begin: None,
            end: None,
            rss_begin_bytes: 0,
            rss_peak_bytes: 0,
            client_rss_bytes: (0, 0),
            idle_rss_bytes: (None, None),
            samples: Vec::new(),
            last_sample: None,
        })
    }

    /// Has the client put its load on.
    fn load(&mut self, start: &Start) -> Result<Outcome, Ended> {
        let address = self.server.as_ref().map_or_else(String::new, |s| s.address().to_owned());
        let mut extra = start.extra.clone();
        let server = &self.given.run.server;
        if server.kind == ServerKind::Sluice {
            extra.insert("shards".into(), server.shards.to_string());
        }
        let job = Job { address, load: self.given.load.clone(), extra };
        let job = serde_json::to_vec(&job).map_err(|error| Ended::failed(error.to_string()))?;
        let program = start.client.as_ref().expect("the caller has looked");
        let log = self.given.folder.join("client.log");
        let cpus = self.given.layout.client_cpus_of(self.given.run);
        let mut client = Child::start(program, &cpus, &job, &log)?;
        self.looked.client = vec![client.pid()];
        let told = self.listen(&mut client).and_then(|told| {
            let status = client.wait(Duration::from_secs(10))?;
            match status.success() {
                true => Ok(told),
                false => Err(Ended::failed(format!("the client ended with {status}"))),
            }
        });
        let told = told.map_err(|ended| match ended {
            Ended::Failed(why) => Ended::Failed(format!("{why}: {}", client.last_words())),
            other => other,
        })?;
        let outcome: Outcome = serde_json::from_str(&told)
            .map_err(|error| Ended::failed(format!("the client's outcome: {error}")))?;
        Ok(outcome)
    }

    /// Follows what the client says to its last line.
    fn listen(&mut self, client: &mut Child) -> Result<String, Ended> {
        let started = now();
        let mut last = String::new();
        loop {
            self.given.interrupt.check()?;
            match client.line(LOOK) {
                Ok(line) => match line.as_str() {
                    "begin" => self.begin()?,
                    "end" => self.end = Some(self.looked.mark()?),
                    "before-idle" => self.idle_rss_bytes.0 = Some(self.server_rss()?),
                    "idle" => self.idle_rss_bytes.1 = Some(self.server_rss()?),
                    _ => last = line,
                },
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(last),
            }
            self.look()?;
            self.check_time(started)?;
        }
    }

    fn check_time(&self, started: Instant) -> Result<(), Ended> {
        let load = self.given.load;
        let idle = u32::try_from(load.idle_uploads).unwrap_or(u32::MAX);
        let (since, limit, what) = match (&self.begin, &self.end) {
            (_, Some(end)) => (end.at, VERIFY_MAX, "end after the measured time"),
            (Some((begin, _)), _) => {
                (begin.at, load.duration.0 * 2 + BEGIN_MAX, "end the measured time")
            }
            _ => {
                let limit = BEGIN_MAX + load.warm_up.0 * 2 + IDLE_UPLOAD_MAX.saturating_mul(idle);
                (started, limit, "begin")
            }
        };
        match now() - since > limit {
            true => {
                let seconds = limit.as_secs();
                Err(Ended::failed(format!("the client didn't {what} within {seconds} s")))
            }
            false => Ok(()),
        }
    }

    /// Leaves the server at rest, and measures that.
    fn rest(&mut self) -> Result<Outcome, Ended> {
        self.wait(SETTLE)?;
        self.begin()?;
        self.wait(self.given.load.duration.0)?;
        let end = self.looked.mark()?;
        let (begin, _) = self.begin.as_ref().expect("it began above");
        let seconds = (end.at - begin.at).as_secs_f64();
        self.end = Some(end);
        Ok(Outcome { seconds, ..Outcome::default() })
    }

    fn wait(&mut self, time: Duration) -> Result<(), Ended> {
        let started = now();
        while now() - started < time {
            self.given.interrupt.check()?;
            std::thread::sleep(LOOK);
            self.look()?;
        }
        Ok(())
    }

    fn begin(&mut self) -> Result<(), Ended> {
        self.rss_begin_bytes = self.server_rss()?;
        self.client_rss_bytes.0 = self.client_rss();
        self.begin = Some((self.looked.mark()?, wall()));
        Ok(())
    }

    /// Looks at memory, if it is time.
    fn look(&mut self) -> Result<(), Ended> {
        if let Some(server) = &mut self.server {
            server.check()?;
        }
        let Some((begin, _)) = self.begin.as_ref().filter(|_| self.end.is_none()) else {
            return Ok(());
        };
        let rss_bytes = self.server_rss()?;
        let interval = LOOK.max(self.given.load.duration.0 / SAMPLES_MAX);
        let due = self.last_sample.is_none_or(|last| now() - last >= interval);
        if due && self.samples.len() < SAMPLES_MAX as usize {
            let at_s = (now() - begin.at).as_secs_f64();
            let cpu_s = self.looked.server_cpu_s_since(begin)?;
            self.samples.push(Sample { at_s, rss_bytes, cpu_s });
            self.last_sample = Some(now());
        }
        self.rss_peak_bytes = self.rss_peak_bytes.max(rss_bytes);
        self.client_rss_bytes.1 = self.client_rss_bytes.1.max(self.client_rss());
        Ok(())
    }

    fn server_rss(&self) -> Result<u64, Ended> {
        match self.looked.server.as_slice() {
            [] => Ok(0),
            family => Ok(proc::rss_bytes(family)?),
        }
    }

    /// A client that is gone is told by its end.
    fn client_rss(&self) -> u64 {
        proc::rss_bytes(&self.looked.client).unwrap_or_default()
    }

    /// Ends the server, and puts together what was seen.
    fn finish(self, outcome: Outcome) -> Result<(Repeat, SystemTime), Ended> {
        if let Some(why) = outcome.failed {
            let said = self.server.as_ref().map_or_else(String::new, Server::last_words);
            return Err(Ended::Failed(format!("{why} (the server: {said})")));
        }
        let (Some((begin, wall)), Some(end)) = (&self.begin, &self.end) else {
            return Err(Ended::failed("the client didn't tell when it began and ended".into()));
        };
        let rss = |begin: u64, peak: u64, taken: Taken| Taken {
            rss_begin_bytes: begin,
            rss_peak_bytes: peak.max(begin),
            ..taken
        };
        let server = begin.server_until(end);
        let server = server.map(|taken| rss(self.rss_begin_bytes, self.rss_peak_bytes, taken));
        let client = begin.client_until(end).unwrap_or_default();
        let client = rss(self.client_rss_bytes.0, self.client_rss_bytes.1, client);
        let seconds = (end.at - begin.at).as_secs_f64();
        let repeat = Repeat {
            round: self.given.round,
            outcome,
            server,
            client,
            backend: begin.backend_until(end),
            interfaces: begin.interfaces_until(end),
            retransmits: begin.retransmits_until(end),
            samples: self.samples,
            rss_before_idle_bytes: self.idle_rss_bytes.0,
            rss_after_idle_bytes: self.idle_rss_bytes.1,
            client_bound: client_bound(&self.given, &client, server.as_ref(), seconds),
        };
        if let Some(server) = self.server {
            server.stop()?;
        }
        Ok((repeat, *wall))
    }
}

/// Says so when the client used up its CPUs, or when both share CPUs that are used up and the
/// client took the larger part. Without a server the client is what is measured.
fn client_bound(
    given: &Given<'_>,
    client: &Taken,
    server: Option<&Taken>,
    seconds: f64,
) -> Option<String> {
    let server_busy = server?.cpu_s / seconds;
    let client_cpus = given.layout.client_cpus_of(given.run);
    let (cpus, busy) = (client_cpus.count() as f64, client.cpu_s / seconds);
    if busy >= BUSY * cpus {
        return Some(format!("the client kept {busy:.2} of its {cpus} CPUs busy"));
    }
    let server_cpus = given.layout.cpus_of(given.run);
    let shared = server_cpus.shared(&client_cpus).len() as f64;
    let all = server_cpus.count() as f64 + cpus - shared;
    let used_up = shared > 0.0 && busy + server_busy >= BUSY * all;
    (used_up && busy > server_busy).then(|| {
        format!("of {all} CPUs the client kept {busy:.2} busy and the server {server_busy:.2}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bound(server_cpus: &str, client_s: f64, server_s: f64) -> Option<String> {
        let layout = Layout {
            server_cpus: server_cpus.parse().unwrap(),
            client_cpus: "1".parse().unwrap(),
            server_binary: "/bin/true".into(),
        };
        let shards = server_cpus.len().div_ceil(2);
        let run = format!(
            "about = 'x'\nserver = {{ kind = 'sluice', shards = {shards} }}\nclient.kind = 'own'"
        );
        let given = Given {
            layout: &layout,
            run: &toml::from_str(&run).unwrap(),
            load: &Load::default(),
            round: 0,
            folder: Path::new("/"),
            count_syscalls: false,
            interrupt: &Interrupt::default(),
        };
        let taken = |cpu_s| Taken { cpu_s, ..Taken::default() };
        client_bound(&given, &taken(client_s), Some(&taken(server_s)), 2.0)
    }

    #[test]
    fn a_client_that_uses_its_cpus_up_is_named() {
        assert!(bound("0", 1.8, 1.0).is_some());
        assert!(bound("0", 1.2, 1.9).is_none());
    }

    #[test]
    fn on_shared_cpus_the_larger_part_counts() {
        assert_eq!("0-1".parse::<Cpus>().unwrap().count(), 2);
        assert!(bound("0-1", 1.68, 1.8).is_none());
        assert!(bound("0,1", 1.9, 1.0).is_some());
    }
}
