//! What is started for a run, on which CPUs, and what a reader is shown of it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::peer::catalog::{self, ServerContext};
use crate::run::child::Program;
use crate::run::cpus::Cpus;
use crate::suite::{Backend, ClientKind, Run, Server, ServerKind};

/// Where servers and clients run, and which build of sluice.
#[derive(Debug, Clone)]
pub struct Layout {
    /// CPUs of servers; each takes as many of them as it has shards.
    pub server_cpus: Cpus,
    /// CPUs of clients.
    pub client_cpus: Cpus,
    /// Sluice, where a run names no other.
    pub server_binary: PathBuf,
}

/// A run, ready to be started.
#[derive(Debug, Clone, Default)]
pub struct Start {
    /// The server, if there is one.
    pub server: Option<Program>,
    /// The client, if there is one.
    pub client: Option<Program>,
    /// What the client is told beside the load.
    pub extra: BTreeMap<String, String>,
    /// What a reader is shown.
    pub settings: BTreeMap<String, String>,
}

impl Layout {
    /// CPUs of the server of this run.
    pub fn cpus_of(&self, run: &Run) -> Cpus {
        self.server_cpus.first(run.server.shards, &self.client_cpus)
    }

    /// CPUs of the client of this run.
    pub fn client_cpus_of(&self, run: &Run) -> Cpus {
        if run.server.backend_alone { self.cpus_of(run) } else { self.client_cpus.clone() }
    }

    /// How a run is started; its server stores in `data_dir`.
    ///
    /// # Errors
    /// Why it can't be had on this machine.
    pub fn start(&self, run: &Run, data_dir: &Path) -> Result<Start, String> {
        let cpus = self.cpus_of(run);
        let mut start = Start::default();
        match run.server.kind {
            ServerKind::None => {}
            ServerKind::Sluice => start.server = Some(self.sluice(&run.server, &cpus, data_dir)?),
            kind => {
                let context = ServerContext {
                    listen: ANY_PORT.into(),
                    data_dir: data_dir.to_owned(),
                    cpu: cpus.lowest(),
                };
                let peer = catalog::server(kind.name(), &context).map_err(|why| why.to_string())?;
                let mut program = Program { command: peer.command, environment: peer.environment };
                program.command.extend(run.server.arguments.iter().cloned());
                program.environment.extend(run.server.settings.clone());
                start.settings = peer.settings;
                start.extra = peer.extra;
                start.server = Some(program);
            }
        }
        start.client = self.client(run.client.kind, &mut start.settings)?;
        start.extra.extend(run.client.extra.clone());
        start.settings.extend(run.server.settings.clone());
        start.settings.extend(self.shown_cpus(run, &cpus));
        Ok(start)
    }

    /// What stands behind a server; it stores in `data_dir`.
    ///
    /// # Errors
    /// Why it can't be had on this machine.
    pub fn backend(&self, backend: Backend, data_dir: &Path) -> Result<Program, String> {
        let context =
            ServerContext { listen: ANY_PORT.into(), data_dir: data_dir.to_owned(), cpu: 0 };
        let peer = catalog::server(backend.name(), &context);
        let peer = peer.map_err(|why| why.to_string())?;
        Ok(Program { command: peer.command, environment: peer.environment })
    }

    fn sluice(&self, server: &Server, cpus: &Cpus, data_dir: &Path) -> Result<Program, String> {
        if cpus.count() < server.shards {
            return Err(format!("{} shards need as many CPUs", server.shards));
        }
        let binary = server.binary.as_ref().unwrap_or(&self.server_binary);
        if !binary.exists() {
            return Err(format!("{} is not built", binary.display()));
        }
        let mut command = vec![binary.display().to_string(), "serve".into()];
        let words = ["--listen", ANY_PORT, "--admin-listen", ANY_PORT, "--cpus"];
        command.extend(words.map(str::to_owned));
        command.extend([cpus.to_string(), "--data-dir".into(), data_dir.display().to_string()]);
        // What /etc has would be measured, and nobody would know. An empty file sets nothing.
        command.extend(["--config", "/dev/null"].map(str::to_owned));
        command.extend(server.arguments.iter().cloned());
        let environment = server.settings.clone().into_iter().collect();
        Ok(Program { command, environment })
    }

