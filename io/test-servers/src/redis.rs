//! Redis, Debian's `redis-server`.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    process::Command,
    sync::Arc,
};

use tempfile::TempDir;

use crate::{Authority, Issued, ports, process::Process};

/// How a Redis is started.
#[derive(Clone, Debug)]
pub struct Options {
    /// Whether it keeps an append-only file, so that it comes back with its data.
    pub append_only: bool,
    /// `appendfsync`.
    pub append_fsync: &'static str,
    /// `maxmemory`, as in its settings.
    pub max_memory: &'static str,
    /// `maxmemory-policy`.
    pub policy: &'static str,
    /// The password of the default user; empty: none.
    pub password: &'static str,
    /// Further lines of its settings file.
    pub settings: String,
    /// How it speaks TLS, and then nothing else; `None`: it doesn't.
    pub tls: Option<Tls>,
    /// Where it is reached, if not on loopback.
    pub place: Option<Place>,
}

/// A network namespace.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// What `ip netns` calls it.
    pub namespace: &'static str,
    /// Its address, as this side reaches it.
    pub ip: Ipv4Addr,
}

/// How a Redis speaks TLS.
#[derive(Clone, Debug)]
pub struct Tls {
    /// Who signs its certificate, and those that it lets in.
    pub authority: Arc<Authority>,
    /// What it shows.
    pub shows: Issued,
    /// Whether clients must have a certificate, too.
    pub asks_clients: bool,
}

impl Tls {
    /// With a certificate for `names` of an authority of its own.
    pub fn new(names: &str) -> Self {
        let authority = Arc::new(Authority::new());
        let shows = authority.issue("redis", names);
        Self { authority, shows, asks_clients: false }
    }

    /// Lines of a settings file.
    fn settings(&self, port: u16) -> String {
        let asks = if self.asks_clients { "yes" } else { "no" };
        format!(
            "port 0\ntls-port {port}\ntls-ca-cert-file {}\ntls-cert-file {}\ntls-key-file {}\n\
             tls-auth-clients {asks}\ntls-replication yes\n",
            self.authority.file().display(),
            self.shows.certificate.display(),
            self.shows.key.display(),
        )
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            append_only: true,
            append_fsync: "everysec",
            max_memory: "1gb",
            policy: "noeviction",
            password: "",
            settings: String::new(),
            tls: None,
            place: None,
        }
    }
}

/// One Redis, running or not.
pub struct Redis {
    options: Options,
    folder: TempDir,
    port: u16,
    process: Option<Process>,
}

impl Redis {
    /// Starts one without data, and waits until it answers.
    pub fn start(options: Options) -> Self {
        let mut redis = Self::prepare(options, ports::free(1));
        redis.restart();
        redis
    }

    pub(crate) fn prepare(options: Options, port: u16) -> Self {
        Self { options, folder: TempDir::new().unwrap(), port, process: None }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        (self.options.place.map_or(Ipv4Addr::LOCALHOST, |place| place.ip), self.port).into()
    }

    /// As a server's settings name it.
    pub fn url(&self) -> String {
        let scheme = if self.options.tls.is_some() { "rediss" } else { "redis" };
        match self.options.password {
            "" => format!("{scheme}://{}", self.address()),
            password => format!("{scheme}://:{password}@{}", self.address()),
        }
    }

    /// A folder of its own, removed with it.
    pub fn folder(&self) -> PathBuf {
        self.folder.path().to_owned()
    }

    /// Starts it on what it left behind, and waits until it answers.
    pub fn restart(&mut self) {
        self.spawn();
        let (options, port) = (&self.options, self.port);
        let process = self.process.as_mut().expect("it was started");
        process.until(|| answer(options.cli(port).arg("ping")) == "PONG");
    }

    /// A further line of its settings file, from the next start on.
    pub fn set(&mut self, name: &str, value: &str) {
        self.options.settings.push_str(&format!("\n{name} {value}"));
    }

    /// As [`Redis::restart`], without waiting for anything.
    pub fn spawn(&mut self) {
        assert!(self.process.is_none(), "it runs already");
        let settings = self.folder.path().join("redis.conf");
        fs::write(&settings, self.settings()).unwrap();
        let mut command = self.options.command("redis-server");
        command.arg(&settings).current_dir(self.folder.path());
        self.process = Some(Process::spawn(&mut command, &self.folder.path().join("log")));
    }

