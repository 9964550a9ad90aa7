//! A run as its file describes it: one server, one client, one load.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::{Table, Value};

use crate::job::{Load, Offered};
use crate::suite::{ClientKind, ServerKind, SuiteError};

/// What is run.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Run {
    /// What it is for, in a sentence.
    pub about: String,
    /// The picture of the report that it belongs to, if to one.
    pub series: Option<String>,
    /// What is measured.
    pub server: Server,
    /// What puts the load on.
    pub client: Client,
    /// The load.
    #[serde(default)]
    pub load: Load,
}

/// What is measured.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Server {
    /// Which.
    pub kind: ServerKind,
    /// CPUs that it gets, and for sluice shards.
    #[serde(default = "one")]
    pub shards: usize,
    /// Its environment.
    #[serde(default)]
    pub settings: BTreeMap<String, String>,
    /// More words for its command line.
    #[serde(default)]
    pub arguments: Vec<String>,
    /// What stands behind it, started anew for each repeat, beside the client. Its CPU isn't the
    /// server's.
    pub backend: Option<Backend>,
    /// Whether what stands behind has the clients' CPUs alone: the client then shares the server's.
    #[serde(default)]
    pub backend_alone: bool,
    /// Another build of sluice than the one that the suite is run with.
    pub binary: Option<PathBuf>,
}

/// What stands behind a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Backend {
    /// Redis that keeps nothing on disk.
    Redis,
    /// Redis with an append-only file, which it syncs each second.
    RedisLog,
    /// A blocking TCP sink.
    Sink,
    /// An object store that keeps no bytes.
    SinkS3,
    /// An object store, to local disk.
    Seaweedfs,
}

impl Backend {
    /// As the peers are called.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Redis => "redis",
            Self::RedisLog => "redis-log",
            Self::Sink => "sink",
            Self::SinkS3 => "sink-s3",
            Self::Seaweedfs => "seaweedfs",
        }
    }
}

/// What puts the load on.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Client {
    /// Which.
    pub kind: ClientKind,
    /// What this kind needs beside the load.
    #[serde(default)]
    pub extra: BTreeMap<String, String>,
}

/// A run's file, before anything is set in it.
#[derive(Debug)]
pub struct RunFile {
    table: Table,
}

const fn one() -> usize {
    1
}

impl RunFile {
    /// Reads one, which must be a run as it stands.
    ///
    /// # Errors
    /// When it isn't.
    pub fn read(file: &Path) -> Result<Self, SuiteError> {
        let text = fs::read_to_string(file)
            .map_err(|source| SuiteError::Read { file: file.to_owned(), source })?;
        Self::parse(&text, file)
    }

    /// Reads the text of one; `file` is what errors name.
    ///
    /// # Errors
    /// When it isn't a run.
    pub fn parse(text: &str, file: &Path) -> Result<Self, SuiteError> {
        let wrong = |source| SuiteError::Toml { file: file.to_owned(), source: Box::new(source) };
        // As a run first: its errors have a line.
        let run: Run = toml::from_str(text).map_err(wrong)?;
        run.check().map_err(|(key, why)| SuiteError::at(file, key, why))?;
        Ok(Self { table: toml::from_str(text).map_err(wrong)? })
    }

    /// The run, with `set` put over the file: `load.connections` and the like.
    ///
    /// # Errors
    /// The key that isn't known or can't have its value, and why.
    pub fn with(&self, set: &[(String, Value)]) -> Result<Run, (String, String)> {
        let mut table = self.table.clone();
        let read = |table: &Table| Run::deserialize(table.clone());
        let mut run = read(&table).map_err(|error| (String::new(), error.to_string()))?;
        for (key, value) in set {
            put(&mut table, key, value.clone()).map_err(|why| (key.clone(), why))?;
            // One by one, so that the error is this key's.
            run = read(&table).map_err(|error| (key.clone(), one_line(&error)))?;
        }
        run.check()?;
        Ok(run)
    }
}

fn one_line(error: &toml::de::Error) -> String {
    error.message().split_whitespace().collect::<Vec<_>>().join(" ")
}

fn put(table: &mut Table, key: &str, value: Value) -> Result<(), String> {
    let Some((first, rest)) = key.split_once('.') else {
        table.insert(key.to_owned(), value);
        return Ok(());
    };
    match table.entry(first).or_insert_with(|| Value::Table(Table::new())) {
        Value::Table(inner) => put(inner, rest, value),
        _ => Err(format!("{first} has nothing below it")),
    }
}

