//! `put` of a folder: every file under its path, the odd ones told, and each goes on by itself.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::harness::{
    Ended, Options, Outcome, Server, audit, eventually, get, noise, sluice, text,
};

fn told(stdout: &str) -> Vec<Value> {
    stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// What was stored, by the name that the server has.
fn stored(output: &Output) -> BTreeMap<String, Value> {
    let stdout = std::str::from_utf8(&output.stdout).unwrap();
    let stored = told(stdout).into_iter().filter(|one| one.get("upload_id").is_some());
    stored.map(|one| (one["file"].as_str().unwrap().to_owned(), one)).collect()
}

fn write(root: &Path, files: &[(&str, Vec<u8>)]) {
    for (name, bytes) in files {
        let path = root.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
}

fn outcomes(stored: &BTreeMap<String, Value>, files: &[(&str, Vec<u8>)]) -> Vec<Outcome> {
    let outcome = |(name, bytes): &(&str, Vec<u8>)| Outcome {
        upload_id: stored[*name]["upload_id"].as_str().unwrap().to_owned(),
        filename: (*name).to_owned(),
        ended: Ended::Whole(bytes.clone()),
    };
    files.iter().map(outcome).collect()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn every_file_is_stored_under_its_path_and_the_odd_ones_are_told() {
    let server = Server::start(Options::default());
    let files = [
        ("in box/a b.txt", noise(1, 10)),
        ("in box/-dash", noise(2, 0)),
        ("in box/deep/er/\u{e9}\u{1f600} $(x) *'\".bin", noise(3, 3_000_000)),
        ("in box/deep/z", noise(4, 70_000)),
    ];
    let root = server.scratch();
    write(&root, &files);
    symlink("a b.txt", root.join("in box/link")).unwrap();
    fs::write(root.join("in box/new\nline"), "x").unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(root.join("in box/socket")).unwrap();
    let put = || {
        let mut command = sluice(&server);
        command.args(["put", "--json", "in box"]).output().unwrap()
    };
    let first = put();
    let said = stderr(&first);
    assert_eq!(first.status.code(), Some(3), "one was refused: {said}");
    assert!(said.contains("in box/link: skipped, a symbolic link"), "{said}");
    assert!(said.contains("in box/socket: skipped, no plain file"), "{said}");
    assert!(said.contains("in box/new\\nline: FIELD_INVALID"), "{said}");
    assert!(said.contains("4 files stored, 2.9 MiB, 1 failed, 2 skipped"), "{said}");
    let again = stored(&put());
    let first = stored(&first);
    assert_eq!(first.len(), files.len(), "{first:?}");
    for (name, one) in &first {
        assert_eq!(one["upload_id"], again[name]["upload_id"], "{name} goes on by itself");
    }
    audit(server, &outcomes(&first, &files));
}

#[test]
fn an_interrupted_folder_goes_on_where_it_was() {
    let server = Server::start(Options::default());
    let names: Vec<String> = (0..40).map(|number| format!("many/{number}")).collect();
    let files: Vec<(&str, Vec<u8>)> =
        names.iter().zip(0..).map(|(name, seed)| (name.as_str(), noise(seed, 200_000))).collect();
    write(&server.scratch(), &files);
    let mut slowly = sluice(&server);
    slowly.args(["put", "--json", "--limit", "2M", "many"]);
    let child = slowly.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let admin = server.admin();
    eventually(|| {
        let page = get(&admin, "/status.json")?.body;
        let status: Value = serde_json::from_str(&page).unwrap();
        let received = status["chunks"]["received_bytes"].as_u64().unwrap();
        (received < 1_000_000).then(|| format!("only {received} bytes came"))
    });
    let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
    let paused = child.wait_with_output().unwrap();
    assert_eq!(paused.status.code(), Some(5), "{paused:?}");
    assert!(stderr(&paused).contains("the same command goes on from there"), "{paused:?}");
    let before = stored(&paused);
    let output = sluice(&server).args(["put", "--json", "many"]).output().unwrap();
    text(&output);
    let all = stored(&output);
    assert_eq!(all.len(), files.len());
    for (name, one) in &before {
        assert_eq!(one["upload_id"], all[name]["upload_id"], "{name}");
    }
    audit(server, &outcomes(&all, &files));
}

#[test]
fn a_folder_that_cant_be_read_or_has_nothing_in_it_is_told() {
    let server = Server::start(Options::default());
    fs::create_dir(server.scratch().join("empty")).unwrap();
    let empty = sluice(&server).args(["put", "empty"]).output().unwrap();
    assert_eq!((text(&empty), empty.status.code()), ("", Some(0)));
    assert!(stderr(&empty).contains("0 files stored"), "{empty:?}");
    fs::write(server.scratch().join("a"), "a").unwrap();
    let here = sluice(&server).args(["put", "."]).output().unwrap();
    assert!(text(&here).starts_with("stored default/a  "), "no name of its own: {here:?}");
}
