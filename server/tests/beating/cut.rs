//! A client whose link is cut in the middle of an upload: no end of its connection ever comes.

use std::io::Write as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use sluice_proto::pb::{AbortUploadRequest, UploadState};

use crate::harness::{Calls, Ended, Link, Options, Outcome, eventually, get, noise, text};
use crate::scene::{Scene, metric};

/// The pings' 60 s, and a busy machine's delay: without pings it never ends.
const WITHIN: Duration = Duration::from_secs(180);

/// Puts what is written to the child's input, from behind the link.
fn put(link: &Link, server: &str) -> Child {
    let mut command = link.command(env!("CARGO_BIN_EXE_sluice"));
    command.args(["--server", server, "put", "-", "--chunk-size", "1M"]);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

#[test]
#[ignore = "long, and needs root: make beating"]
fn a_client_whose_link_is_cut_is_ended_by_pings() {
    let link = Link::new("sluice-cut", "10.213.47.1", "10.213.47.2").unwrap();
    let mut scene = Scene::start(Options { ip: link.here, ..Options::default() });
    let (address, admin) = (scene.server.address(), scene.server.admin());
    let figure = |name: &str| metric(&get(&admin, "/metrics").unwrap().body, name);
    let mut client = put(&link, &address);
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
