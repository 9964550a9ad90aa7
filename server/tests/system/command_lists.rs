//! `ls`, `uploads`, `drive` and `status -w`: what the command says is there is what is there.

use std::process::{Output, Stdio};

use serde_json::Value;

use crate::harness::{
    Ended, Options, Outcome, Server, Terminal, audit, eventually, noise, sluice, text,
};

/// Takes some 2 s at this limit.
const SLOW_BYTES: usize = 4 << 20;
const SLOWLY: [&str; 4] = ["--chunk-size", "64K", "--limit", "2M"];

fn run(server: &Server, words: &[&str]) -> Output {
    sluice(server).args(words).output().unwrap()
}

fn json(server: &Server, words: &[&str]) -> Vec<Value> {
    let output = run(server, words);
    text(&output).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn ls_tells_the_files_that_were_put_and_where() {
    let server = Server::start(Options::default());
    let created = run(&server, &["drive", "create", "invoices"]);
    assert_eq!(text(&created), "created invoices\n");
    assert_eq!(text(&run(&server, &["drive", "create", "invoices"])), "created invoices\n");
    let drives = json(&server, &["drive", "ls", "--json"]);
    let ids: Vec<&Value> = drives.iter().map(|drive| &drive["drive_id"]).collect();
    assert_eq!(ids, ["default", "invoices"]);

    let bytes = noise(1, 100_000);
    std::fs::write(server.scratch().join("a b.txt"), &bytes).unwrap();
    let put = ["put", "--json", "--drive", "invoices", "--meta", "k=v", "a b.txt"];
    let stored = json(&server, &put).remove(0);
    assert_eq!(text(&run(&server, &["ls"])), "", "the other drive");
    let ls = json(&server, &["ls", "--json", "--drive", "invoices", "--name", "a b.txt"]);
    assert_eq!(ls.len(), 1);
    for name in ["node_id", "upload_id"] {
        assert_eq!(ls[0][name], stored[name], "{name}");
    }
    for name in ["size_bytes", "sha256", "crc64nvme", "key"] {
        assert_eq!(ls[0]["object"][name], stored[name], "{name}");
    }
    assert_eq!(ls[0]["metadata"]["k"], "v");
    assert_eq!(text(&run(&server, &["ls", "--drive", "invoices", "--name", "b.txt"])), "");
    let unknown = run(&server, &["ls", "--drive", "nowhere"]);
    assert_eq!(unknown.status.code(), Some(3), "{unknown:?}");

    let mut command = sluice(&server);
    command.args(["ls", "--drive", "invoices"]);
    let (ended, screen) = Terminal::start(command).wait();
    assert!(ended.success(), "{screen:?}");
    let lines: Vec<&str> = screen.lines().collect();
    assert!(lines[0].starts_with("SIZE      CREATED "), "{screen:?}");
    assert!(lines[1].starts_with("97.7 KiB  20") && lines[1].ends_with("  a b.txt"), "{screen:?}");

    let upload_id = stored["upload_id"].as_str().unwrap().to_owned();
    let ended = Ended::Whole(bytes);
    audit(server, &[Outcome { upload_id, filename: "a b.txt".into(), ended }]);
}

#[test]
fn an_upload_is_listed_while_it_runs_and_followed_to_its_end() {
    let server = Server::start(Options::default());
    let bytes = noise(2, SLOW_BYTES);
    std::fs::write(server.scratch().join("big.iso"), &bytes).unwrap();
    let mut slowly = sluice(&server);
    slowly.args(["put", "-q"]).args(SLOWLY).arg("big.iso");
    let mut put = slowly.stdout(Stdio::null()).spawn().unwrap();
    let mut upload_id = String::new();
    eventually(|| {
        let running = json(&server, &["uploads", "--json", "--state", "uploading"]);
        let first = running.first().filter(|first| first["filename"] == "big.iso");
        upload_id = first.map_or("", |first| first["upload_id"].as_str().unwrap()).to_owned();
        upload_id.is_empty().then(|| format!("{running:?}"))
    });
    let followed = run(&server, &["status", "-w", &upload_id]);
    assert!(put.wait().unwrap().success());
    let lines: Vec<&str> = text(&followed).lines().collect();
    assert!(lines[0].starts_with("UPLOADING  default/big.iso  "), "{lines:?}");
    let end = lines[lines.len() - 1];
    assert!(end.starts_with("COMPLETED  default/big.iso  4.0 MiB of 4.0 MiB in 64 of 64"), "{end}");
    assert_eq!(json(&server, &["uploads", "--json", "--state", "uploading"]).len(), 0);
    let ended = json(&server, &["uploads", "--json"]);
    assert_eq!((ended.len(), &ended[0]["state"]), (1, &"COMPLETED".into()), "{ended:?}");
    let outcome = Outcome { upload_id, filename: "big.iso".into(), ended: Ended::Whole(bytes) };
    audit(server, &[outcome]);
}

#[test]
fn following_tells_apart_how_it_ended() {
    let server = Server::start(Options::default());
    let waited = run(&server, &["status", "-w", "nobody's"]);
    assert_eq!(waited.status.code(), Some(3), "{waited:?}");
    std::fs::write(server.scratch().join("big.iso"), noise(3, SLOW_BYTES)).unwrap();
    let mut slowly = sluice(&server);
    slowly.args(["put", "-q", "--json"]).args(SLOWLY).arg("big.iso");
    let put = slowly.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut upload_id = String::new();
    eventually(|| {
        let running = json(&server, &["uploads", "--json", "--state", "uploading"]);
        upload_id = running.first().map_or("", |one| one["upload_id"].as_str().unwrap()).to_owned();
        upload_id.is_empty().then(|| "it isn't listed".to_owned())
    });
    text(&run(&server, &["abort", &upload_id]));
    let followed = run(&server, &["status", "-w", &upload_id]);
    assert_eq!(followed.status.code(), Some(3), "{followed:?}");
    let put = put.wait_with_output().unwrap();
    assert_eq!(put.status.code(), Some(3), "it can't go on: {put:?}");
}
