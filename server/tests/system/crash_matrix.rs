//! At every boundary between two effects a real server dies under real clients, starts again, and
//! everything ends as if nothing had happened: one object of the exact bytes and one node row for
//! each upload, no ack taken back, nothing left behind.

use std::collections::VecDeque;
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use sluice_server::boundary::BOUNDARIES;

use crate::harness::{Kind, Options, Outcome, Pace, Random, Server, audit, seed, work};

/// A boundary that isn't hit in so many rounds of every kind of upload never is.
const ROUNDS_MAX: u64 = 60;
const POLL: Duration = Duration::from_millis(2);

#[test]
fn a_server_dies_at_each_boundary_the_first_time_it_is_there() {
    let mut random = Random::new(seed("crash_matrix, first"));
    for boundary in BOUNDARIES {
        let seed = random.within(0..1 << 40);
        Crash { boundary, nth: 1, again: false, seed, settings: "", audit: &audit }.run();
    }
}

#[test]
fn a_server_dies_at_each_boundary_later_and_again_while_it_recovers() {
    each_boundary("crash_matrix, later", BOUNDARIES, "");
}

/// Some time at each boundary, and again.
pub fn each_boundary(name: &str, boundaries: &[&'static str], settings: &str) {
    each_boundary_with(name, boundaries, settings, &audit);
}

/// The same, with another last look.
pub fn each_boundary_with(
    name: &str,
    boundaries: &[&'static str],
    settings: &str,
    audit: Audit<'_>,
) {
    let mut random = Random::new(seed(name));
    for boundary in boundaries {
        let (nth, seed) = (random.within(2..40), random.within(0..1 << 40));
        Crash { boundary, nth, again: true, seed, settings, audit }.run();
    }
}

/// What looks at a server when all is over.
pub type Audit<'a> = &'a dyn Fn(Server, &[Outcome]);

/// One death.
struct Crash<'a> {
    boundary: &'static str,
    /// At which hit of the boundary.
    nth: u64,
    /// Whether the next process is to die at its first hit, if it has one.
    again: bool,
    seed: u64,
    /// Of the server.
    settings: &'a str,
    audit: Audit<'a>,
}

impl Crash<'_> {
    fn run(&self) {
        let Self { boundary, nth, seed, .. } = *self;
        println!("{boundary}, hit {nth}, seed {seed}");
        let die = |nth| match nth {
            1 => format!("{boundary}=panic"),
            nth => format!("{boundary}={}*off->panic", nth - 1),
        };
        let settings = self.settings.to_owned();
        let options = Options { failpoints: die(nth), settings, ..Options::default() };
        let mut server = Server::start(options);
        let mut uploads = Uploads::new(server.address(), seed);
        let ended = uploads.until_it_ends(&mut server, ROUNDS_MAX);
        self.assert_died_there(ended.expect("never there"), &server);
        if self.again {
            server.options.failpoints = die(1);
            let ended = server.try_restart().or_else(|| uploads.until_it_ends(&mut server, 0));
            match ended {
                Some(ended) => self.assert_died_there(ended, &server),
                None => {
                    server.signal_terminate();
                    let ended = server.wait();
                    // What it recovers may have come there only now.
                    if !ended.success() {
                        self.assert_died_there(ended, &server);
                    }
                }
            }
        }
        server.options.failpoints.clear();
        server.restart();
        let outcomes = uploads.outcomes();
        (self.audit)(server, &outcomes);
    }

    fn assert_died_there(&self, ended: ExitStatus, server: &Server) {
        let log = server.log();
        assert_eq!(ended.signal(), Some(libc::SIGABRT), "{}: {ended}\n{log}", self.boundary);
        assert!(log.contains(&format!("failpoint {} panic", self.boundary)), "{log}");
    }
}

/// Uploads of every kind, round after round.
struct Uploads {
    address: String,
    seed: u64,
    running: VecDeque<JoinHandle<Outcome>>,
    ended: Vec<Outcome>,
}

impl Uploads {
    fn new(address: String, seed: u64) -> Self {
        Self { address, seed, running: VecDeque::new(), ended: Vec::new() }
    }

    /// Starts rounds, at most `rounds` more, until the server ends or all have been.
    fn until_it_ends(&mut self, server: &mut Server, mut rounds: u64) -> Option<ExitStatus> {
        loop {
            if let Some(ended) = server.try_wait() {
                return Some(ended);
            }
            if self.running.iter().all(JoinHandle::is_finished) {
                self.collect();
                if rounds == 0 {
                    return None;
                }
                rounds -= 1;
                self.start_round();
            }
            thread::sleep(POLL);
        }
    }

    fn start_round(&mut self) {
        for kind in Kind::ALL {
            self.seed += 1;
            let (address, seed) = (self.address.clone(), self.seed);
            let upload = move || work(kind, &address, seed, Pace::default());
            self.running.push_back(thread::spawn(upload));
        }
    }

    fn collect(&mut self) {
        for upload in self.running.drain(..) {
            self.ended.push(upload.join().expect("an upload"));
        }
    }

    fn outcomes(mut self) -> Vec<Outcome> {
        self.collect();
        self.ended
    }
}
