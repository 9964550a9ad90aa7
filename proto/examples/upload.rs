//! Uploads a file, and goes on where an earlier run stopped:
//!
//! ```text
//! cargo run -p sluice-proto --features client --example upload -- 127.0.0.1:7070 big.iso
//! ```

use std::path::Path;
use std::process::ExitCode;

use sluice_proto::client::{Client, ClientError, Source, UploadOptions, UploadReport};

/// Uploads one file under its own name. `request_id` is what makes a second run find the first
/// one's upload again: visible ASCII without spaces that names this file and this version of it.
pub async fn upload(
    server: &str,
    path: &Path,
    request_id: &str,
) -> Result<UploadReport, ClientError> {
    let client = Client::connect(server).await?;
    let options = UploadOptions {
        filename: path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        metadata: [("made-by".to_owned(), "examples/upload.rs".to_owned())].into(),
        request_id: Some(request_id.to_owned()),
        ..Default::default()
    };
    let source = Source::open(path)?;
    let progress = |progress: &sluice_proto::client::Progress| {
        eprintln!("{} of {:?} bytes", progress.acked_bytes, progress.size_bytes);
    };
    client.upload(source, options, progress).await
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [server, path] = &arguments[..] else {
        eprintln!("usage: upload HOST:PORT FILE");
        return ExitCode::from(2);
    };
    match upload(server, Path::new(path), path).await {
        Ok(report) => {
            println!("node {}, CRC-64/NVME {:016x}", report.node_id, report.crc64nvme);
            ExitCode::SUCCESS
        }
        Err(error) if error.can_resume() => {
            eprintln!("{error}; run it again, and it goes on from there");
            ExitCode::from(5)
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
