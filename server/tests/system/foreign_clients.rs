//! Clients that nobody here wrote: Python's grpcio with the stubs that its own tools make, and
//! grpcurl with no file in hand.

use std::path::Path;
use std::process::Command;

use data_encoding::BASE64;
use serde_json::Value;

use crate::harness::{
    Ended, GRPCURL, Options, Outcome, PYTHON, Server, audit, make_stubs, seed, sha256, text, tool,
};

#[test]
fn stock_python_uploads_in_any_order_and_reads_every_refusal() {
    let seed = seed("python");
    let server = Server::start(Options::default());
    let (stubs, sent) = (server.scratch().join("stubs"), server.scratch().join("sent"));
    std::fs::create_dir(&sent).unwrap();
    make_stubs(&stubs);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/system/foreign_clients");
    let ran = tool(PYTHON)
        .env("PYTHONPATH", &stubs)
        .arg(script.join("uploads.py"))
        .arg(server.address())
        .arg(&sent)
        .arg(seed.to_string())
        .output()
        .unwrap();
    let told = text(&ran);
    assert_eq!(told.lines().count(), 8, "{told}");
    let outcomes: Vec<Outcome> = std::fs::read_dir(&sent)
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            let upload_id = path.file_name().unwrap().to_str().unwrap().to_owned();
            let ended = Ended::Whole(std::fs::read(&path).unwrap());
            Outcome { upload_id, filename: String::new(), ended }
        })
        .collect();
    assert_eq!(outcomes.len(), 7);
    audit(server, &outcomes);
}

#[test]
fn grpcurl_finds_and_calls_everything_by_reflection() {
    let server = Server::start(Options::default());
    let listed = text(&grpcurl(&server, None, &["list"]).output().unwrap()).to_owned();
    for service in ["grpc.health.v1.Health", "sluice.upload.v1.UploadService"] {
        assert!(listed.lines().any(|line| line == service), "{service} isn't in\n{listed}");
    }
    let described = grpcurl(&server, None, &["describe", "sluice.upload.v1.UploadChunkRequest"]);
    assert!(text(&{ described }.output().unwrap()).contains("bytes data = 1000;"));

    let health = call(&server, "{}", "grpc.health.v1.Health/Check");
    assert_eq!(health["status"], "SERVING");

    let initiate = r#"{"filename": "hello.txt", "mime_type": "text/plain", "payload": "aGVsbG8="}"#;
    let stored = call(&server, initiate, "sluice.upload.v1.UploadService/InitiateUpload");
    assert_eq!(stored["state"], "UPLOAD_STATE_COMPLETED", "{stored}");
    assert_eq!(stored["object"]["sizeBytes"], "5");

    let upload_id = stored["uploadId"].as_str().unwrap().to_owned();
    let asked = format!(r#"{{"upload_id": "{upload_id}"}}"#);
    let status = call(&server, &asked, "sluice.upload.v1.UploadService/GetUploadStatus");
    assert_eq!(status["upload"]["filename"], "hello.txt", "{status}");
    assert_eq!(status["upload"]["object"], stored["object"]);
    assert_eq!(
        status["receivedRanges"],
        serde_json::json!([{}]),
        "from 0 to 0, which JSON leaves out"
    );
    assert_eq!(stored["object"]["sha256"], BASE64.encode(&sha256(b"hello")));

    let unknown = r#"{"upload_id": "nobody's"}"#;
    let method = "sluice.upload.v1.UploadService/GetUploadStatus";
    let refused = grpcurl(&server, Some(unknown), &[method]).output().unwrap();
    assert!(!refused.status.success());
    let told = String::from_utf8(refused.stderr).unwrap();
    assert!(told.contains("Code: NotFound") && told.contains("UPLOAD_UNKNOWN"), "{told}");

    let ended = Ended::Whole(b"hello".to_vec());
    audit(server, &[Outcome { upload_id, filename: "hello.txt".into(), ended }]);
}

/// grpcurl's flags come before the address, what it is to do after.
fn grpcurl(server: &Server, data: Option<&str>, what: &[&str]) -> Command {
    let mut command = tool(GRPCURL);
    command.args(["-plaintext", "-max-time", "30"]);
    if let Some(data) = data {
        command.args(["-d", data]);
    }
    command.arg(server.address()).args(what);
    command
}

fn call(server: &Server, data: &str, method: &str) -> Value {
    serde_json::from_str(text(&grpcurl(server, Some(data), &[method]).output().unwrap())).unwrap()
}
