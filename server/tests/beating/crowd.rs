//! Crowds: connections, streams and open files in number.

use std::io::Read as _;
use std::net::TcpStream;
use std::time::Duration;

use crate::harness::{Calls, Options, Server, eventually, get, runtime};
use crate::raw::*;
use crate::scene::{Scene, metric, until_all_is_back};
use crate::wire::*;

/// Streams that are opened and never heard of again, each with headers of some length.
pub fn abandoned_streams(target: &Target) {
    let long = call_head_with("UploadChunk", &[("x-long", &"x".repeat(1_000))]);
    let connections: Vec<Raw> = (0..50)
        .map(|_| {
            let mut raw = Raw::connect(target.address);
            (0..100).for_each(|n| raw.open_with(1 + 2 * n, &long));
            raw.look();
            raw
        })
        .collect();
    // They stay as long as somebody could need to see whether they hurt.
    std::thread::sleep(Duration::from_secs(1));
    drop(connections);
}

/// Connections that send garbage and stay, one after the other.
pub fn connections_that_linger(target: &Target) {
    let connections: Vec<Raw> = (0..1_000)
        .map(|_| {
            let mut raw = Raw::silent(target.address);
            raw.write(b"GET / HTTP/1.1\r\nHost: sluice\r\n\r\n");
            raw
        })
        .collect();
    drop(connections);
}

#[test]
fn streams_that_are_abandoned_cost_nobody_else_anything() {
    let mut scene = Scene::start(Options::default());
    scene.beside(abandoned_streams);
    scene.beside(connections_that_linger);
    scene.end();
}

/// Whether the server has said anything on a new connection, or closed it; whichever it is comes.
fn is_served(raw: &mut Raw) -> bool {
    matches!(raw.socket.read(&mut [0; 9]), Ok(9))
}

#[test]
fn connections_beyond_the_limit_are_refused_and_make_room_again() {
    let settings = "[limits]\nconnections_max = 64".to_owned();
    let server = Server::start(Options { settings, ..Options::default() });
    let address = server.address().parse().unwrap();
    let mut all: Vec<Raw> = (0..200).map(|_| Raw::connect(address)).collect();
    let served = all.iter_mut().filter_map(|raw| is_served(raw).then_some(())).count();
    assert!((32..=64).contains(&served), "{served} are served");
    // Those that are refused may have to be closed yet.
    eventually(|| {
        let counted = metric(&get(&server.admin(), "/metrics")?.body, "connections") as usize;
        (counted != served).then(|| format!("{counted} are counted, {served} served"))
    });
    drop(all);
    until_all_is_back(&server);
    runtime().block_on(async { Calls::to(&server.address()).open("after").await });
}

fn set_open_files_max(pid: u32, files: u64) {
    let limit = libc::rlimit { rlim_cur: files, rlim_max: files };
    // SAFETY: the limit is read only, and nothing is asked for.
    let set =
        unsafe { libc::prlimit(pid as i32, libc::RLIMIT_NOFILE, &limit, std::ptr::null_mut()) };
    assert_eq!(set, 0, "{}", std::io::Error::last_os_error());
}

#[test]
fn a_server_out_of_files_serves_again_once_it_has_some() {
    let server = Server::start(Options::default());
    let runtime = runtime();
    let address = server.address();
    let open = async || Calls::to(&address).open("file").await;
    runtime.block_on(open());
    let files = std::fs::read_dir(format!("/proc/{}/fd", server.pid())).unwrap().count() as u64;
    set_open_files_max(server.pid(), files + 40);
    let crowd: Vec<TcpStream> = (0..200).map(|_| TcpStream::connect(&address).unwrap()).collect();
    eventually(|| {
        let open = std::fs::read_dir(format!("/proc/{}/fd", server.pid())).unwrap().count() as u64;
        (open < files + 39).then(|| format!("{open} of {} files are open", files + 40))
    });
    // Nobody raises the limit: those that are there go, as crowds do.
    drop(crowd);
    runtime.block_on(open());
    until_all_is_back(&server);
}

#[test]
#[ignore = "long: make beating"]
fn ten_thousand_idle_connections_are_held() {
    const CONNECTIONS: usize = 10_000;
    allow_open_files(CONNECTIONS as u64 + 1_000);
    // Some more, as the kernel doesn't deal them out evenly.
    let settings = "[limits]\nconnections_max = 10400".to_owned();
    let server = Server::start(Options { settings, memory_limit: "6G", ..Options::default() });
    let address = server.address().parse().unwrap();
    let before_bytes = server.memory_bytes("VmRSS");
    let mut crowd: Vec<Raw> = (0..CONNECTIONS).map(|_| Raw::connect(address)).collect();
    let served = crowd.iter_mut().filter_map(|raw| is_served(raw).then_some(())).count();
    let after_bytes = server.memory_bytes("VmRSS");
    let each_bytes = (after_bytes - before_bytes) / CONNECTIONS as u64;
    println!("{served} idle connections: {} MiB, {each_bytes} bytes each", after_bytes >> 20);
    assert_eq!(served, CONNECTIONS);
    // What each may have of the windows is more than what it takes.
    assert!(each_bytes < 65_535, "{each_bytes} bytes each");
    runtime().block_on(async { Calls::to(&server.address()).open("beside").await });
    drop(crowd);
    until_all_is_back(&server);
}

/// Lets this process have so many files open.
fn allow_open_files(files: u64) {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: both calls get a limit of ours.
    unsafe {
        assert_eq!(libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit), 0);
        limit.rlim_cur = limit.rlim_max;
        assert!(limit.rlim_cur >= files, "needs {files} open files: ulimit -n");
        assert_eq!(libc::setrlimit(libc::RLIMIT_NOFILE, &limit), 0);
    }
}
