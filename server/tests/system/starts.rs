//! What a start refuses, and what it says then.

use std::process::{Command, Output};

use crate::harness::{Options, Server, eventually, get};

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A second server on the folder of `server`, and what it says.
fn serve_again(server: &Server, words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sluice"));
    command.env_clear().arg("serve").args(["--admin-listen", "127.0.0.1:0"]);
    command.arg("--data-dir").arg(server.data().root()).args(words);
    command.output().unwrap()
}

#[test]
fn a_data_directory_has_one_server() {
    let server = Server::start(Options::default());
    let second = serve_again(&server, &["--listen", "127.0.0.1:0"]);
    assert_eq!(second.status.code(), Some(1), "{}", said(&second));
    assert!(said(&second).contains("in use by another process"), "{}", said(&second));
    assert_eq!(get(&server.admin(), "/readyz").unwrap().code, 200, "the first one doesn't mind");
}

#[test]
fn a_wrong_setting_is_named_before_anything_is_opened() {
    let server = Server::prepare(Options::default());
    for (words, key) in [
        (&["--cpus", "9999"][..], "cpus"),
        (&["--memory-limit", "1M"], "memory_limit"),
        (&["--listen", "nowhere"], "listen"),
    ] {
        let refused = serve_again(&server, words);
        assert_eq!(refused.status.code(), Some(2), "{}", said(&refused));
        assert!(said(&refused).contains(key), "{}", said(&refused));
        assert!(!server.data().root().exists(), "{key}: nothing was made");
    }
}

#[test]
fn a_small_memlock_is_told_with_its_cure() {
    let server = Server::prepare(Options::default());
    // Root needs no memlock unless it gives the right up.
    let give_up = "exec setpriv --bounding-set=-ipc_lock --inh-caps=-ipc_lock sh -c \"$0\"";
    let serve = format!(
        "ulimit -l 64 && exec '{}' serve --listen 127.0.0.1:0 --admin-listen 127.0.0.1:0 \
         --memory-limit 256M --data-dir '{}'",
        env!("CARGO_BIN_EXE_sluice"),
        server.data().root().display()
    );
    let wrap = if Command::new("id").arg("-u").output().unwrap().stdout == b"0\n" {
        give_up
    } else {
        "exec sh -c \"$0\""
    };
    let refused = Command::new("sh").args(["-c", wrap, &serve]).output().unwrap();
    assert_eq!(refused.status.code(), Some(1), "{}", said(&refused));
    let said = said(&refused);
    assert!(said.contains("memlock") && said.contains("ulimit -l"), "{said}");
    assert!(!said.contains("panicked"), "{said}");
}

#[test]
fn the_banner_tells_what_to_do_next() {
    let server = Server::start(Options::default());
    let shards = server.options.cpus.split(',').count();
    for line in [
        format!("sluice {} · {shards} shard", env!("CARGO_PKG_VERSION")),
        format!("gRPC {}", server.address()),
        format!("status http://{}", server.admin()),
        format!("next: ./sluice --server {} put README.md", server.address()),
    ] {
        // It is ready a little before it says so.
        eventually(|| {
            let log = server.log();
            (!log.contains(&line)).then(|| format!("{line} isn't in\n{log}"))
        });
    }
}
