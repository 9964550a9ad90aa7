//! A stock S3 client, boto3, and what it sees in a store.

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Output, Stdio},
    sync::{Arc, Mutex, PoisonError},
};

use serde::{Deserialize, de::DeserializeOwned};

use crate::s3_faulty::Identity;

/// boto3, asking one store as one identity.
#[derive(Clone, Debug)]
pub struct Stock {
    endpoint: String,
    region: String,
    keys: Identity,
    authority: Option<PathBuf>,
    /// Begun by the first question: to import boto3 takes longer than most answers.
    looking: Arc<Mutex<Option<Looking>>>,
}

/// `look.py`, which answers line by line.
#[derive(Debug)]
struct Looking {
    python: Child,
    asked: ChildStdin,
    told: BufReader<ChildStdout>,
}

impl Drop for Looking {
    fn drop(&mut self) {
        drop(self.python.kill());
        drop(self.python.wait());
    }
}

/// What HEAD tells of an object.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct Head {
    /// Its length.
    pub length_bytes: u64,
    /// Without quotes.
    pub etag: String,
    /// `x-amz-meta-*`, by names without that.
    pub metadata: BTreeMap<String, String>,
    /// `Content-Type`.
    pub content_type: Option<String>,
    /// `STANDARD` where nothing is said.
    pub storage_class: String,
    /// `x-amz-server-side-encryption`.
    pub encryption: Option<String>,
    /// `x-amz-version-id`.
    pub version_id: Option<String>,
}

impl Stock {
    /// One that asks `endpoint`, `http://host:port`.
    pub fn new(endpoint: &str, region: &str, keys: &Identity) -> Self {
        let (endpoint, region, keys) = (endpoint.into(), region.into(), keys.clone());
        Self { endpoint, region, keys, authority: None, looking: Arc::default() }
    }

    /// Believes the authority whose certificate is this PEM file.
    #[must_use]
    pub fn believing(mut self, authority: PathBuf) -> Self {
        self.authority = Some(authority);
        self
    }

    /// SHA-256 of an object's bytes, in hex.
    ///
    /// # Panics
    /// As all others, when it can't be told; with what the client said.
    #[track_caller]
    pub fn sha256(&self, bucket: &str, key: &str) -> String {
        self.look(&["sha256", bucket, key])
    }

    /// What HEAD tells of an object.
    #[track_caller]
    pub fn head(&self, bucket: &str, key: &str) -> Head {
        self.look(&["head", bucket, key])
    }

    /// The keys of all objects.
    #[track_caller]
    pub fn keys(&self, bucket: &str) -> Vec<String> {
        self.look(&["keys", bucket])
    }

    /// Key and id of each upload of parts that is open.
    #[track_caller]
    pub fn open_multiparts(&self, bucket: &str) -> Vec<(String, String)> {
        self.look(&["uploads", bucket])
    }

    /// Puts an object.
    #[track_caller]
    pub fn put(&self, bucket: &str, key: &str, bytes: &[u8]) {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(bytes).unwrap();
        self.look(&["put", bucket, key, &file.path().display().to_string()])
    }

    /// Holds the store against what S3 promises, each promise a check of `protocol.py`.
    /// `deviations` names those that it is known not to keep: that they don't hold is checked, too.
    /// The bucket must be empty, and isn't afterwards.
    #[track_caller]
    pub fn check_protocol(&self, bucket: &str, reader: &Identity, deviations: &[&str]) {
        let mut python = self.python("protocol.py");
        python.arg(bucket).args(deviations);
        python.env("READER_KEY_ID", &reader.access_key).env("READER_SECRET", &reader.secret_key);
        println!("{}", text(&python.output().unwrap()));
    }

    #[track_caller]
    fn look<T: DeserializeOwned>(&self, arguments: &[&str]) -> T {
        let mut looking = self.looking.lock().unwrap_or_else(PoisonError::into_inner);
        let looking = looking.get_or_insert_with(|| self.start_looking());
        let mut line = serde_json::to_string(arguments).unwrap();
        line.push('\n');
        looking.asked.write_all(line.as_bytes()).unwrap();
        line.clear();
        looking.told.read_line(&mut line).unwrap();
        let (is_told, told): (bool, serde_json::Value) = serde_json::from_str(&line).unwrap();
        assert!(is_told, "{arguments:?}: {}", told.as_str().unwrap_or_default());
        serde_json::from_value(told).unwrap()
    }

    fn start_looking(&self) -> Looking {
        let mut python = self.python("look.py");
        python.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut python = python.spawn().unwrap();
        let (asked, told) = (python.stdin.take().unwrap(), python.stdout.take().unwrap());
        Looking { python, asked, told: BufReader::new(told) }
    }

    /// A script beside this crate, with the endpoint and the region.
    fn python(&self, script: &str) -> Command {
        let crate_folder = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut python = Command::new(test_tool("python"));
        python.arg(crate_folder.join("stock_s3").join(script));
        python.args([&self.endpoint, &self.region]);
        python
            .env("AWS_ACCESS_KEY_ID", &self.keys.access_key)
            .env("AWS_SECRET_ACCESS_KEY", &self.keys.secret_key)
            // Neither settings of whoever runs the tests, nor bytecode beside the scripts.
            .env("AWS_CONFIG_FILE", "/dev/null")
            .env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
            .env("NO_PROXY", "127.0.0.1")
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env_remove("AWS_SESSION_TOKEN");
        if let Some(token) = &self.keys.session_token {
            python.env("AWS_SESSION_TOKEN", token);
        }
        if let Some(authority) = &self.authority {
            python.env("AWS_CA_BUNDLE", authority);
        }
        python
    }
}

/// A program of `target/test-tools/python`.
pub(crate) fn test_tool(name: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let path = root.join("target/test-tools/python/bin").join(name);
    assert!(path.exists(), "{} is missing: scripts/test-tools gets it", path.display());
    path
}

#[track_caller]
fn text(output: &Output) -> &str {
    let (told, complained) = (&output.stdout, String::from_utf8_lossy(&output.stderr));
    let told = std::str::from_utf8(told).unwrap();
    assert!(output.status.success(), "{}\n{told}\n{complained}", output.status);
    told
}
