//! Ceph's S3: a monitor, one OSD in memory and radosgw, of Debian. `make ceph` installs them.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    process::Command,
};

use tempfile::TempDir;

use crate::{
    ports,
    process::Process,
    s3_faulty::{Ask, BUCKET, Identity, REGION, Rights},
};

const FSID: &str = "6b5b9f0e-0a57-4c1d-9a44-51f0c0ffee01";
const OSD: &str = "6b5b9f0e-0a57-4c1d-9a44-51f0c0ffee02";

/// One Ceph with one bucket; its objects go with it. It takes some 12 seconds to start.
pub struct Ceph {
    keys: Identity,
    reader: Identity,
    port: u16,
    folder: TempDir,
    /// The gateway ends first, and the monitor last.
    processes: Vec<Process>,
}

impl Ceph {
    /// Starts one, and waits until objects can be put.
    pub fn start() -> Self {
        let keys = Identity::new("AKIACEPH000000000001", "cephradosgwsecretnumber1", Rights::All);
        let reader =
            Identity::new("AKIACEPH000000000002", "cephradosgwsecretnumber2", Rights::Read);
        let (port, folder) = (ports::free(2), TempDir::new().unwrap());
        let mut ceph = Self { keys, reader, port, folder, processes: Vec::new() };
        ceph.write_settings();
        ceph.start_monitor();
        ceph.start_osd();
        ceph.start_gateway();
        ceph
    }

    /// Where its S3 listens.
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// `http://127.0.0.1:port`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address())
    }

    /// The bucket.
    pub fn bucket(&self) -> &str {
        BUCKET
    }

    /// The region to sign for.
    pub fn region(&self) -> &str {
        REGION
    }

    /// Who may do everything.
    pub fn keys(&self) -> &Identity {
        &self.keys
    }

    /// Who may only read.
    pub fn reader(&self) -> &Identity {
        &self.reader
    }

    /// What it has printed.
    pub fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write_settings(&self) {
        for name in ["mon", "osd", "rgw"] {
            fs::create_dir(self.path(name)).unwrap();
        }
        let (folder, monitor) = (self.folder.path().display(), self.port + 1);
        let settings = format!(
            "[global]\nfsid = {FSID}\nmon host = v1:127.0.0.1:{monitor}\nms bind msgr2 = false\n\
             public addr = 127.0.0.1\ncluster addr = 127.0.0.1\n\
             auth cluster required = none\nauth service required = none\n\
             auth client required = none\n\
             osd pool default size = 1\nosd pool default min size = 1\n\
             osd pool default pg num = 4\nosd pool default pgp num = 4\n\
             osd pool default pg autoscale mode = off\nmon allow pool size one = true\n\
             mon max pg per osd = 1000\nosd crush chooseleaf type = 0\n\
             osd objectstore = memstore\nmemstore device bytes = 4294967296\n\
             run dir = {folder}\nadmin socket = {folder}/$name.asok\npid file = {folder}/$name.pid\n\
             log file = {folder}/$name.log\nkeyring = {folder}/keyring\n\
             mon data = {folder}/mon\nosd data = {folder}/osd\nrgw data = {folder}/rgw\n"
        );
        fs::write(self.path("ceph.conf"), settings).unwrap();
    }

    fn start_monitor(&mut self) {
        let (keyring, map) = (self.text("keyring"), self.text("monmap"));
        self.run(Command::new("ceph-authtool").args(["-C", &keyring]));
        for name in ["mon.", "client.admin", "client.rgw"] {
            let mut tool = Command::new("ceph-authtool");
            tool.args([&keyring, "--gen-key", "-n", name, "--cap", "mon", "allow *"]);
            self.run(tool.args(["--cap", "osd", "allow *"]));
        }
        let at = format!("[v1:127.0.0.1:{}]", self.port + 1);
        let made = ["--create", "--fsid", FSID, "--addv", "a", &at, &map];
        self.run(Command::new("monmaptool").args(made));
        let made = ["--mkfs", "-i", "a", "--monmap", &map, "--keyring", &keyring];
        self.run(self.ceph("ceph-mon").args(made));
        self.spawn(self.ceph("ceph-mon").args(["-f", "-i", "a"]));
    }

    fn start_osd(&mut self) {
        // It waits for the monitor by itself.
        self.run(self.ceph("ceph").args(["--connect-timeout", "30", "osd", "new", OSD, "0"]));
        self.run(self.ceph("ceph-osd").args(["-i", "0", "--mkfs", "--osd-uuid", OSD]));
        self.spawn(self.ceph("ceph-osd").args(["-f", "-i", "0"]));
    }

    fn start_gateway(&mut self) {
        let user = ["user", "create", "--uid=test", "--display-name=test"];
        self.make_user(&user, &self.keys);
        let subuser = ["subuser", "create", "--uid=test", "--subuser=test:reader"];
        let reads = ["--access=read", "--key-type=s3"];
        self.make_user(&[&subuser[..], &reads].concat(), &self.reader);
        let endpoint = format!("--rgw-frontends=beast endpoint=127.0.0.1:{}", self.port);
        self.spawn(self.ceph("radosgw").args(["-f", "-n", "client.rgw", &endpoint]));
        let (address, keys) = (self.address(), self.keys.clone());
        let ask = Ask { address, keys: &keys, region: REGION };
        self.processes[0].until(|| ask.make_bucket(BUCKET) && ask.can_put(BUCKET));
    }

    fn make_user(&self, made: &[&str], keys: &Identity) {
        let mut admin = self.ceph("radosgw-admin");
        admin.args(["-n", "client.rgw"]).args(made);
        admin.args(["--access-key", &keys.access_key, "--secret-key", &keys.secret_key]);
        self.run(&mut admin);
    }

    fn ceph(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.args(["-c", &self.text("ceph.conf")]).current_dir(self.folder.path());
        command
    }

    fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    fn spawn(&mut self, command: &mut Command) {
        self.processes.insert(0, Process::spawn(command, &self.path("log")));
    }

    fn run(&self, command: &mut Command) {
        let program = command.get_program().to_string_lossy().into_owned();
        let ended = command
            .output()
            .unwrap_or_else(|error| panic!("{program}: {error}; `make ceph` installs it"));
        let said = String::from_utf8_lossy(&ended.stderr);
        assert!(ended.status.success(), "{program}: {said}\n{}", self.log());
    }
}
