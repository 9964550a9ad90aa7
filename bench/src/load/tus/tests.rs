//! Against a tus server that is as small as it can be.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use super::*;
use crate::job::{Size, Time};
use crate::outcome::Outcome;

/// Files in a folder; `lossy`: it tells one byte less than it has.
fn serve(folder: PathBuf, lossy: bool) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/files/", listener.local_addr().unwrap());
    let ids = Arc::new(AtomicU64::new(0));
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (folder, ids) = (folder.clone(), ids.clone());
            thread::spawn(move || answer(stream.unwrap(), &folder, &ids, lossy));
        }
    });
    url
}

/// Ends when the client does.
fn answer(mut stream: TcpStream, folder: &Path, ids: &AtomicU64, lossy: bool) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    loop {
        let head: Vec<String> = reader
            .by_ref()
            .lines()
            .map_while(Result::ok)
            .take_while(|line| !line.is_empty())
            .collect();
        let Some(first) = head.first() else { return };
        let mut words = first.split(' ');
        let (method, path) = (words.next().unwrap(), words.next().unwrap());
        let header = |name: &str| {
            let found = head.iter().find_map(|line| {
                let (key, value) = line.split_once(": ")?;
                key.eq_ignore_ascii_case(name).then(|| value.parse::<u64>().unwrap())
            });
            found.unwrap_or(0)
        };
        let file = folder.join(path.rsplit('/').next().unwrap());
        let said = match method {
            "POST" => {
                let id = ids.fetch_add(1, Ordering::Relaxed);
                fs::write(folder.join(id.to_string()), "").unwrap();
                format!("201 Created\r\nLocation: http://elsewhere{path}{id}\r\nContent-Length: 0")
            }
            "PATCH" => {
                let mut data = vec![0; header("content-length") as usize];
                reader.read_exact(&mut data).unwrap();
                assert_eq!(fs::metadata(&file).unwrap().len(), header("upload-offset"));
                let mut file = OpenOptions::new().append(true).open(file).unwrap();
                file.write_all(&data).unwrap();
                let offset = file.metadata().unwrap().len() - u64::from(lossy);
                format!("204 No Content\r\nUpload-Offset: {offset}")
            }
            "HEAD" => format!("200 OK\r\nUpload-Offset: {}", fs::metadata(file).unwrap().len()),
            _ => "405 Method Not Allowed\r\nContent-Length: 0".into(),
        };
        stream.write_all(format!("HTTP/1.1 {said}\r\n\r\n").as_bytes()).unwrap();
    }
}

fn load(address: String, data_dir: &Path) -> Outcome {
    let short = Time(Duration::from_millis(100));
    let load = Load {
        upload_size: Size(100_000),
        chunk_size: Size(30_000),
        warm_up: short,
        duration: short,
        ..Load::default()
    };
    let data_dir = data_dir.display().to_string();
    let extra = BTreeMap::from([("data_dir".to_owned(), data_dir)]);
    crate::load::run(crate::load::Kind::Tus, &Job { address, load, extra }, &mut |_| ())
}

#[test]
fn uploads_are_created_filled_and_summed() {
    let folder = tempfile::tempdir().unwrap();
    let outcome = load(serve(folder.path().into(), false), folder.path());
    assert_eq!(outcome.failed, None);
    assert!(outcome.chunks > 0 && outcome.bytes > 0);
    assert!(outcome.uploads > 0 && outcome.uploads == outcome.checksums_verified);
    assert_eq!(outcome.sizes_verified, fs::read_dir(folder.path()).unwrap().count() as u64);
}

#[test]
fn a_server_that_has_other_bytes_fails_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let outcome = load(serve(folder.path().into(), true), folder.path());
    assert_eq!(outcome.failed.unwrap(), "30000 bytes were sent, the server has 29999");
}

#[test]
fn nobody_there_and_no_url_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let refused = load("http://127.0.0.1:1/files/".into(), folder.path());
    assert!(refused.failed.unwrap().contains("refused"));
    let no_url = load("127.0.0.1:1:2".into(), folder.path());
    assert!(no_url.failed.unwrap().contains("no URL"));
}
