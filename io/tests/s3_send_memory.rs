//! A part goes out from where it lies: nothing that is made on the way is larger than 64 KiB. Bodies
//! gathered, or copied by the HTTP client, would show here.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use futures_lite::stream;
use sluice_io::{
    reactor::executor::Executors,
    s3::{
        Body, Bucket, Checksums, Client, Credentials, CredentialsSource, Endpoint, ObjectOptions,
        Settings, Times, Whole,
    },
};
use sluice_test_servers::{
    FaultyS3,
    s3_faulty::{Identity, Options},
};

const LARGEST_BYTES: usize = 64 << 10;

thread_local! {
    /// The largest allocation of this thread; none where they aren't looked at. The store is in this
    /// process, too.
    static LARGEST: Cell<Option<usize>> = const { Cell::new(None) };
}

/// Remembers the largest.
struct Counting;

fn count(bytes: usize) {
    LARGEST.set(LARGEST.get().map(|largest| largest.max(bytes)));
}

// SAFETY: the system's allocator does all but the counting, which allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: as our caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: as our caller promises.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, start: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        count(bytes);
        // SAFETY: as our caller promises.
        unsafe { System.realloc(start, layout, bytes) }
    }

    unsafe fn dealloc(&self, start: *mut u8, layout: Layout) {
        // SAFETY: as our caller promises.
        unsafe { System.dealloc(start, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Of what `doing` allocates on this thread, and what else runs there meanwhile.
async fn largest_of<T>(doing: impl AsyncFnOnce() -> T) -> usize {
    LARGEST.set(Some(0));
    doing().await;
    LARGEST.take().expect("it was set")
}

fn run(test: impl AsyncFnOnce() + Send + 'static) {
    let test = Arc::new(Mutex::new(Some(test)));
    let executors = Executors::spawn(&[0], move |_, pacer| {
        let test = test.lock().unwrap().take().expect("there is one executor");
        async move {
            let _busy = pacer.begin();
            test().await;
        }
    });
    executors.unwrap().join().unwrap();
}

fn bucket(endpoint: &str, name: &str, region: String, keys: Identity) -> Bucket {
    let settings = Settings {
        endpoint: Endpoint::parse(endpoint).unwrap(),
        region,
        is_path_style: true,
        tls: None,
        connections_max: 2,
        idle: Duration::from_secs(10),
        times: Times::default(),
    };
    let Identity { access_key, secret_key, session_token, .. } = keys;
    let source = CredentialsSource::Keys { access_key, secret_key, session_token };
    Client::new(settings, Credentials::load(source).unwrap()).bucket(name)
}

/// The same slice again and again: what is sent takes no memory of its own.
fn slices(slice_bytes: usize, bytes: usize) -> impl Iterator<Item = Bytes> {
    static SLICE: [u8; LARGEST_BYTES] = [b's'; LARGEST_BYTES];
    let starts = (0..bytes).step_by(slice_bytes);
    starts.map(move |start| Bytes::from_static(&SLICE[..slice_bytes.min(bytes - start)]))
}

#[test]
fn nothing_larger_than_64_kib_is_made_to_send_a_part() {
    let store = FaultyS3::start(Options::default());
    let (endpoint, name) = (store.endpoint(), store.bucket().to_owned());
    let (region, keys) = (store.region().to_owned(), store.keys().clone());
    run(async move || {
        let bucket = bucket(&endpoint, &name, region, keys);
        let (none, options) = (Checksums::default(), ObjectOptions::default());
        let id = bucket.create_multipart("k", None, &options).await.unwrap();
        let mut parts = Vec::new();
        // Blocks of the pool, and what one frame of a small-minded client leaves of it.
        for (number, slice_bytes, bytes) in [(1, 64 << 10, 64 << 20), (2, 16 << 10, 8 << 20)] {
            let largest = largest_of(async || {
                let body = Body::rope(slices(slice_bytes, bytes));
                parts.push(bucket.upload_part("k", &id, number, body, &none).await.unwrap());
            });
            assert_allowed(largest.await, "a part from memory");
        }
        let largest = largest_of(async || {
            let read = stream::iter(slices(64 << 10, 8 << 20).map(Ok));
            let body = Body::streamed(8 << 20, read);
            parts.push(bucket.upload_part("k", &id, 3, body, &none).await.unwrap());
        });
        assert_allowed(largest.await, "a part that is read meanwhile");
        let whole = Whole::default();
        let largest = largest_of(async || {
            bucket.complete_multipart("k", &id, &parts, &whole).await.unwrap();
        });
        assert_allowed(largest.await, "a complete");
        let largest = largest_of(async || {
            let body = Body::rope(slices(64 << 10, 16 << 20));
            bucket.put_object("o", body, &none, &options).await.unwrap();
        });
        assert_allowed(largest.await, "an object");
    });
    assert_eq!(store.object(store.bucket(), "k").unwrap().length(), 80 << 20);
}

#[track_caller]
fn assert_allowed(largest: usize, what: &str) {
    assert!(largest > 0, "it is looked at");
    assert!(largest <= LARGEST_BYTES, "{what}: {largest} bytes at once");
    println!("{what}: {largest} bytes at most");
}
