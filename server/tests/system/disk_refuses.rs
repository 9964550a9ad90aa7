//! A disk that refuses is told of, and tried again until it doesn't.

use crate::harness::{Kind, Options, Pace, Server, audit, eventually, get, work};

const REFUSED: &str =
    "sluice_backend_request_duration_seconds_count{backend=\"disk\",op=\"seal\",outcome=\"error\"}";

#[test]
fn a_refusing_disk_is_told_of_and_tried_again() {
    let server = Server::start(Options::default());
    let objects = server.data().root().join("objects");
    // A file where the objects' folder belongs: whatever user runs this, no folder can be made.
    std::fs::remove_dir(&objects).unwrap();
    std::fs::write(&objects, "in the way").unwrap();
    let address = server.address();
    let working = std::thread::spawn(move || work(Kind::ALL[0], &address, 1, Pace::default()));
    eventually(|| {
        let metrics = get(&server.admin(), "/metrics").unwrap().body;
        let log = server.log();
        let counted = metrics.lines().any(|line| line.starts_with(REFUSED));
        let told = log.contains("work=\"seal\"") && log.contains("Not a directory");
        (!counted || !told).then(|| format!("counted: {counted}, told: {told}\n{log}"))
    });
    std::fs::remove_file(&objects).unwrap();
    audit(server, &[working.join().unwrap()]);
}
