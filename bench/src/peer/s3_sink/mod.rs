//! An S3 store that keeps no bytes, for the least that any can cost: blocking threads read requests
//! and answer as S3 does. What it has is sizes, checksums and metadata.
//!
//! Bodies up to `SUMMED_BYTES_MAX` are summed and held against the checksum that comes with them,
//! so that whoever tries the store out finds one that verifies; of larger ones the client's word is
//! taken. A multipart's whole checksum follows from its parts'. Signatures aren't looked at.

mod head;
mod store;

use std::io::{self, BufRead, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use sluice_proto::checksum::Crc64Nvme;

use crate::peer::settings::SINK_BUFFER_BYTES;
use head::Head;
use store::{Answer, Body, Store};

/// Connections at a time; one more is closed at once.
const CONNECTIONS_MAX: usize = 1024;
/// Larger bodies aren't summed.
const SUMMED_BYTES_MAX: u64 = 64 << 10;
/// What names a multipart's parts is kept until it is read; no longer one is taken.
const TEXT_BYTES_MAX: u64 = 4 << 20;

/// Accepts for ever, a thread a connection.
///
/// # Errors
/// When the listener breaks.
pub fn serve(listener: &TcpListener) -> io::Result<()> {
    let store = Arc::new(Mutex::new(Store::default()));
    for stream in listener.incoming() {
        let stream = stream?;
        // One is this loop's.
        if Arc::strong_count(&store) > CONNECTIONS_MAX {
            continue;
        }
        let store = Arc::clone(&store);
        thread::Builder::new().name("connection".into()).spawn(move || {
            if let Err(error) = answer_all(stream, &store) {
                eprintln!("sink-s3: a connection ended: {error}");
            }
        })?;
    }
    Ok(())
}

fn answer_all(stream: TcpStream, store: &Mutex<Store>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::with_capacity(SINK_BUFFER_BYTES, &stream);
    while let Some(head) = Head::read(&mut reader)? {
        let body = read_body(&mut reader, &head)?;
        let answer = store.lock().unwrap_or_else(PoisonError::into_inner).carry_out(&head, &body);
        (&stream).write_all(&written(&answer, head.method == "HEAD"))?;
    }
    Ok(())
}

/// Passes over what is large.
fn read_body(reader: &mut impl BufRead, head: &Head) -> io::Result<Body> {
    let (bytes, is_text) = (head.body_bytes, head.method == "POST");
    if is_text && bytes > TEXT_BYTES_MAX {
        return Err(io::Error::other(format!("a text of {bytes} bytes is too long")));
    }
    let is_summed = bytes <= SUMMED_BYTES_MAX;
    let (mut sum, mut text, mut left) = (Crc64Nvme::new(), Vec::new(), bytes);
    while left > 0 {
        let there = reader.fill_buf()?;
        if there.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        // No more than `there.len()`.
        let taken = left.min(there.len() as u64) as usize;
        if is_summed {
            sum.update(&there[..taken]);
        }
        if is_text {
            text.extend_from_slice(&there[..taken]);
        }
        reader.consume(taken);
        left -= taken as u64;
    }
    Ok(Body { bytes, crc64nvme: is_summed.then(|| sum.value()), text })
}

/// An answer as it is sent. To HEAD it is never followed by a body, whatever length it tells.
fn written(answer: &Answer, is_head: bool) -> Vec<u8> {
    let mut bytes = Vec::new();
    let length = answer.told_bytes.unwrap_or(answer.text.len() as u64);
    let status = answer.status;
    // The word behind the number is for people.
    let mut line = |text: String| bytes.extend_from_slice(text.as_bytes());
    line(format!("HTTP/1.1 {status} {}\r\n", if status < 300 { "OK" } else { "No" }));
    for (name, value) in &answer.headers {
        line(format!("{name}: {value}\r\n"));
    }
    if status != 204 {
        line(format!("content-length: {length}\r\n"));
    }
    line("\r\n".to_owned());
    if !is_head {
        line(answer.text.clone());
    }
    bytes
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    /// Sends requests on one connection and gives what comes back.
    fn said(requests: &[&[u8]]) -> Vec<String> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || serve(&listener));
        let stream = TcpStream::connect(address).unwrap();
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let mut answer = |request: &&[u8]| {
            (&stream).write_all(request).unwrap();
            let (mut head, mut length) = (String::new(), 0);
            loop {
                let start = head.len();
                reader.read_line(&mut head).unwrap();
                let line = &head[start..];
                length = line
                    .strip_prefix("content-length: ")
                    .map_or(length, |length| length.trim().parse().unwrap());
                if line == "\r\n" {
                    break;
                }
            }
            let mut text = vec![0; if request.starts_with(b"HEAD") { 0 } else { length }];
            reader.read_exact(&mut text).unwrap();
            head + std::str::from_utf8(&text).unwrap()
        };
        requests.iter().map(&mut answer).collect()
    }

    #[test]
    fn what_was_put_is_told_by_its_size_and_its_metadata() {
        let large = [
            &b"PUT /b/k HTTP/1.1\r\nContent-Length: 3000000\r\nx-amz-meta-a: 1\r\n\r\n"[..],
            &vec![7; 3_000_000],
        ]
        .concat();
        let answers = said(&[
            b"HEAD /b HTTP/1.1\r\n\r\n",
            b"HEAD /b/k HTTP/1.1\r\n\r\n",
            &large,
            b"HEAD /b/k HTTP/1.1\r\n\r\n",
            b"DELETE /b/k HTTP/1.1\r\n\r\n",
            b"GET /b/k HTTP/1.1\r\n\r\n",
        ]);
        let status = |nth: usize| answers[nth].split(' ').nth(1).unwrap();
        assert_eq!([0, 1, 2, 3, 4, 5].map(status), ["200", "404", "200", "200", "204", "404"]);
        assert!(answers[3].contains("x-amz-meta-a: 1\r\n"), "{}", answers[3]);
        assert!(answers[3].contains("content-length: 3000000\r\n"), "{}", answers[3]);
        assert!(answers[5].contains("<Code>NoSuchKey</Code>"), "{}", answers[5]);
    }

    #[test]
    fn a_body_that_ends_early_ends_the_connection() {
        let head = Head { method: "PUT".into(), body_bytes: 5, ..Head::default() };
        let error = read_body(&mut &b"abc"[..], &head).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        let long = Head { method: "POST".into(), body_bytes: TEXT_BYTES_MAX + 1, ..head };
        assert!(read_body(&mut &b""[..], &long).is_err());
    }
}
