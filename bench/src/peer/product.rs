//! Servers that are products: this process becomes one of them, and a child tells when it serves.

use std::fs;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::{CommandExt as _, parent_id};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use crate::clock;
use crate::peer::settings;

/// One of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Product {
    /// The reference server of tus, to local disk.
    Tusd,
    /// Master, volume, filer and S3 of SeaweedFS in one process.
    SeaweedFs,
    /// Redis that keeps nothing on disk.
    Redis,
    /// Redis with an append-only file.
    RedisLog,
}

/// How long one may take until it serves.
const START_MAX: Duration = Duration::from_secs(60);
const LOOK_INTERVAL: Duration = Duration::from_millis(20);
const ANSWER_MAX: Duration = Duration::from_secs(2);

/// Ports of SeaweedFS, from S3's on: S3, master, volume, filer.
const SEAWEEDFS_PORTS: u16 = 4;
/// Which of them is the filer's.
const FILER_PORT: u16 = 3;
/// Its gRPC ports lie so far above the others.
const GRPC_PORT_STEP: u16 = 10_000;

/// Replaces this process by `program`, which stores in `data_dir`; its output goes to our stderr.
/// A child prints `listening URL` once that answers.
///
/// # Errors
/// When it can't be.
pub fn become_one(
    product: Product,
    program: &Path,
    listen: SocketAddr,
    data_dir: &Path,
) -> io::Result<()> {
    fs::create_dir_all(data_dir)?;
    let (address, arguments) = match product {
        Product::Tusd => tusd(listen, data_dir)?,
        Product::SeaweedFs => seaweedfs(listen, data_dir)?,
        Product::Redis => redis(listen, data_dir, "no")?,
        Product::RedisLog => redis(listen, data_dir, "yes")?,
    };
    let url = match product {
        Product::Tusd => format!("http://{address}/files/"),
        Product::SeaweedFs => format!("http://{address}"),
        Product::Redis | Product::RedisLog => address.to_string(),
    };
    let mut announce = Command::new(std::env::current_exe()?);
    announce.args(["announce", &address.to_string(), &url]);
    if product == Product::SeaweedFs {
        let filer = SocketAddr::new(address.ip(), address.port() + FILER_PORT);
        announce.args(["--filer", &filer.to_string()]);
    }
    // It ends by itself, and is never waited for.
    announce.stdin(Stdio::null()).spawn()?;
    let stderr = io::stderr();
    Err(Command::new(program).args(arguments).stdin(Stdio::null()).stdout(stderr).exec())
}

/// Waits until the process that began this one answers HTTP at `address`, has SeaweedFS make the
/// clients' bucket at its `filer`, and prints `listening URL`.
///
/// # Errors
/// When it is gone, or takes too long.
pub fn announce(address: SocketAddr, url: &str, filer: Option<SocketAddr>) -> io::Result<()> {
    let server = parent_id();
    let began = clock::now();
    let bucket = format!("POST /buckets/{}/", settings::s3_access()["bucket"]);
    let serves = || -> io::Result<bool> {
        let made = filer.map_or(Ok(true), |filer| answers(filer, &bucket))?;
        Ok(made && answers(address, "GET /status")?)
    };
    while !serves().unwrap_or(false) {
        if parent_id() != server {
            return Err(io::Error::other("the server ended before it served"));
        }
        if began.elapsed() > START_MAX {
            return Err(io::ErrorKind::TimedOut.into());
        }
        thread::sleep(LOOK_INTERVAL);
    }
    println!("listening {url}");
    Ok(())
}

/// Whether it answers what is asked, with whatever isn't a fault of its own.
fn answers(address: SocketAddr, asked: &str) -> io::Result<bool> {
    let mut stream = TcpStream::connect_timeout(&address, ANSWER_MAX)?;
    stream.set_read_timeout(Some(ANSWER_MAX))?;
    let fields = format!("Host: {address}\r\nContent-Length: 0\r\nConnection: close\r\n");
    write!(stream, "{asked} HTTP/1.1\r\n{fields}\r\n")?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line)?;
    // To Redis it is a command with too many words.
    if line.starts_with("-ERR") {
        return Ok(true);
    }
    let status = line.split(' ').nth(1).and_then(|status| status.parse::<u16>().ok());
    Ok(status.is_some_and(|status| status < 500))
}

fn tusd(listen: SocketAddr, data_dir: &Path) -> io::Result<(SocketAddr, Vec<String>)> {
    let port = free_ports(listen, 1, 0)?;
    let address = SocketAddr::new(listen.ip(), port);
    let arguments = [
        format!("-host={}", listen.ip()),
        format!("-port={port}"),
        format!("-upload-dir={}", data_dir.display()),
        "-base-path=/files/".into(),
        "-expose-metrics=false".into(),
        "-verbose=false".into(),
    ];
    Ok((address, arguments.into()))
}

