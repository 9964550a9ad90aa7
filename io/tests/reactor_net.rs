//! Sockets of an executor: nothing is lost, and those who wait are woken.

use std::future::{Future, poll_fn};
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use futures_lite::{AsyncReadExt, AsyncWriteExt};
use sluice_io::reactor::executor::Executors;
use sluice_io::reactor::net::{Listener, Stream};
use sluice_io::reactor::{task, timer};

const SOON: Duration = Duration::from_millis(50);
/// What takes this long never comes.
const LATE: Duration = Duration::from_secs(60);

/// Runs `serve` on an executor and `client` on a thread.
fn with_client<Fut, T>(
    serve: impl Fn(Listener) -> Fut + Clone + Send + 'static,
    client: impl FnOnce(SocketAddr) -> T,
) -> T
where
    Fut: Future<Output = ()> + 'static,
{
    let (tell, told) = mpsc::channel();
    let executors = Executors::spawn(&[0], move |_, pacer| {
        let (serve, tell) = (serve.clone(), tell.clone());
        async move {
            let _busy = pacer.begin();
            let listener = Listener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
            tell.send(listener.local_addr().unwrap()).unwrap();
            serve(listener).await;
        }
    })
    .unwrap();
    let result = client(told.recv().unwrap());
    executors.join().unwrap();
    result
}

fn pattern(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|i| (i * 31 + (i >> 8) * 7) as u8).collect()
}

#[test]
fn what_many_connections_send_comes_back_whole() {
    const CONNECTIONS: usize = 20;
    const BYTES: usize = 300_000;
    let serve = |mut listener: Listener| async move {
        let mut tasks = Vec::new();
        for _ in 0..CONNECTIONS {
            let mut stream = listener.accept().await.unwrap();
            assert!(stream.peer_addr().ip().is_loopback());
            tasks.push(task::spawn_local(async move {
                let mut block = vec![0; 7_000];
                loop {
                    match stream.read(&mut block).await.unwrap() {
                        0 => break,
                        n => stream.write_all(&block[..n]).await.unwrap(),
                    }
                }
                stream.shutdown(Shutdown::Write).unwrap();
            }));
        }
        for task in tasks {
            task.await.unwrap();
        }
    };
    with_client(serve, |address| {
        let clients: Vec<JoinHandle<()>> = (0..CONNECTIONS)
            .map(|_| {
                thread::spawn(move || {
                    let mut socket = TcpStream::connect(address).unwrap();
                    let mut writer = socket.try_clone().unwrap();
                    let sent = pattern(BYTES);
                    let all = sent.clone();
                    let writing = thread::spawn(move || {
                        writer.write_all(&all).unwrap();
                        writer.shutdown(Shutdown::Write).unwrap();
                    });
                    let mut got = Vec::new();
                    socket.read_to_end(&mut got).unwrap();
                    writing.join().unwrap();
                    assert!(got == sent);
                })
            })
            .collect();
        clients.into_iter().for_each(|client| client.join().unwrap());
    });
}

#[test]
fn slices_arrive_in_order_though_the_reader_is_slow() {
    let serve = |mut listener: Listener| async move {
        let mut stream = listener.accept().await.unwrap();
        let all = pattern(8 << 20);
        let mut written = 0;
        while written < all.len() {
            // More slices than one call takes, with empty ones between.
            let slices: Vec<IoSlice<'_>> = all[written..]
                .chunks(1_000)
                .flat_map(|slice| [IoSlice::new(&[]), IoSlice::new(slice)])
                .take(3_000)
                .collect();
            let n = poll_fn(|cx| stream.poll_write_vectored(cx, &slices)).await.unwrap();
            assert!(n > 0);
            written += n;
        }
    };
    with_client(serve, |address| {
        let mut socket = TcpStream::connect(address).unwrap();
        thread::sleep(SOON);
        let mut got = Vec::new();
        let mut block = vec![0; 100_000];
        loop {
            match socket.read(&mut block).unwrap() {
                0 => break,
                n => got.extend_from_slice(&block[..n]),
            }
            thread::sleep(Duration::from_micros(200));
        }
        assert!(got == pattern(8 << 20));
    });
}

#[test]
fn an_accept_that_is_dropped_loses_no_connection() {
    const CONNECTIONS: usize = 60;
    let serve = |mut listener: Listener| async move {
        let mut accepted = 0;
        let mut dropped = 0;
        while accepted < CONNECTIONS {
            match timer::deadline(listener.accept(), Duration::from_micros(300)).await {
                Ok(stream) => {
                    stream.unwrap().write_all(b"!").await.unwrap();
                    accepted += 1;
                }
                Err(timer::Elapsed) => dropped += 1,
            }
        }
        assert!(dropped > 0);
        assert_eq!(listener.pauses(), 0);
    };
    with_client(serve, |address| {
        for _ in 0..CONNECTIONS {
            let mut socket = TcpStream::connect(address).unwrap();
            socket.set_read_timeout(Some(LATE)).unwrap();
            socket.read_exact(&mut [0]).unwrap();
            thread::sleep(Duration::from_millis(1));
        }
    });
}

