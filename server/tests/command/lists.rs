//! Lists: all pages of them, as a reader or a program wants them.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use serde_json::Value;

use crate::fake::{Fake, World};
use crate::{code, sluice, text};

const NODES: usize = 1234;

#[test]
fn ls_goes_through_all_pages() {
    let server = Fake::start(World { nodes: NODES, ..World::default() });
    let output = sluice(&server).args(["ls", "--name", "x", "--drive", "d"]).output().unwrap();
    assert_eq!(code(&output), 0, "{output:?}");
    let lines: Vec<&str> = text(&output.stdout).lines().collect();
    assert_eq!(lines.len(), NODES, "one a node, and no heading in a pipe");
    assert_eq!(lines[NODES - 1], "1233\t2023-11-14T22:13:20Z\tn1233\tfile 1233");
    let world = server.world();
    assert!(world.pages.len() > 1 && world.pages.len() < NODES / 100);
    assert!(world.pages.iter().all(|page| page.filename == "x" && page.drive_id == "d"));
}

#[test]
fn ls_in_json_is_one_object_a_line_by_the_names_of_the_contract() {
    let server = Fake::start(World { nodes: 2, ..World::default() });
    let output = sluice(&server).args(["ls", "--json"]).output().unwrap();
    let lines = text(&output.stdout).lines();
    let read: Vec<Value> = lines.map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(read.len(), 2);
    assert_eq!(read[1]["node_id"], "n1");
    assert_eq!(read[1]["object"]["size_bytes"], 1);
    assert_eq!(read[1]["create_time"], "2023-11-14T22:13:20Z");
}

#[test]
fn who_has_seen_enough_of_a_list_gets_no_more() {
    let server = Fake::start(World { nodes: 10_000_000, ..World::default() });
    let mut command = sluice(&server);
    let mut child = command.arg("ls").stdout(Stdio::piped()).spawn().unwrap();
    let mut first = String::new();
    // Dropped after one line, as `head` does.
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
    assert!(first.ends_with("\tfile 0\n"), "{first}");
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(server.world().pages.len() < 100);
}

#[test]
fn uploads_are_listed_by_state() {
    let server = Fake::start(World::default());
    let output = sluice(&server).args(["uploads", "--state", "uploading"]).output().unwrap();
    assert_eq!((code(&output), text(&output.stdout)), (0, "UPLOADING\t0\t4096\t\tu\tbig.iso\n"));
    let json = sluice(&server).args(["uploads", "--json", "--state", "failed"]).output().unwrap();
    let read: Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!((&read["state"], &read["object"]), (&"FAILED".into(), &Value::Null));
    let wrong = sluice(&server).args(["uploads", "--state", "lost"]).output().unwrap();
    assert_eq!(code(&wrong), 2, "{wrong:?}");
}

#[test]
fn a_drive_is_made_as_asked_and_listed() {
    let server = Fake::start(World::default());
    let create = ["drive", "create", "d", "--bucket", "b", "--prefix", "p/", "--quota", "2T"];
    let made = sluice(&server).args(create).args(["--credentials-ref", "c"]).output().unwrap();
    assert_eq!((code(&made), text(&made.stdout)), (0, "created d\n"), "{made:?}");
    let listed = sluice(&server).args(["drive", "ls"]).output().unwrap();
    assert_eq!(text(&listed.stdout), "d\t2199023255552\t\tc\tb\tp/\n");
    let json = sluice(&server).args(["drive", "ls", "--json"]).output().unwrap();
    let read: Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(read["quota_bytes"], 2_i64 << 40);
}

#[test]
fn each_shell_gets_a_script_with_every_command() {
    let server = Fake::start(World::default());
    for shell in ["bash", "zsh", "fish"] {
        let output = sluice(&server).args(["completion", shell]).output().unwrap();
        let script = text(&output.stdout);
        for word in ["put", "uploads", "drive", "if-not-exists"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
    }
    assert_eq!(code(&sluice(&server).args(["completion", "tcsh"]).output().unwrap()), 2);
}
