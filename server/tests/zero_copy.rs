//! A whole server takes a chunk and a payload of 64 MiB without one large piece of memory beside
//! its pools: nothing is ever gathered. The client is another process, as allocations are counted
//! in this one.

use std::{
    alloc::{GlobalAlloc, Layout},
    net::TcpListener,
    path::Path,
    process::Command,
    sync::atomic::{AtomicU64, Ordering::SeqCst},
    thread,
    time::Duration,
};

use bytes::Bytes;
use mimalloc::MiMalloc;
use sluice_proto::pb::{self, UploadState, upload_service_client::UploadServiceClient};
use sluice_server::{command::ServerFlags, serve};

const UPLOAD_BYTES: usize = 64 << 20;
const LARGE_BYTES: usize = 256 << 10;
const ADDRESS: &str = "SLUICE_TEST_ADDRESS";

/// Counts what is larger than [`LARGE_BYTES`].
struct Counting(MiMalloc);

static LARGE: AtomicU64 = AtomicU64::new(0);

fn count(bytes: usize) {
    if bytes > LARGE_BYTES {
        LARGE.fetch_add(1, SeqCst);
    }
}

// SAFETY: the allocator below does all but the counting.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: as our caller promises.
        unsafe { self.0.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: as our caller promises.
        unsafe { self.0.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, start: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        count(bytes);
        // SAFETY: as our caller promises.
        unsafe { self.0.realloc(start, layout, bytes) }
    }

    unsafe fn dealloc(&self, start: *mut u8, layout: Layout) {
        // SAFETY: as our caller promises.
        unsafe { self.0.dealloc(start, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting(MiMalloc);

fn free_address() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

/// Serves in this process until it ends.
fn start(folder: &Path) -> String {
    let address = free_address();
    // What reads an object back for its SHA-256 takes a buffer a read; chunks don't go that way.
    let settings = folder.join("sluice.toml");
    std::fs::write(&settings, "[integrity]\nsha256 = \"off\"\n").unwrap();
    let flags = ServerFlags {
        config: Some(settings),
        listen: Some(address.clone()),
        admin_listen: Some("127.0.0.1:0".into()),
        data_dir: Some(folder.join("data").to_str().unwrap().into()),
        cpus: Some("0".into()),
        memory_limit: Some("1 GiB".into()),
        ..ServerFlags::default()
    };
    let config = flags.load().unwrap();
    thread::spawn(|| serve::serve(config).unwrap());
    // For a minute at least.
    for _ in 0..6_000 {
        if std::net::TcpStream::connect(&address).is_ok() {
            return address;
        }
        thread::sleep(Duration::from_millis(10));
    }
    panic!("nobody listens on {address}");
}

/// Allocations above [`LARGE_BYTES`] while another process uploads a payload and a chunk.
fn large_allocations(address: &str) -> u64 {
    let before = LARGE.load(SeqCst);
    let client = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "client"])
        .env(ADDRESS, address)
        .output()
        .unwrap();
    assert!(client.status.success(), "{}", String::from_utf8_lossy(&client.stdout));
    LARGE.load(SeqCst) - before
}

#[test]
fn a_payload_and_a_chunk_of_64_mib_are_never_gathered() {
    let folder = tempfile::tempdir().unwrap();
    let address = start(folder.path());
    // Pools of blocks and write buffers grow to what is needed.
    large_allocations(&address);
    assert_eq!(large_allocations(&address), 0);
}

#[tokio::test]
#[ignore = "the other process of the test above"]
async fn client() {
    let url = format!("http://{}", std::env::var(ADDRESS).unwrap());
    let channel = tonic::transport::Endpoint::from_shared(url).unwrap().connect_lazy();
    let service = UploadServiceClient::new(channel);
    let mut service = service.max_encoding_message_size(2 * UPLOAD_BYTES);
    let data = Bytes::from(vec![7; UPLOAD_BYTES]);
    let payload = pb::InitiateUploadRequest {
        filename: "payload".into(),
        payload: Some(data.clone()),
        ..Default::default()
    };
    let whole = service.initiate_upload(payload).await.unwrap().into_inner();
    assert_eq!(whole.state(), UploadState::Completed);
    let request = pb::InitiateUploadRequest { filename: "chunk".into(), ..Default::default() };
    let upload_id = service.initiate_upload(request).await.unwrap().into_inner().upload_id;
    let chunk = pb::UploadChunkRequest { upload_id, is_last: true, data, ..Default::default() };
    let acked = service.upload_chunk(chunk).await.unwrap().into_inner();
    assert_eq!((acked.state(), acked.chunk_bytes), (UploadState::Completed, 64 << 20));
}
