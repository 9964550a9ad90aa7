//! nginx in front, set up by `docs/nginx.conf`: clients that know its address alone upload by TLS.

use std::fs::{self, File};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use data_encoding::BASE64;

use crate::harness::{
    Ended, FILE_BYTES, GRPCURL, Options, Outcome, Server, UploadLoop, audit, eventually,
    file_to_send, free_ports, noise, python_loop, root, seed, sha256, text, tool,
};

#[test]
fn the_python_loop_goes_on_through_nginx_after_a_kill() {
    let bytes = noise(seed("nginx"), FILE_BYTES);
    let mut server = Server::start(Options::default());
    let nginx = Nginx::start(&server);
    let file = file_to_send(&server, &bytes);
    let mut command = python_loop(&server);
    command.env("GRPC_DEFAULT_SSL_ROOTS_FILE_PATH", nginx.certificate());
    let mut running = UploadLoop::start(command, &format!("https://{}", nginx.address()), &file);
    running.wait_for_chunks(30);
    server.kill();
    running.assert_runs();
    server.restart();
    let upload_id = running.stored();
    audit(server, &[whole(upload_id, bytes)]);
}

#[test]
fn bodies_of_any_size_pass_through_nginx() {
    let server = Server::start(Options::default());
    let nginx = Nginx::start(&server);
    // Within one read of nginx's, within one of its windows, and above all of them.
    let sizes = [0, 1, 5_000, 40_000, 100_000, 3 << 20];
    let outcomes: Vec<Outcome> = sizes
        .map(|size| {
            let bytes = noise(size as u64, size);
            whole(nginx.upload_whole(&server, &bytes), bytes)
        })
        .into();
    audit(server, &outcomes);
}

/// nginx tells the server how long a body is where the client told it, as curl does.
#[test]
fn a_request_that_tells_its_length_passes_through_nginx() {
    let server = Server::start(Options::default());
    let nginx = Nginx::start(&server);
    let request = server.scratch().join("request");
    // `filename` "f" and an empty payload.
    fs::write(&request, [0, 0, 0, 0, 6, 0x1a, 1, b'f', 0xc2, 0x3e, 0]).unwrap();
    let answer = Command::new("curl")
        .args(["--silent", "--show-error", "--http2", "--max-time", "30", "--dump-header", "-"])
        .arg("--cacert")
        .arg(nginx.certificate())
        .args(["--header", "content-type: application/grpc", "--header", "te: trailers"])
        .arg("--data-binary")
        .arg(format!("@{}", request.display()))
        .args(["--output", "/dev/null"])
        .arg(format!("https://{}/sluice.upload.v1.UploadService/InitiateUpload", nginx.address()))
        .output()
        .unwrap();
    let head = text(&answer);
    assert!(head.lines().any(|line| line.trim() == "grpc-status: 0"), "{head}");
}

fn whole(upload_id: String, bytes: Vec<u8>) -> Outcome {
    Outcome { upload_id, filename: String::new(), ended: Ended::Whole(bytes) }
}

/// A proxy, until it is dropped.
struct Nginx {
    process: Child,
    folder: PathBuf,
    port: u16,
}

impl Nginx {
    fn start(server: &Server) -> Self {
        let folder = server.scratch().join("nginx");
        fs::create_dir(&folder).unwrap();
        let port = free_ports(1);
        make_certificate(&folder);
        fs::write(folder.join("nginx.conf"), settings(&folder, port, server)).unwrap();
        let log = File::create(folder.join("log")).unwrap();
        let process = Command::new("nginx")
            .arg("-p")
            .arg(&folder)
            .args(["-c", "nginx.conf", "-e", "stderr"])
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| panic!("nginx: {error}: scripts/test-tools gets it"));
        let nginx = Self { process, folder, port };
        let log = nginx.folder.join("log");
        eventually(|| {
            let connected = TcpStream::connect(("127.0.0.1", port));
            connected.err().map(|error| format!("{error}: {}", fs::read_to_string(&log).unwrap()))
        });
        nginx
    }

    fn address(&self) -> String {
        format!("localhost:{}", self.port)
    }

    fn certificate(&self) -> PathBuf {
        self.folder.join("cert.pem")
    }

    /// Uploads in one call, by grpcurl. Returns the upload's id.
    fn upload_whole(&self, server: &Server, bytes: &[u8]) -> String {
        let request = server.scratch().join("request.json");
        let payload = BASE64.encode(bytes);
        fs::write(&request, format!(r#"{{"filename": "f", "payload": "{payload}"}}"#)).unwrap();
        let output = tool(GRPCURL)
            .args(["-max-time", "30", "-d", "@", "-cacert"])
            .arg(self.certificate())
            .arg(self.address())
            .arg("sluice.upload.v1.UploadService/InitiateUpload")
            .stdin(File::open(&request).unwrap())
            .output()
            .unwrap();
        let answer: serde_json::Value = serde_json::from_str(text(&output)).unwrap();
        assert_eq!(answer["state"], "UPLOAD_STATE_COMPLETED", "{answer}");
        assert_eq!(answer["object"]["sha256"], BASE64.encode(&sha256(bytes)), "{answer}");
        answer["uploadId"].as_str().unwrap().to_owned()
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // Its workers end with it only if it is asked.
        let _ = Command::new("kill").args(["-TERM", &self.process.id().to_string()]).status();
        let _ = self.process.wait();
    }
}

/// The documented settings, with the test's ports and files.
fn settings(folder: &Path, port: u16, server: &Server) -> String {
    let mut site = fs::read_to_string(root().join("docs/nginx.conf")).unwrap();
    for (documented, tested) in [
        ("server 127.0.0.1:7070;", format!("server {};", server.address())),
        ("listen 443 ssl", format!("listen 127.0.0.1:{port} ssl")),
        ("/etc/nginx/sluice/cert.pem", "cert.pem".into()),
        ("/etc/nginx/sluice/key.pem", "key.pem".into()),
    ] {
        assert!(site.contains(documented), "docs/nginx.conf has no {documented}");
        site = site.replace(documented, &tested);
    }
    let paths: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path {}/temporary;\n", folder.display()))
        .concat();
    format!(
        "daemon off;\nworker_processes 1;\npid pid;\nevents {{ worker_connections 512; }}\n\
         http {{\naccess_log off;\n{paths}{site}}}\n"
    )
}

fn make_certificate(folder: &Path) {
    let output = Command::new("openssl")
        .args(["req", "-x509", "-nodes", "-days", "2", "-subj", "/CN=localhost"])
        .args(["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"])
        .args(["-addext", "subjectAltName=DNS:localhost", "-keyout", "key.pem", "-out", "cert.pem"])
        .current_dir(folder)
        .output()
        .unwrap_or_else(|error| panic!("openssl: {error}: scripts/test-tools gets it"));
    text(&output);
}
