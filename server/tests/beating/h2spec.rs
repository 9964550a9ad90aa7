//! HTTP/2 as its standard has it, judged by a program that nobody here wrote.

use crate::harness::{Options, Server, tool};
use crate::scene::until_all_is_back;

/// Below `target/test-tools`, where `scripts/test-tools` puts it.
const H2SPEC: &str = "bin/h2spec";

#[test]
fn h2spec_finds_nothing_wrong() {
    let server = Server::start(Options::default());
    let address = server.address();
    let (host, port) = address.split_once(':').unwrap();
    let ran = tool(H2SPEC)
        .args(["--host", host, "--port", port, "--timeout", "5"])
        // Five such headers are to be more than a frame may hold; by default it takes that to be
        // 16 KiB, whatever the server says.
        .args(["--max-header-length", "14000"])
        .output()
        .unwrap();
    let told = String::from_utf8(ran.stdout).unwrap();
    let sum = told.lines().last().unwrap_or_default();
    println!("{sum}");
    let is_clean = sum.starts_with("145 tests") && sum.ends_with(" 0 skipped, 0 failed");
    assert!(is_clean, "{told}");
    until_all_is_back(&server);
}
