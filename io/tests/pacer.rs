//! With the pacer a read loop never sleeps on work that is there.

#![expect(clippy::disallowed_methods, reason = "a test takes the time itself")]

use std::future::Future;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Wake, Waker};
use std::time::{Duration, Instant};

use futures_lite::AsyncReadExt;
use sluice_io::reactor::executor::Executors;
use sluice_io::reactor::pacer::Pacer;

/// One that sleeps on what is there does so for good.
const STALL: Duration = Duration::from_secs(30);

#[test]
fn reads_for_four_seconds_without_a_stall() {
    let got = Arc::new(AtomicU64::new(0));
    let seen = Arc::clone(&got);
    let (tell, told) = std::sync::mpsc::channel();
    let executors = Executors::spawn(&[0], move |_, pacer| {
        let (seen, tell) = (Arc::clone(&seen), tell.clone());
        async move {
            let _busy = pacer.begin();
            let listener = glommio::net::TcpListener::bind("127.0.0.1:0").unwrap();
            tell.send(listener.local_addr().unwrap()).unwrap();
            let mut stream = listener.accept().await.unwrap();
            let mut block = vec![0; 1 << 20];
            loop {
                match stream.read(&mut block).await.unwrap() {
                    0 => break,
                    n => seen.fetch_add(n as u64, Relaxed),
                };
            }
        }
    })
    .unwrap();
    let mut client = std::net::TcpStream::connect(told.recv().unwrap()).unwrap();
    client.set_write_timeout(Some(STALL)).unwrap();
    let end = Instant::now() + Duration::from_secs(4);
    let writer = std::thread::spawn(move || {
        let block = vec![1; 1 << 20];
        let mut sent = 0;
        while Instant::now() < end {
            client.write_all(&block).unwrap();
            sent += block.len() as u64;
        }
        sent
    });
    while Instant::now() < end {
        let (before, looked) = (got.load(Relaxed), Instant::now());
        while got.load(Relaxed) == before && Instant::now() < end {
            assert!(looked.elapsed() < STALL, "stalled after {before} bytes");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
    let sent = writer.join().unwrap();
    executors.join().unwrap();
    assert_eq!(got.load(Relaxed), sent);
}

#[derive(Default)]
struct Wakes(AtomicU64);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Relaxed);
    }
}

#[test]
fn pulses_go_on_though_the_last_was_not_seen() {
    let pacer = Pacer::start().unwrap();
    let mut listener = Box::pin(pacer.handle().listen());
    let wakes = Arc::new(Wakes::default());
    // Run once and never again: as a task that the executor forgets.
    let waker = Waker::from(Arc::clone(&wakes));
    assert!(listener.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    let _busy = pacer.handle().begin();
    let end = Instant::now() + Duration::from_secs(60);
    while wakes.0.load(Relaxed) < 8 {
        assert!(Instant::now() < end, "{} pulses", wakes.0.load(Relaxed));
        std::thread::sleep(Duration::from_millis(1));
    }
}