    fn client(
        &self,
        kind: ClientKind,
        settings: &mut BTreeMap<String, String>,
    ) -> Result<Option<Program>, String> {
        match kind {
            ClientKind::None => Ok(None),
            ClientKind::Own
            | ClientKind::Tonic
            | ClientKind::Tcp
            | ClientKind::RedisSet
            | ClientKind::Transitions
            | ClientKind::Sha256 => {
                let ourselves = std::env::current_exe().map_err(|error| error.to_string())?;
                let ourselves = ourselves.display().to_string();
                let command = vec![ourselves, "load".into(), kind.name().into()];
                Ok(Some(Program { command, environment: Vec::new() }))
            }
            kind => {
                let client = catalog::client(kind.name()).map_err(|why| why.to_string())?;
                let shown = client.settings.into_iter();
                settings.extend(shown.map(|(key, value)| (format!("client {key}"), value)));
                let (command, environment) = (client.command, client.environment);
                Ok(Some(Program { command, environment }))
            }
        }
    }

    fn shown_cpus(&self, run: &Run, cpus: &Cpus) -> BTreeMap<String, String> {
        let mut shown = BTreeMap::new();
        if run.server.kind != ServerKind::None {
            let both = cpus.shared(&self.client_cpus_of(run));
            let text = match both.is_empty() || run.client.kind == ClientKind::None {
                true => cpus.to_string(),
                false => format!("{cpus}, and the client is on {} too", numbers(&both)),
            };
            shown.insert("server CPUs".into(), text);
        }
        if run.client.kind != ClientKind::None {
            shown.insert("client CPUs".into(), self.client_cpus_of(run).to_string());
        }
        if let Some(backend) = run.server.backend {
            let text = format!("{}, on CPUs {}", backend.name(), self.client_cpus);
            shown.insert("behind it".into(), text);
        }
        shown
    }
}

impl Start {
    /// The server's command line with its environment, as a shell would take it.
    pub fn command(&self) -> String {
        let Some(server) = self.server.as_ref().or(self.client.as_ref()) else {
            return String::new();
        };
        let environment = server.environment.iter().map(|(key, value)| format!("{key}={value}"));
        environment.chain(server.command.iter().cloned()).collect::<Vec<_>>().join(" ")
    }
}

const ANY_PORT: &str = "127.0.0.1:0";

fn numbers(cpus: &[usize]) -> String {
    cpus.iter().map(usize::to_string).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout() -> Layout {
        Layout {
            server_cpus: "0".parse().unwrap(),
            client_cpus: "1".parse().unwrap(),
            server_binary: "/bin/true".into(),
        }
    }

    fn run(text: &str) -> Run {
        toml::from_str(&format!("about = 'x'\n{text}")).unwrap()
    }

    #[test]
    fn sluice_gets_a_cpu_a_shard_and_its_settings() {
        let run = run("
            server = { kind = 'sluice', settings = { SLUICE_SPOOL = 'memory' }, arguments = ['-v'] }
            client = { kind = 'own' }
        ");
        let start = layout().start(&run, Path::new("D")).unwrap();
        let command = start.command();
        assert!(command.starts_with("SLUICE_SPOOL=memory /bin/true serve"), "{command}");
        assert!(command.contains("--cpus 0 --data-dir D") && command.ends_with(" -v"), "{command}");
        assert_eq!(start.settings["server CPUs"], "0");
        assert_eq!(start.settings["SLUICE_SPOOL"], "memory");
        assert!(start.client.unwrap().command.ends_with(&["load".into(), "own".into()]));
    }

    #[test]
    fn shared_cpus_are_told() {
        let run = run("server = { kind = 'sluice', shards = 2 }\nclient = { kind = 'own' }");
        let start = layout().start(&run, Path::new("D")).unwrap();
        assert_eq!(start.settings["server CPUs"], "0-1, and the client is on 1 too");
    }

    #[test]
    fn what_this_machine_lacks_is_told() {
        let many = run("server = { kind = 'sluice', shards = 3 }\nclient = { kind = 'own' }");
        let error = layout().start(&many, Path::new("D")).unwrap_err();
        assert_eq!(error, "3 shards need as many CPUs");
        let other =
            "server = { kind = 'sluice', binary = '/no/sluice' }\nclient = { kind = 'own' }";
        let error = layout().start(&run(other), Path::new("D")).unwrap_err();
        assert_eq!(error, "/no/sluice is not built");
    }

    #[test]
    fn a_client_can_be_alone() {
        let run = run("server = { kind = 'none' }\nclient = { kind = 'sha256' }");
        let start = layout().start(&run, Path::new("D")).unwrap();
        assert!(start.server.is_none());
        assert!(start.command().ends_with("load sha256"));
    }
}
