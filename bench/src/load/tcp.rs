//! The client of the TCP sinks: the least that sending bytes can cost, which is what every server
//! that does more is compared with. It can speak to Redis, too.
//!
//! A connection sends messages, each a length (8 bytes, big-endian) and so many bytes; the sink
//! answers each by all bytes that it has had on this connection (8 bytes, big-endian). Those totals
//! are what is verified.

use std::collections::VecDeque;
use std::io::{self, IoSlice, Read as _, Write as _};
use std::net::TcpStream;
use std::ops::Range;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::clock::now;
use crate::job::Job;
use crate::load::Mark;
use crate::load::meter::{Ack, Meter};
use crate::load::payload::Payload;
use crate::load::plan::Plan;

/// A sink that doesn't answer or read for so long never will.
const TIMEOUT: Duration = Duration::from_secs(30);
/// What a thread took can't be seen any more when it has ended: whoever looks at the end of the
/// measured time must find it.
const LINGER: Duration = Duration::from_millis(200);
const WORD_BYTES: usize = 8;
/// Keys that a connection writes by turns: Redis frees what it replaces.
const KEYS: u64 = 4;
const OK: &[u8] = b"+OK\r\n";

/// What is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// Of our sinks.
    Sink,
    /// SETs, each answered by `+OK`.
    RedisSet,
}

impl Dialect {
    /// What comes before the `nth` message of a connection, and behind it.
    fn around(self, connection: usize, nth: u64, bytes: usize) -> (Vec<u8>, &'static [u8]) {
        match self {
            Self::Sink => ((bytes as u64).to_be_bytes().to_vec(), b""),
            Self::RedisSet => {
                let key = format!("{connection}:{}", nth % KEYS);
                let head = format!("*3\r\n$3\r\nSET\r\n${}\r\n{key}\r\n${bytes}\r\n", key.len());
                (head.into_bytes(), b"\r\n")
            }
        }
    }

    const fn answer_bytes(self) -> usize {
        match self {
            Self::Sink => WORD_BYTES,
            Self::RedisSet => OK.len(),
        }
    }

    /// Whether an answer says that all `sent_bytes` of its connection came.
    fn check(self, answer: &[u8], sent_bytes: u64) -> io::Result<()> {
        let said = match self {
            Self::Sink => {
                let total = u64::from_be_bytes(answer.try_into().expect("a word's bytes"));
                (total != sent_bytes).then(|| format!("{sent_bytes} bytes were sent, {total} came"))
            }
            Self::RedisSet => {
                (answer != OK).then(|| format!("Redis said {:?}", String::from_utf8_lossy(answer)))
            }
        };
        said.map_or(Ok(()), |said| Err(io::Error::other(said)))
    }
}

/// Puts the load on: a blocking thread for each connection.
///
/// # Errors
/// When nobody listens, or a connection breaks.
pub fn run(
    job: &Job,
    plans: &[Plan],
    dialect: Dialect,
    on: &mut dyn FnMut(Mark),
) -> io::Result<Meter> {
    let load = &job.load;
    if load.offered.is_some() || load.idle_uploads > 0 {
        return Err(io::Error::other(
            "the client of the sinks has no open loop and no idle uploads",
        ));
    }
    let payloads = Payload::make(plans, &load.fill)?;
    let connect = |_| connect(&job.address);
    let connections = (0..load.connections).map(connect).collect::<io::Result<Vec<_>>>()?;
    let begin = now() + load.warm_up.0;
    let course = Course {
        dialect,
        messages: messages(&payloads),
        flying: (load.uploads * load.parallel).div_ceil(load.connections),
        begin,
        end: begin + load.duration.0,
        total_bytes: load.total_size.map_or(u64::MAX, |size| size.0),
        acked_bytes: AtomicU64::new(0),
        enough: OnceLock::new(),
        waiting: thread::current(),
    };
    thread::scope(|scope| {
        let send = |(nth, stream)| {
            let course = &course;
            scope.spawn(move || Sender::new(course, stream, nth).run())
        };
        let senders: Vec<_> = connections.into_iter().enumerate().map(send).collect();
        course.wait_until(course.begin);
        on(Mark::Begin);
        course.wait_until(course.end);
        on(Mark::End);
        let mut meter = course.meter();
        meter.end(course.over_at());
        for sender in senders {
            meter.merge(sender.join().map_err(|_| io::Error::other("a sender broke"))??);
        }
        Ok(meter)
    })
}

fn connect(address: &str) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address)
        .map_err(|error| io::Error::new(error.kind(), format!("{address}: {error}")))?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    Ok(stream)
}

/// The chunks of one upload of each kind.
fn messages(payloads: &[Payload]) -> Vec<Bytes> {
    let numbers = |payload: &Payload| 0..payload.plan().chunks().min(MESSAGES_MAX);
    let of = |payload| numbers(payload).map(move |number| payload.data(number));
    payloads.iter().flat_map(of).collect()
}

