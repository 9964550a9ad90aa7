//! The command against a small server that counts, holds and lies.

mod fake;
mod lists;
mod reference;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use fake::{Fake, World};

const DATA: &[u8] = b"0123456789";

fn sluice(server: &Fake) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sluice"));
    command.env("SLUICE_SERVER", server.address()).stdin(Stdio::null());
    command
}

fn file(folder: &Path) -> PathBuf {
    let path = folder.join("big.iso");
    std::fs::write(&path, DATA).unwrap();
    path
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap_or_else(|| panic!("{output:?}"))
}

#[test]
fn a_file_is_stored_whole_and_the_result_is_on_stdout() {
    let (server, folder) = (Fake::start(World::default()), tempfile::tempdir().unwrap());
    let path = file(folder.path());
    let put = ["put", "--chunk-size", "3", "--meta", "k=v", "--type", "text/plain"];
    let output = sluice(&server).args(put).arg(&path).output().unwrap();
    assert_eq!(code(&output), 0, "{output:?}");
    assert!(text(&output.stdout).starts_with("stored default/big.iso  crc64nvme="), "{output:?}");
    assert!(text(&output.stderr).contains("big.iso: 100 %"), "{output:?}");
    let world = server.world();
    assert_eq!(world.whole(), DATA);
    assert_eq!(world.initiated.len(), 1);
    let request = &world.initiated[0];
    assert_eq!((request.filename.as_str(), request.mime_type.as_str()), ("big.iso", "text/plain"));
    assert_eq!((request.metadata["k"].as_str(), request.chunk_size_bytes), ("v", 3));
}

#[test]
fn the_same_command_goes_on_and_sends_only_what_is_missing() {
    let chunks = [(0, b"012".to_vec()), (2, b"678".to_vec())].into();
    let world = World { chunks, duplicate: true, ..World::default() };
    let (server, folder) = (Fake::start(world), tempfile::tempdir().unwrap());
    let path = file(folder.path());
    let put = ["put", "--json", "-q", "--chunk-size", "3"];
    let run = || sluice(&server).args(put).arg(&path).output().unwrap();
    let output = run();
    assert_eq!((code(&output), text(&output.stderr)), (0, ""));
    let read: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&read["resumed_bytes"], &read["size_bytes"]), (&6.into(), &10.into()));
    assert_eq!(server.world().chunk_calls, 2);
    run();
    let no_resume = sluice(&server).args(put).arg("--no-resume").arg(&path).output().unwrap();
    assert_eq!(code(&no_resume), 0);
    let world = server.world();
    let ids: Vec<&str> =
        world.initiated.iter().map(|request| request.request_id.as_str()).collect();
    assert_eq!(ids[0], ids[1]);
    assert_ne!(ids[0], ids[2]);
}

#[test]
fn the_standard_input_is_uploaded_to_its_end() {
    let server = Fake::start(World::default());
    let mut command = sluice(&server);
    let command = command.args(["put", "-", "--chunk-size", "4"]).stdin(Stdio::piped());
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(DATA).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(code(&output), 0, "{output:?}");
    assert!(text(&output.stdout).starts_with("stored default/stdin "), "{output:?}");
    assert_eq!(server.world().whole(), DATA);
}

#[test]
fn an_interrupt_pauses_and_says_how_to_go_on() {
    let world = World { holds_from: Some(2), ..World::default() };
    let (server, folder) = (Fake::start(world), tempfile::tempdir().unwrap());
    let path = file(folder.path());
    let mut command = sluice(&server);
    command.args(["put", "--chunk-size", "3", "--parallel", "1"]).arg(&path);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    server.wait_for_chunk_calls(3);
    Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(code(&output), 5, "{output:?}");
    let paused = "paused at 6 B; the same command goes on from there\n";
    assert!(text(&output.stderr).ends_with(paused), "{output:?}");
}

#[test]
fn exit_codes_tell_refusal_integrity_and_usage_apart() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(folder.path());
    let put = |world| sluice(&Fake::start(world)).arg("put").arg(&path).output().unwrap();
    let refused = put(World { refuses: true, ..World::default() });
    assert_eq!(code(&refused), 3, "{refused:?}");
    assert!(text(&refused.stderr).contains("DRIVE_UNKNOWN"), "{refused:?}");
    assert_eq!(code(&put(World { lies: true, ..World::default() })), 4);
    let server = Fake::start(World::default());
    for wrong in [&["put"][..], &["put", "/nowhere/at/all"], &["put", "/dev/null"], &["fly"]] {
        assert_eq!(code(&sluice(&server).args(wrong).output().unwrap()), 2, "{wrong:?}");
    }
    // Nobody listens there: the same command can be run later.
    let mut alone = Command::new(env!("CARGO_BIN_EXE_sluice"));
    let alone = alone.args(["put", "--server", "127.0.0.1:1"]).arg(&path);
    assert_eq!(code(&alone.output().unwrap()), 5);
}

#[test]
fn status_and_abort_name_the_upload_by_its_id() {
    let server = Fake::start(World { chunks: [(0, DATA.to_vec())].into(), ..World::default() });
    let status = sluice(&server).args(["status", "u"]).output().unwrap();
    assert_eq!(code(&status), 0, "{status:?}");
    assert!(text(&status.stdout).starts_with("UPLOADING  default/big.iso  10 B in 1 chunks"));
    let abort = sluice(&server).args(["abort", "u"]).output().unwrap();
    assert_eq!((code(&abort), text(&abort.stdout)), (0, "aborted u\n"));
    let unknown = sluice(&server).args(["status", "v"]).output().unwrap();
    assert_eq!(code(&unknown), 3, "{unknown:?}");
    let waited = sluice(&server).args(["status", "-w", "u"]).output().unwrap();
    assert_eq!(code(&waited), 3, "it was aborted: {waited:?}");
}
