//! Alone in its process: it uses up all its files.

use std::fs::File;
use std::io::Read;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use futures_lite::AsyncWriteExt;
use sluice_io::reactor::executor::Executors;
use sluice_io::reactor::net::Listener;
use sluice_io::reactor::timer;

#[test]
fn accept_outlives_a_lack_of_files() {
    let (tell, told) = mpsc::channel();
    let are_gone = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&are_gone);
    let executors = Executors::spawn(&[0], move |_, _| {
        let (tell, seen) = (tell.clone(), Arc::clone(&seen));
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
            let mut second = listener.accept().await.unwrap();
            assert!((1..20).contains(&(listener.pauses() - pauses)));
            second.write_all(b"!").await.unwrap();
        }
    })
    .unwrap();
    let address = told.recv().unwrap();
    limit_files(64);
    thread::sleep(Duration::from_millis(200));
    let first = connect_without_files(address, || ());
    let second = connect_without_files(address, || are_gone.store(true, SeqCst));
    executors.join().unwrap();
    drop((first, second));
}

fn connect_without_files(address: SocketAddr, when_gone: impl FnOnce()) -> TcpStream {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    let all: Vec<File> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
    assert!(!all.is_empty());
    when_gone();
    thread::sleep(Duration::from_millis(150));
    socket.connect(&address.into()).unwrap();
    thread::sleep(Duration::from_millis(250));
    drop(all);
    let mut socket = TcpStream::from(socket);
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    socket.read_exact(&mut [0]).unwrap();
    socket
}

fn limit_files(files: u64) {
    let limit = libc::rlimit { rlim_cur: files, rlim_max: files };
    // SAFETY: the limit lives for the length of the call.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) }, 0);
}