impl Run {
    /// Whether it makes sense: else the key and why not.
    fn check(&self) -> Result<(), (String, String)> {
        let wrong = |key: &str, why: String| Err((key.to_owned(), why));
        let load = &self.load;
        if !self.server.kind.answers(self.client.kind) {
            let (server, client) = (self.server.kind, self.client.kind);
            return wrong("client.kind", format!("{client} has nothing to say to {server}"));
        }
        if !self.server.kind.stands_before(self.server.backend) {
            let server = self.server.kind;
            let behind = self.server.backend.map_or("nothing", Backend::name);
            return wrong("server.backend", format!("{server} can't have {behind} behind it"));
        }
        if self.server.backend_alone && self.server.backend.is_none() {
            return wrong("server.backend_alone", "nothing stands behind it".into());
        }
        let counts = [
            ("server.shards", self.server.shards as u64),
            ("load.connections", load.connections as u64),
            ("load.uploads", load.uploads as u64),
            ("load.parallel", load.parallel as u64),
            ("load.upload_size", load.upload_size.0),
            ("load.chunk_size", load.chunk_size.0),
            ("load.duration", load.duration.0.as_millis() as u64),
        ];
        if let Some((key, _)) = counts.iter().find(|(_, count)| *count == 0) {
            return wrong(key, "must be more than nothing".into());
        }
        match &load.offered {
            Some(Offered::Bytes(size)) if size.0 == 0 => {
                wrong("load.offered.bytes", "must be more than nothing".into())
            }
            Some(Offered::Of { share, .. }) if !(*share > 0.0 && share.is_finite()) => {
                wrong("load.offered.of.share", "must be more than nothing".into())
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::Size;

    const FILE: &str = "
        about = 'intake alone'
        [server]
        kind = 'sluice'
        settings = { SLUICE_SPOOL = 'memory' }
        [client]
        kind = 'own'
        [load]
        chunk_size = '16 MiB'
    ";

    fn read(text: &str) -> Result<RunFile, String> {
        RunFile::parse(text, Path::new("runs/x.toml")).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_left_out_has_its_default() {
        let run = read(FILE).unwrap().with(&[]).unwrap();
        assert_eq!(run.server.shards, 1);
        assert_eq!(run.load, Load::default());
        assert_eq!(run.series, None);
    }

    #[test]
    fn what_is_set_wins_at_any_depth() {
        let set = [
            ("load.chunk_size".to_owned(), Value::from("1 MiB")),
            ("server.settings.SLUICE_SPOOL".to_owned(), Value::from("disk")),
            ("load.offered.bytes".to_owned(), Value::from("1 GB")),
        ];
        let run = read(FILE).unwrap().with(&set).unwrap();
        assert_eq!(run.load.chunk_size, Size(1 << 20));
        assert_eq!(run.server.settings["SLUICE_SPOOL"], "disk");
        assert_eq!(run.load.offered, Some(Offered::Bytes(Size(1_000_000_000))));
    }

    #[test]
    fn an_error_names_the_key_that_was_set() {
        let file = read(FILE).unwrap();
        let error = |key: &str, value: Value| file.with(&[(key.into(), value)]).unwrap_err();
        let (key, why) = error("load.conections", 3.into());
        assert_eq!(key, "load.conections");
        assert!(why.contains("unknown field `conections`"), "{why}");
        assert_eq!(error("load.chunk_size", "a lot".into()).0, "load.chunk_size");
        assert_eq!(error("about.much", 1.into()).1, "about has nothing below it");
        assert_eq!(error("load.uploads", 0.into()).0, "load.uploads");
        assert_eq!(error("client.kind", "tcp".into()).0, "client.kind");
        assert_eq!(error("server.backend", "sink".into()).0, "server.backend");
        assert_eq!(error("server.backend_alone", true.into()).0, "server.backend_alone");
    }

    #[test]
    fn a_file_that_is_no_run_is_named() {
        let error = read(&format!("{FILE}\nchunksize = 1")).unwrap_err();
        assert!(error.contains("runs/x.toml") && error.contains("chunksize"), "{error}");
        let error = read("about = 'x'").unwrap_err();
        assert!(error.contains("server"), "{error}");
    }
}