#[test]
fn listeners_share_an_address_and_a_dropped_one_refuses() {
    let serve = |mut first: Listener| async move {
        let address = first.local_addr().unwrap();
        let second = Listener::bind(address).unwrap();
        drop(second);
        for _ in 0..20 {
            let connected = Stream::connect(address, LATE).await.unwrap();
            let accepted = timer::deadline(first.accept(), LATE).await.unwrap().unwrap();
            assert_eq!(connected.peer_addr(), address);
            drop(accepted);
        }
        // Armed, so that the kernel holds the socket beyond the drop.
        assert!(timer::deadline(first.accept(), SOON).await.is_err());
        drop(first);
        let refused = Stream::connect(address, LATE).await;
        assert_eq!(refused.err().unwrap().kind(), ErrorKind::ConnectionRefused);
        // Connections that the first one accepted linger, and don't stop the next.
        Listener::bind(address).unwrap();
    };
    with_client(serve, drop);
}

#[test]
fn a_connection_ends_when_its_stream_is_dropped_though_a_read_waited() {
    let has_ended = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&has_ended);
    let serve = move |mut listener: Listener| {
        let seen = Arc::clone(&seen);
        async move {
            let mut stream = listener.accept().await.unwrap();
            assert!(timer::deadline(stream.read(&mut [0]), SOON).await.is_err());
            drop(stream);
            // The executor lives on: its end would end the connection, too.
            while !seen.load(SeqCst) {
                timer::sleep(Duration::from_millis(5)).await;
            }
        }
    };
    with_client(serve, |address| {
        let mut socket = TcpStream::connect(address).unwrap();
        socket.set_read_timeout(Some(LATE)).unwrap();
        assert_eq!(socket.read(&mut [0]).unwrap(), 0);
        has_ended.store(true, SeqCst);
    });
}

#[test]
fn a_reset_is_an_error_and_no_end() {
    let serve = |mut listener: Listener| async move {
        let mut stream = listener.accept().await.unwrap();
        let error = timer::deadline(stream.read(&mut [0]), LATE).await.unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        stream.shutdown(Shutdown::Both).unwrap();
        let written = async {
            loop {
                stream.write(&[0; 100]).await?;
            }
        };
        let error: io::Result<()> = timer::deadline(written, LATE).await.unwrap();
        assert_eq!(error.unwrap_err().kind(), ErrorKind::BrokenPipe);
    };
    with_client(serve, |address| {
        let socket = socket2::Socket::from(TcpStream::connect(address).unwrap());
        socket.set_linger(Some(Duration::ZERO)).unwrap();
    });
}

#[test]
fn a_reader_sleeps_until_the_low_water_mark_the_end_or_a_lower_mark() {
    let serve = |mut listener: Listener| async move {
        let mut stream = listener.accept().await.unwrap();
        let mut block = vec![0; 1 << 20];
        stream.set_receive_low_water(200_000).unwrap();
        stream.write_all(b"a").await.unwrap();
        let n = timer::deadline(stream.read(&mut block), LATE).await.unwrap().unwrap();
        assert!(n >= 200_000, "woken by {n} bytes");
        let mut got = n;
        stream.set_receive_low_water(1).unwrap();
        while got < 300_000 {
            got += stream.read(&mut block).await.unwrap();
        }
        // Too few for the mark: only lowering it helps.
        stream.set_receive_low_water(200_000).unwrap();
        stream.write_all(b"b").await.unwrap();
        assert!(timer::deadline(stream.read(&mut block), SOON).await.is_err());
        stream.set_receive_low_water(0).unwrap();
        let n = timer::deadline(stream.read(&mut block), LATE).await.unwrap().unwrap();
        assert_eq!(n, 10);
        // Too few again, but there won't be more.
        stream.set_receive_low_water(200_000).unwrap();
        stream.write_all(b"c").await.unwrap();
        let n = timer::deadline(stream.read(&mut block), LATE).await.unwrap().unwrap();
        assert_eq!(n, 5);
        let end = timer::deadline(stream.read(&mut block), LATE).await.unwrap().unwrap();
        assert_eq!(end, 0);
    };
    with_client(serve, |address| {
        let mut socket = TcpStream::connect(address).unwrap();
        socket.read_exact(&mut [0]).unwrap();
        for part in pattern(300_000).chunks(30_000) {
            socket.write_all(part).unwrap();
            thread::sleep(Duration::from_millis(2));
        }
        socket.read_exact(&mut [0]).unwrap();
        socket.write_all(&[1; 10]).unwrap();
        socket.read_exact(&mut [0]).unwrap();
        socket.write_all(&[1; 5]).unwrap();
        socket.shutdown(Shutdown::Write).unwrap();
        assert_eq!(socket.read(&mut [0]).unwrap(), 0);
    });
}

#[test]
fn connecting_to_nobody_ends_in_time() {
    let serve = |_| async {
        // A documentation address: either nobody answers or the network says so.
        let address = "192.0.2.1:9".parse().unwrap();
        let connected = timer::deadline(Stream::connect(address, SOON), LATE).await;
        assert!(connected.expect("it gives up by itself").is_err());
    };
    with_client(serve, drop);
}