fn seaweedfs(listen: SocketAddr, data_dir: &Path) -> io::Result<(SocketAddr, Vec<String>)> {
    let port = free_ports(listen, SEAWEEDFS_PORTS, GRPC_PORT_STEP)?;
    let ip = listen.ip();
    let access = data_dir.join("access.json");
    fs::write(&access, settings::s3_identities())?;
    let folder = data_dir.display();
    let arguments = [
        format!("-logdir={folder}"),
        "-v=0".into(),
        "server".into(),
        format!("-dir={folder}"),
        format!("-ip={ip}"),
        format!("-ip.bind={ip}"),
        format!("-master.port={}", port + 1),
        format!("-volume.port={}", port + 2),
        "-filer=true".into(),
        format!("-filer.port={}", port + FILER_PORT),
        "-s3".into(),
        format!("-s3.port={port}"),
        format!("-s3.config={}", access.display()),
        "-s3.port.iceberg=0".into(),
        "-s3.port.lance=0".into(),
        "-master.telemetry=false".into(),
        "-master.volumeSizeLimitMB=1024".into(),
        "-volume.max=64".into(),
        // Else it waits for ten seconds before it ends.
        "-volume.preStopSeconds=0".into(),
    ];
    Ok((SocketAddr::new(ip, port), arguments.into()))
}

fn redis(
    listen: SocketAddr,
    data_dir: &Path,
    append_only: &str,
) -> io::Result<(SocketAddr, Vec<String>)> {
    let port = free_ports(listen, 1, 0)?;
    let words = [
        ("port", port.to_string()),
        ("bind", listen.ip().to_string()),
        ("dir", data_dir.display().to_string()),
        ("save", String::new()),
        ("appendonly", append_only.into()),
        ("appendfsync", "everysec".into()),
        ("maxmemory", settings::REDIS_MEMORY.into()),
        ("maxmemory-policy", "noeviction".into()),
    ];
    let arguments = words.into_iter().flat_map(|(name, value)| [format!("--{name}"), value]);
    Ok((SocketAddr::new(listen.ip(), port), arguments.collect()))
}

/// The first of `count` ports in a row that are free, each also `step` above; the one asked for
/// if it isn't 0. Somebody may take them in the meantime: then the server says so.
fn free_ports(listen: SocketAddr, count: u16, step: u16) -> io::Result<u16> {
    if listen.port() != 0 {
        return Ok(listen.port());
    }
    let is_free = |port: u16| TcpListener::bind((listen.ip(), port)).is_ok();
    // Below what the kernel gives to connections; two that start at once begin elsewhere.
    let first = PORTS_FIRST + (std::process::id() % u32::from(PORTS)) as u16;
    (0..PORTS)
        .map(|offset| PORTS_FIRST + (first - PORTS_FIRST + offset) % PORTS)
        .find(|&port| (port..port + count).all(|port| is_free(port) && is_free(port + step)))
        .ok_or_else(|| io::Error::from(io::ErrorKind::AddrInUse))
}

const PORTS_FIRST: u16 = 18_000;
const PORTS: u16 = 4_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn local(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    #[test]
    fn ports_are_those_asked_for_or_free_ones() {
        assert_eq!(free_ports(local(7), 4, 100).unwrap(), 7);
        let port = free_ports(local(0), 4, GRPC_PORT_STEP).unwrap();
        assert!((PORTS_FIRST..PORTS_FIRST + PORTS).contains(&port));
    }

    #[test]
    fn only_a_server_that_answers_well_is_announced() {
        for (said, expected) in [
            ("HTTP/1.1 403 Forbidden\r\n\r\n", true),
            ("HTTP/1.1 503 Wait\r\n\r\n", false),
            ("-ERR wrong number of arguments\r\n", true),
            ("", false),
        ] {
            let listener = TcpListener::bind(local(0)).unwrap();
            let address = listener.local_addr().unwrap();
            let server = thread::spawn(move || {
                let (mut stream, _) = listener.accept().unwrap();
                // A close with something unread would take the answer along.
                let asked = BufReader::new(stream.try_clone().unwrap()).lines();
                asked.map_while(Result::ok).find(String::is_empty).unwrap();
                stream.write_all(said.as_bytes()).unwrap();
            });
            assert_eq!(answers(address, "GET /status").unwrap_or(false), expected, "{said:?}");
            server.join().unwrap();
        }
    }
}
