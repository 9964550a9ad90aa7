//! A client whose link is cut in the middle of an upload: no end of its connection ever comes.

use std::io::Write as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use sluice_proto::pb::{AbortUploadRequest, UploadState};

use crate::harness::{Calls, Ended, Options, Outcome, eventually, get, noise, text};
use crate::scene::{Scene, metric};

/// The pings' 60 s, and a busy machine's delay.
const WITHIN: Duration = Duration::from_secs(70);
const HOST: &str = "10.213.47.1";
const PEER: &str = "10.213.47.2";

/// A network namespace behind a link of its own; removed when dropped. There is one at a time.
struct Link;

impl Link {
    const NAMESPACE: &str = "sluice-cut";
    const OUTER: &str = "sluice-cut0";

    fn new() -> Self {
        let link = Self;
        let (ns, outer) = (Self::NAMESPACE, Self::OUTER);
        ip(&format!("netns add {ns}"));
        ip(&format!("link add {outer} type veth peer name inner netns {ns}"));
        ip(&format!("addr add {HOST}/30 dev {outer}"));
        ip(&format!("link set {outer} up"));
        ip(&format!("-n {ns} addr add {PEER}/30 dev inner"));
        ip(&format!("-n {ns} link set inner up"));
        link
    }

    fn cut(&self) {
        ip(&format!("-n {} link set inner down", Self::NAMESPACE));
    }

    /// Puts what is written to the child's input, from behind the link.
    fn put(&self, server: &str) -> Child {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", Self::NAMESPACE, env!("CARGO_BIN_EXE_sluice")]);
        command.args(["--server", server, "put", "-", "--chunk-size", "1M"]);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        // By name: the namespace itself lives on while a connection of it has bytes to send.
        let _ = Command::new("ip").args(["link", "del", Self::OUTER]).status();
        let _ = Command::new("ip").args(["netns", "del", Self::NAMESPACE]).status();
    }
}

fn ip(words: &str) {
    let ran = Command::new("ip").args(words.split(' ')).output().expect("ip is installed");
    assert!(ran.status.success(), "ip {words}: {}", String::from_utf8_lossy(&ran.stderr));
}

#[test]
#[ignore = "long, and needs root: make beating"]
fn a_client_whose_link_is_cut_is_ended_by_pings() {
    let link = Link::new();
    let mut scene = Scene::start(Options { ip: HOST, ..Options::default() });
    let (address, admin) = (scene.server.address(), scene.server.admin());
    let figure = |name: &str| metric(&get(&admin, "/metrics").unwrap().body, name);
    let mut client = link.put(&address);
    // Two chunks and a half: the third is under way when the link is cut.
    client.stdin.as_mut().unwrap().write_all(&noise(1, 5 << 19)).unwrap();
    eventually(|| {
        let page = get(&admin, "/metrics")?.body;
        let is_in = page.lines().any(|line| line == "sluice_uploads_active{state=\"uploading\"} 1");
        (!is_in).then(|| "no chunk is in".into())
    });
    link.cut();
    let began = Instant::now();
    assert!(figure("connections") > 0.0);
    while figure("connections") > 0.0 {
        assert!(began.elapsed() < WITHIN, "{} connections", figure("connections"));
        std::thread::sleep(Duration::from_millis(200));
    }
    println!("ended {:?} after the cut", began.elapsed());
    client.kill().unwrap();
    client.wait().unwrap();
    let upload_id = unfinished(&address);
    let request = AbortUploadRequest { upload_id: upload_id.clone(), ..Default::default() };
    scene.runtime.block_on(async { Calls::to(&address).abort_upload(request).await.unwrap() });
    let ended = Ended::As(UploadState::Aborted);
    scene.outcomes.push(Outcome { upload_id, filename: "stdin".into(), ended });
    scene.end();
}

/// The upload that the client can't end any more.
fn unfinished(server: &str) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sluice"));
    command.args(["--server", server, "uploads", "--state", "uploading", "--json"]);
    let listed: serde_json::Value = serde_json::from_str(text(&command.output().unwrap())).unwrap();
    listed["upload_id"].as_str().unwrap().to_owned()
}