    fn settings(&self) -> String {
        let Options { append_only, append_fsync, max_memory, policy, settings, .. } = &self.options;
        let Options { password, tls, place, .. } = &self.options;
        let append_only = if *append_only { "yes" } else { "no" };
        let password = match *password {
            "" => String::new(),
            password => format!("requirepass \"{password}\"\n"),
        };
        let port = match tls {
            Some(tls) => tls.settings(self.port),
            None => format!("port {}\n", self.port),
        };
        // On loopback, too: there it can be asked while its link is cut.
        let bind = match place {
            Some(place) => format!("bind 127.0.0.1 {}\nprotected-mode no", place.ip),
            None => "bind 127.0.0.1".to_owned(),
        };
        format!(
            "{port}{bind}\ndir {dir}\nsave \"\"\nappendonly {append_only}\n\
             appendfsync {append_fsync}\nmaxmemory {max_memory}\nmaxmemory-policy {policy}\n\
             {password}{settings}\n",
            dir = self.folder.path().display(),
        )
    }

    /// Kills it as kill -9 does.
    pub fn kill(&mut self) {
        self.process.take().expect("it runs");
    }

    /// Kills it, and takes away what it would come back with.
    pub fn lose_everything(&mut self) {
        self.process.take();
        // There is none without an append-only file.
        let _ = fs::remove_dir_all(self.folder.path().join("appendonlydir"));
    }

    /// Has it end well: it writes down all it has.
    pub fn shut_down(&mut self) {
        let mut process = self.process.take().expect("it runs");
        process.signal(libc::SIGTERM);
        process.wait();
    }

    /// Stops it where it is: it answers nothing, and its connections stay.
    pub fn freeze(&self) {
        self.process.as_ref().expect("it runs").signal(libc::SIGSTOP);
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        self.process.as_ref().expect("it runs").signal(libc::SIGCONT);
    }

    /// What it answers to a command, as `redis-cli` prints it.
    pub fn ask(&self, command: &[&str]) -> String {
        answer(self.cli().args(command))
    }

    /// `redis-cli`, so that it asks this one.
    pub(crate) fn cli(&self) -> Command {
        self.options.cli(self.port)
    }

    /// A figure of `INFO`, by its name.
    pub fn info(&self, name: &str) -> String {
        let info = self.ask(&["info", "everything"]);
        let figure = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        figure.unwrap_or_else(|| panic!("no {name} in INFO")).trim().to_owned()
    }

    /// What it has printed.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

impl Options {
    /// A program where it runs.
    fn command(&self, program: &str) -> Command {
        let Some(place) = self.place else { return Command::new(program) };
        let mut command = Command::new("ip");
        command.args(["netns", "exec", place.namespace, program]);
        command
    }

    fn cli(&self, port: u16) -> Command {
        let mut cli = self.command("redis-cli");
        cli.args(["-p", &port.to_string()]);
        // With an empty one `--scan` ends at once, and finds nothing.
        if !self.password.is_empty() {
            cli.env("REDISCLI_AUTH", self.password);
        }
        if let Some(Tls { authority, shows, .. }) = &self.tls {
            cli.arg("--tls").arg("--cacert").arg(authority.file());
            // It may show the certificate of the server, too.
            cli.arg("--cert").arg(&shows.certificate).arg("--key").arg(&shows.key);
        }
        cli
    }
}

fn answer(cli: &mut Command) -> String {
    let answered = cli.output().unwrap_or_else(|error| panic!("redis-cli: {error}"));
    String::from_utf8_lossy(&answered.stdout).trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_comes_back_with_its_data_and_loses_it_when_told_to() {
        let mut redis = Redis::start(Options::default());
        assert_eq!(redis.ask(&["set", "k", "v"]), "OK");
        redis.shut_down();
        redis.restart();
        assert_eq!(redis.ask(&["get", "k"]), "v");
        assert_eq!(redis.ask(&["--scan", "--pattern", "k*"]), "k");
        redis.lose_everything();
        redis.restart();
        assert_eq!(redis.ask(&["get", "k"]), "");
        assert_eq!(redis.info("maxmemory_policy"), "noeviction");
    }
}