/// They come again after so many.
const MESSAGES_MAX: u32 = 4_096;

/// What all senders share.
#[derive(Debug)]
struct Course {
    dialect: Dialect,
    messages: Vec<Bytes>,
    /// Messages of one connection whose answers may be out.
    flying: usize,
    begin: Instant,
    end: Instant,
    total_bytes: u64,
    acked_bytes: AtomicU64,
    /// When all that should be acked was, or something broke.
    enough: OnceLock<Instant>,
    waiting: Thread,
}

impl Course {
    fn meter(&self) -> Meter {
        let mut meter = Meter::new();
        meter.begin(self.begin);
        meter
    }

    fn over_at(&self) -> Instant {
        self.enough.get().copied().unwrap_or(self.end).min(self.end)
    }

    fn stop(&self, at: Instant) {
        // Whoever was first has said it.
        let _ = self.enough.set(at);
        self.waiting.unpark();
    }

    fn wait_until(&self, instant: Instant) {
        while self.enough.get().is_none() {
            let left = instant.saturating_duration_since(now());
            if left.is_zero() {
                return;
            }
            thread::park_timeout(left);
        }
    }
}

/// One connection.
struct Sender<'a> {
    course: &'a Course,
    stream: TcpStream,
    number: usize,
    next: usize,
    sent: u64,
    sent_bytes: u64,
    /// When each message began whose answer is out, its bytes, and what the sink must answer.
    flying: VecDeque<(Instant, u64, u64)>,
    /// Where answers are read to; the first `read` bytes are a part of one.
    answers: Vec<u8>,
    read: usize,
    meter: Meter,
}

impl<'a> Sender<'a> {
    fn new(course: &'a Course, stream: TcpStream, nth: usize) -> Self {
        Self {
            course,
            stream,
            number: nth,
            next: nth,
            sent: 0,
            sent_bytes: 0,
            flying: VecDeque::with_capacity(course.flying),
            answers: vec![0; course.dialect.answer_bytes() * course.flying],
            read: 0,
            meter: course.meter(),
        }
    }

    fn run(mut self) -> io::Result<Meter> {
        let started = now();
        if let Err(error) = self.send_all() {
            self.meter.failed(error.to_string());
            self.meter.lost(self.flying.len() as u64);
            self.course.stop(now());
        } else {
            self.meter.verified(started, now(), false);
        }
        self.meter.end(self.course.over_at());
        thread::sleep(LINGER);
        Ok(self.meter)
    }

    fn send_all(&mut self) -> io::Result<()> {
        while now() < self.course.over_at() {
            if self.flying.len() == self.course.flying {
                self.read_answers()?;
            } else {
                self.send()?;
            }
        }
        while !self.flying.is_empty() {
            self.read_answers()?;
        }
        Ok(())
    }

    fn send(&mut self) -> io::Result<()> {
        let started = now();
        let data = &self.course.messages[self.next % self.course.messages.len()];
        self.next += 1;
        let (head, tail) = self.course.dialect.around(self.number, self.sent, data.len());
        self.sent += 1;
        let parts = [&head[..], &data[..], tail];
        let mut sent = self.stream.write_vectored(&parts.map(IoSlice::new))?;
        // A blocking socket takes all at once, but for a signal.
        for part in parts {
            self.stream.write_all(part.get(sent..).unwrap_or_default())?;
            sent = sent.saturating_sub(part.len());
        }
        let bytes = data.len() as u64;
        self.sent_bytes += bytes;
        self.flying.push_back((started, bytes, self.sent_bytes));
        Ok(())
    }

    /// Waits for at least some bytes of an answer.
    fn read_answers(&mut self) -> io::Result<()> {
        let bytes = self.stream.read(&mut self.answers[self.read..])?;
        if bytes == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the sink closed"));
        }
        let acked = now();
        let read = self.read + bytes;
        let answer_bytes = self.course.dialect.answer_bytes();
        let whole = read - read % answer_bytes;
        for at in (0..whole).step_by(answer_bytes) {
            self.answered(at..at + answer_bytes, acked)?;
        }
        self.answers.copy_within(whole..read, 0);
        self.read = read - whole;
        Ok(())
    }

    fn answered(&mut self, answer: Range<usize>, acked: Instant) -> io::Result<()> {
        let Some((started, bytes, expected)) = self.flying.pop_front() else {
            return Err(io::Error::other("an answer that nothing was sent for"));
        };
        self.course.dialect.check(&self.answers[answer], expected)?;
        let before = self.course.acked_bytes.load(Ordering::Relaxed);
        let timed = self.meter.measures(acked) && acked < self.course.over_at();
        if timed {
            self.meter.acked(Ack { started, acked, bytes, ending: false, timed });
            let sum = self.course.acked_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
            if sum >= self.course.total_bytes && before < self.course.total_bytes {
                self.course.stop(acked);
            }
        }
        Ok(())
    }
}
