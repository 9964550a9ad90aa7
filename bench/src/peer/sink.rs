//! The limit: blocking TCP sinks that do as little as can be done with what arrives.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use crate::peer::count::{Count, HEADER_BYTES};
use crate::peer::settings::{MESSAGE_BYTES_MAX, ROTATING_BUFFERS, SINK_BUFFER_BYTES};

/// What happens to the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// One buffer, warm in the cache, is overwritten by each receive.
    Nothing,
    /// A message is held whole until its end, in buffers that are used in turn: the memory is cold
    /// when it is written to, as it is for a server that keeps chunks.
    Message,
}

/// Connections at a time; one more is closed at once.
const CONNECTIONS_MAX: usize = 1024;

/// Bytes that a connection's buffers have together; fewer than [`ROTATING_BUFFERS`] of large ones.
const ROTATING_BYTES_MAX: usize = 256 << 20;

/// Accepts for ever, a thread a connection.
///
/// # Errors
/// When the listener breaks.
pub fn serve(listener: &TcpListener, keep: Keep) -> io::Result<()> {
    let open = Arc::new(());
    for stream in listener.incoming() {
        let stream = stream?;
        if Arc::strong_count(&open) > CONNECTIONS_MAX {
            continue;
        }
        let held = Arc::clone(&open);
        thread::Builder::new().name("connection".into()).spawn(move || {
            let ended = match keep {
                Keep::Nothing => count(stream),
                Keep::Message => hold(stream),
            };
            if let Err(error) = ended {
                eprintln!("sink: a connection ended: {error}");
            }
            drop(held);
        })?;
    }
    Ok(())
}

fn count(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = touched(SINK_BUFFER_BYTES);
    let mut count = Count::default();
    loop {
        let received = match stream.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(received) => received,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let mut answered = Ok(());
        count.take(&buffer[..received], |answer| {
            answered = std::mem::replace(&mut answered, Ok(())).and(stream.write_all(&answer));
        });
        answered?;
    }
}

fn hold(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffers = Rotation::default();
    let mut total = 0u64;
    loop {
        let mut header = [0; HEADER_BYTES];
        match stream.read_exact(&mut header) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            read => read?,
        }
        let length = message_bytes(header)?;
        stream.read_exact(buffers.next(length))?;
        total += length as u64;
        stream.write_all(&total.to_be_bytes())?;
    }
}

/// The length that a message begins with.
///
/// # Errors
/// When it is beyond all bounds.
pub(super) fn message_bytes(header: [u8; HEADER_BYTES]) -> io::Result<usize> {
    let length = usize::try_from(u64::from_be_bytes(header)).unwrap_or(usize::MAX);
    match length > MESSAGE_BYTES_MAX {
        true => Err(io::Error::other(format!("a message of {length} bytes is too large"))),
        false => Ok(length),
    }
}

/// Buffers that are used in turn.
#[derive(Debug, Default)]
pub(super) struct Rotation {
    buffers: Vec<Vec<u8>>,
    turn: usize,
}

impl Rotation {
    /// The next buffer. They are made when the first message comes, and again for a larger one.
    pub(super) fn next(&mut self, length: usize) -> &mut [u8] {
        if self.buffers.first().is_none_or(|buffer| buffer.len() < length) {
            // Two at least, or it wouldn't be cold.
            let buffers = (ROTATING_BYTES_MAX / length.max(1)).clamp(2, ROTATING_BUFFERS);
            self.buffers.clear();
            self.buffers.resize_with(buffers, || touched(length));
        }
        self.turn = (self.turn + 1) % self.buffers.len();
        &mut self.buffers[self.turn][..length]
    }
}

/// Zeros whose pages are there: else the first receive would pay for them.
pub(super) fn touched(length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    bytes.iter_mut().step_by(PAGE_BYTES).for_each(|byte| *byte = std::hint::black_box(1));
    bytes
}

const PAGE_BYTES: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    fn totals(keep: Keep, messages: &[usize]) -> Vec<u64> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || serve(&listener, keep));
        let mut stream = TcpStream::connect(address).unwrap();
        let send = |&length: &usize| {
            stream.write_all(&(length as u64).to_be_bytes()).unwrap();
            stream.write_all(&vec![1; length]).unwrap();
            let mut answer = [0; HEADER_BYTES];
            stream.read_exact(&mut answer).unwrap();
            u64::from_be_bytes(answer)
        };
        messages.iter().map(send).collect()
    }

    #[test]
    fn both_sinks_answer_the_total_after_each_message() {
        let messages = [1, 0, 5_000_000, 70_000, 6_000_000];
        let expected = [1, 1, 5_000_001, 5_070_001, 11_070_001];
        assert_eq!(totals(Keep::Nothing, &messages), expected);
        assert_eq!(totals(Keep::Message, &messages), expected);
    }

    #[test]
    fn buffers_take_turns_and_are_few_where_they_are_large() {
        let mut rotation = Rotation::default();
        let places: Vec<_> = (0..5).map(|_| rotation.next(100).as_ptr()).collect();
        assert_eq!(places[0], places[4]);
        assert!(places[1..4].iter().all(|place| *place != places[0]));
        rotation.next(100 << 20);
        assert_eq!(rotation.buffers.len(), 2);
    }

    #[test]
    fn a_message_beyond_all_bounds_ends_the_connection() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || serve(&listener, Keep::Message));
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(&u64::MAX.to_be_bytes()).unwrap();
        assert_eq!(stream.read(&mut [0; 8]).unwrap(), 0);
    }
}
