//! Alone in its process: it uses up all its files.

use std::fs::File;
use std::io::Read;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use futures_lite::AsyncWriteExt;
use sluice_io::reactor::executor::Executors;
use sluice_io::reactor::net::Listener;
use sluice_io::reactor::timer;

/// What a listener that finds no files waits before it looks again.
const PAUSE: Duration = Duration::from_millis(100);

#[test]
fn accept_outlives_a_lack_of_files() {
    let (tell, told) = mpsc::channel();
    let (are_gone, paused) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let (seen, counted) = (Arc::clone(&are_gone), Arc::clone(&paused));
    let executors = Executors::spawn(&[0], move |_, _| {
        let (tell, seen, counted) = (tell.clone(), Arc::clone(&seen), Arc::clone(&counted));
        async move {
            let mut listener = Listener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
            tell.send(listener.local_addr().unwrap()).unwrap();
            // The files go while it waits for a connection: what it waited with makes room for
            // this one.
            let mut first = listener.accept().await.unwrap();
            let pauses = listener.pauses();
            first.write_all(b"!").await.unwrap();
            // The files are gone before it can wait for one.
            while !seen.load(SeqCst) {
                timer::sleep(Duration::from_millis(5)).await;
            }
            let began_ms = timer::now_ms();
            let mut second = loop {
                // Dropped now and then, so that the pauses can be told.
                match timer::deadline(listener.accept(), 3 * PAUSE).await {
                    Ok(second) => break second.unwrap(),
                    Err(timer::Elapsed) => counted.store(listener.pauses() - pauses, SeqCst),
                }
            };
            let pauses = u128::from(listener.pauses() - pauses);
            // One more each time that it was dropped.
            let at_most = 2 * u128::from(timer::now_ms() - began_ms) / PAUSE.as_millis() + 2;
            assert!((1..=at_most).contains(&pauses), "{pauses} pauses, for {at_most} at most");
            second.write_all(b"!").await.unwrap();
        }
    })
    .unwrap();
    let address = told.recv().unwrap();
    limit_files(64);
    thread::sleep(Duration::from_millis(200));
    let first = connect_without_files(address, || (), || true);
    let tell_gone = || are_gone.store(true, SeqCst);
    let second = connect_without_files(address, tell_gone, || paused.load(SeqCst) > 0);
    executors.join().unwrap();
    drop((first, second));
}

/// Connects while there are no files, until `is_seen`; what the listener says then must come.
fn connect_without_files(
    address: SocketAddr,
    when_gone: impl FnOnce(),
    is_seen: impl Fn() -> bool,
) -> TcpStream {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    let all: Vec<File> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
    assert!(!all.is_empty());
    when_gone();
    thread::sleep(Duration::from_millis(150));
    socket.connect(&address.into()).unwrap();
    thread::sleep(Duration::from_millis(250));
    let until_ms = timer::now_ms() + 60_000;
    while !is_seen() {
        assert!(timer::now_ms() < until_ms, "it never pauses");
        thread::sleep(Duration::from_millis(5));
    }
    drop(all);
    let mut socket = TcpStream::from(socket);
    socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    socket.read_exact(&mut [0]).unwrap();
    socket
}

fn limit_files(files: u64) {
    let limit = libc::rlimit { rlim_cur: files, rlim_max: files };
    // SAFETY: the limit lives for the length of the call.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) }, 0);
}
