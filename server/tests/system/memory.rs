//! What the process holds stays within its limit, whatever comes in at once.

use std::sync::Arc;
use std::time::Duration;

use sluice_proto::client::{Client, RetryPolicy, Source, UploadOptions};

use crate::harness::{DataDir, Options, Server, hex, noise, runtime, sha256};

const UPLOADS: usize = 64;
const UPLOAD_BYTES: usize = 64 << 20;
const LIMIT_BYTES: u64 = 256 << 20;
/// What a shard may have beside the limit: its code, stack and rings.
const SHARD_BYTES: u64 = 48 << 20;

#[test]
fn resident_memory_stays_within_the_limit_under_64_parallel_uploads() {
    let server = Server::start(Options { memory_limit: "256M", ..Options::default() });
    let shards = server.options.cpus.split(',').count() as u64;
    let runtime = runtime();
    let bytes = noise(1, UPLOAD_BYTES);
    let path = server.scratch().join("source");
    std::fs::write(&path, &bytes).unwrap();
    let file = Arc::new(std::fs::File::open(&path).unwrap());
    let uploads: Vec<_> = (0..UPLOADS)
        .map(|number| {
            let (address, file) = (server.address(), file.clone());
            runtime.spawn(async move { upload(&address, file, number).await })
        })
        .collect();
    let sum = sha256(&bytes);
    for upload in uploads {
        assert_eq!(hex(&runtime.block_on(upload).unwrap()), hex(&sum));
    }
    let peak_bytes = server.memory_bytes("VmHWM");
    let allowed_bytes = LIMIT_BYTES + shards * SHARD_BYTES;
    println!("peak {} MiB of {} MiB allowed", peak_bytes >> 20, allowed_bytes >> 20);
    assert!(peak_bytes <= allowed_bytes, "{peak_bytes} bytes were held, {allowed_bytes} allowed");
    assert_all_are(&server.data(), &bytes);
}

async fn upload(address: &str, file: Arc<std::fs::File>, number: usize) -> Vec<u8> {
    // Being told to come back later is what this is about.
    let retry = RetryPolicy { max: Duration::from_secs(2), ..Default::default() };
    let client = Client::connect(address).await.unwrap().with_retry(retry);
    let options = UploadOptions {
        filename: format!("file-{number}"),
        chunk_bytes: Some(4 << 20),
        // Beside the server's memory, the test's own: each holds its chunks.
        parallel: Some(2),
        ..UploadOptions::default()
    };
    let source = Source::File { file, size_bytes: UPLOAD_BYTES as u64 };
    let report = client.upload(source, options, |_| ()).await.unwrap();
    report.object.sha256.to_vec()
}

/// The SHA-256 that the server told is of what came in; this looks at what lies on the disk.
fn assert_all_are(data: &DataDir, bytes: &[u8]) {
    let objects = data.objects();
    assert_eq!(objects.len(), UPLOADS);
    for object in objects {
        assert!(std::fs::read(&object.path).unwrap() == bytes, "{}", object.path.display());
    }
}
