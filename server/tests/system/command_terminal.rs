//! The command on a terminal, in a pipe, and where nobody reads what it prints.

use std::io::Read as _;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::harness::{
    Ended, INTERRUPT, Options, Outcome, Server, Terminal, audit, noise, sluice, text,
};

/// The bytes of a file that takes seconds at [`LIMIT`].
const SLOW_BYTES: usize = 8 << 20;
const LIMIT: [&str; 4] = ["--chunk-size", "64K", "--limit", "2M"];

fn put(server: &Server, words: &[&str]) -> Command {
    let mut command = sluice(server);
    command.env("TERM", "xterm").env("NO_COLOR", "1").arg("put").args(words).arg("big.iso");
    command
}

/// Of what `put --json` told.
fn upload_id(output: &Output) -> String {
    let told: serde_json::Value = serde_json::from_str(text(output)).unwrap();
    told["upload_id"].as_str().unwrap().to_owned()
}

#[test]
fn a_bar_moves_on_the_terminal_and_ctrl_c_pauses_it() {
    let server = Server::start(Options::default());
    let bytes = noise(1, SLOW_BYTES);
    std::fs::write(server.scratch().join("big.iso"), &bytes).unwrap();
    let mut terminal = Terminal::start(put(&server, &LIMIT));
    terminal.wait_for(|screen| screen.matches(" MiB  ").count() > 3);
    terminal.press(INTERRUPT);
    let (ended, screen) = terminal.wait();
    assert_eq!(ended.code(), Some(5), "{screen:?}");
    let last = screen.trim_end().rsplit("\r\n").next().unwrap();
    assert!(last.contains("paused at "), "{screen:?}");
    assert!(last.ends_with("; the same command goes on from there"), "{screen:?}");
    assert!(screen.contains("big.iso") && screen.contains("8.00 MiB"), "{screen:?}");
    assert!(screen.contains(" parallel \u{b7} 0 retries"), "{screen:?}");
    assert!(screen.matches('\r').count() > 3, "it is one line, drawn again: {screen:?}");
    assert!(!has_colour(&screen), "{screen:?}");

    let (ended, screen) = Terminal::start(put(&server, &["--chunk-size", "64K"])).wait();
    assert!(ended.success(), "{screen:?}");
    assert!(screen.contains("stored default/big.iso  crc64nvme="), "{screen:?}");
    assert!(screen.contains("big.iso: resumed at "), "{screen:?}");

    let again = put(&server, &["--json", "--chunk-size", "64K"]).output().unwrap();
    let upload_id = upload_id(&again);
    let outcome = Outcome { upload_id, filename: "big.iso".into(), ended: Ended::Whole(bytes) };
    audit(server, &[outcome]);
}

/// Whether an escape code sets colours or weight.
fn has_colour(screen: &str) -> bool {
    let codes = screen.split("\x1b[").skip(1);
    codes.into_iter().any(|code| {
        let end = code.find(|c: char| c.is_ascii_alphabetic());
        end.is_some_and(|end| code[end..].starts_with('m') && !matches!(&code[..end], "" | "0"))
    })
}

#[test]
fn a_pipe_gets_lines_on_stderr_and_the_result_alone_on_stdout() {
    let server = Server::start(Options::default());
    std::fs::write(server.scratch().join("big.iso"), noise(2, SLOW_BYTES)).unwrap();
    let output = put(&server, &["--chunk-size", "64K"]).output().unwrap();
    let stdout = text(&output);
    assert!(stdout.starts_with("stored default/big.iso  crc64nvme="), "{stdout:?}");
    assert_eq!(stdout.lines().count(), 1, "{stdout:?}");
    let stderr = String::from_utf8(output.stderr.clone()).unwrap();
    assert!(!stderr.contains(['\x1b', '\r']), "{stderr:?}");
    assert!(stderr.lines().count() > 3 && stderr.ends_with("100 %, 8.0 MiB of 8.0 MiB\n"));
    let quiet = put(&server, &["-q", "--no-resume"]).output().unwrap();
    assert_eq!((text(&quiet).lines().count(), quiet.stderr.len()), (1, 0), "{quiet:?}");
}

#[test]
fn a_limit_is_kept() {
    let server = Server::start(Options::default());
    std::fs::write(server.scratch().join("big.iso"), noise(3, 1 << 20)).unwrap();
    let begin = Instant::now();
    let output = put(&server, &["--chunk-size", "64K", "--limit", "1M"]).output().unwrap();
    // All but the last chunk are waited for.
    assert!(begin.elapsed() >= Duration::from_millis(930), "{:?}: {output:?}", begin.elapsed());
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn nobody_has_to_read_what_is_printed() {
    let server = Server::start(Options::default());
    std::fs::write(server.scratch().join("big.iso"), noise(4, 1 << 20)).unwrap();
    let mut stored = put(&server, &["--chunk-size", "64K"]);
    stored.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = stored.spawn().unwrap();
    drop((child.stdout.take(), child.stderr.take()));
    let ended = child.wait().unwrap();
    assert!(ended.success(), "it was put all the same: {ended}");

    for words in [&["completion", "bash"][..], &["status", "none"], &["abort", "none"], &["--help"]]
    {
        let mut command = sluice(&server);
        command.args(words).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut begin = [0];
        // One byte of what is long, so that it breaks in the middle.
        let _ = child.stdout.as_mut().unwrap().read(&mut begin[..usize::from(words.len() == 2)]);
        drop((child.stdout.take(), child.stderr.take()));
        let ended = child.wait().unwrap();
        assert!(matches!(ended.code(), Some(0..=3)), "{words:?}: {ended}");
    }
}
