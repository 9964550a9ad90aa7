//! The client library in a program of somebody else's, also where only one port of the server can
//! be reached.

#[allow(dead_code, reason = "its `main` runs when it is run as an example")]
#[path = "../../../proto/examples/upload.rs"]
mod example;

use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use std::io::{Read as _, Write as _};

use crate::harness::{Ended, Options, Outcome, Server, audit, free_ports, noise, runtime};

const FILE_BYTES: usize = 20_000_000;

#[test]
fn the_example_uploads_a_file_and_finds_it_again() {
    let server = Server::start(Options::default());
    let (bytes, path) = (noise(1, FILE_BYTES), server.scratch().join("big.iso"));
    std::fs::write(&path, &bytes).unwrap();
    let runtime = runtime();
    let run = || runtime.block_on(example::upload(&server.address(), &path, "version-1"));
    let first = run().unwrap();
    let again = run().unwrap();
    assert_eq!((&again.upload_id, again.resumed_bytes), (&first.upload_id, FILE_BYTES as u64));
    let upload_id = first.upload_id;
    let outcome = Outcome { upload_id, filename: "big.iso".into(), ended: Ended::Whole(bytes) };
    audit(server, &[outcome]);
}

/// What lies between a client and a server whose own ports it can't reach: it passes on one port,
/// and every endpoint that the server tells is where nobody listens.
struct Gateway {
    address: String,
    passed_bytes: Arc<AtomicUsize>,
}

impl Gateway {
    fn before(server: &Server) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (passed_bytes, to) = (Arc::new(AtomicUsize::new(0)), server.address());
        let dead = free_ports(1);
        let swaps: Vec<_> = server
            .shard_addresses()
            .into_iter()
            .map(|shard| (shard.into_bytes(), format!("127.0.0.1:{dead}").into_bytes()))
            .collect();
        let count = passed_bytes.clone();
        // It ends with the test's process; each connection with its server.
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let (client, server) = (client.unwrap(), TcpStream::connect(&to).unwrap());
                let (back, there) = (client.try_clone().unwrap(), server.try_clone().unwrap());
                let (count, swaps) = (count.clone(), swaps.clone());
                std::thread::spawn(move || pass(client, server, &[], &count));
                std::thread::spawn(move || pass(there, back, &swaps, &AtomicUsize::new(0)));
            }
        });
        Self { address, passed_bytes }
    }
}

/// Passes bytes on until either side ends, with some of them swapped for as many others.
fn pass(mut from: TcpStream, mut to: TcpStream, swaps: &[(Vec<u8>, Vec<u8>)], count: &AtomicUsize) {
    let mut block = vec![0; 64 << 10];
    while let Ok(read @ 1..) = from.read(&mut block) {
        count.fetch_add(read, Ordering::Relaxed);
        for (old, new) in swaps {
            assert_eq!(old.len(), new.len(), "frames keep their lengths");
            let found = block[..read].windows(old.len()).position(|window| window == old);
            if let Some(at) = found {
                block[at..at + new.len()].copy_from_slice(new);
            }
        }
        if to.write_all(&block[..read]).is_err() {
            break;
        }
    }
    // The other direction may have closed it.
    let _ = to.shutdown(Shutdown::Both);
}

#[test]
fn a_client_that_reaches_only_one_port_uploads_through_that() {
    let server = Server::start(Options::default());
    let gateway = Gateway::before(&server);
    let (bytes, path) = (noise(2, FILE_BYTES), server.scratch().join("big.iso"));
    std::fs::write(&path, &bytes).unwrap();
    let uploaded = runtime().block_on(example::upload(&gateway.address, &path, "r")).unwrap();
    let passed_bytes = gateway.passed_bytes.load(Ordering::Relaxed);
    assert!(passed_bytes > FILE_BYTES, "only {passed_bytes} bytes came this way");
    let upload_id = uploaded.upload_id;
    let outcome = Outcome { upload_id, filename: "big.iso".into(), ended: Ended::Whole(bytes) };
    audit(server, &[outcome]);
}
