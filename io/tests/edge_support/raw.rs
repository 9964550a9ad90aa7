//! A client that writes HTTP/2 frames by hand, right or wrong.

use std::{
    collections::{HashMap, VecDeque},
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use sluice_proto::checksum::Crc32c;

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

pub const END_STREAM: u8 = 0x1;
pub const ACK: u8 = 0x1;
pub const END_HEADERS: u8 = 0x4;
pub const PADDED: u8 = 0x8;

pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub const PROTOCOL_ERROR: u32 = 1;
pub const FLOW_CONTROL_ERROR: u32 = 3;
pub const STREAM_CLOSED: u32 = 5;
pub const FRAME_SIZE_ERROR: u32 = 6;
pub const REFUSED_STREAM: u32 = 7;
pub const ENHANCE_YOUR_CALM: u32 = 11;

#[derive(Clone, Debug)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

impl Frame {
    /// The code of a reset or a GOAWAY.
    pub fn code(&self) -> u32 {
        let at = if self.kind == GOAWAY { 4 } else { 0 };
        u32::from_be_bytes(self.payload[at..at + 4].try_into().unwrap())
    }
}

pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut all = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    all.extend_from_slice(&[kind, flags]);
    all.extend_from_slice(&stream.to_be_bytes());
    all.extend_from_slice(payload);
    all
}

/// Header block of a request, every field a literal.
pub fn head(path: &str, bytes: usize) -> Vec<u8> {
    block(&[
        (":method", "POST"),
        (":scheme", "http"),
        (":path", path),
        (":authority", "sluice"),
        ("x-bytes", &bytes.to_string()),
    ])
}

/// Header block of any fields, every one a literal.
pub fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            text_into(&mut block, text);
        }
    }
    block
}

/// A text without Huffman coding, behind its length as HPACK writes it.
fn text_into(block: &mut Vec<u8>, text: &str) {
    let mut length = text.len();
    if length < 127 {
        block.push(length as u8);
    } else {
        block.push(127);
        length -= 127;
        while length >= 128 {
            block.push(length as u8 | 128);
            length >>= 7;
        }
        block.push(length as u8);
    }
    block.extend_from_slice(text.as_bytes());
}

pub struct Raw {
    pub socket: TcpStream,
    /// What may still be sent on the connection.
    pub window: i64,
    windows: HashMap<u32, i64>,
    waiting: VecDeque<Frame>,
}

impl Raw {
    /// A connection on which nothing was said yet.
    pub fn silent(address: SocketAddr) -> Raw {
        let socket = TcpStream::connect(address).unwrap();
        socket.set_nodelay(true).unwrap();
        // Longer than anything takes here, so that a test fails and doesn't hang.
        socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        socket.set_write_timeout(Some(Duration::from_secs(60))).unwrap();
        Raw { socket, window: 65_535, windows: HashMap::new(), waiting: VecDeque::new() }
    }

    pub fn connect(address: SocketAddr) -> Raw {
        let mut raw = Raw::silent(address);
        raw.write(&[PREFACE, &frame(SETTINGS, 0, 0, &[])].concat());
        raw
    }

    pub fn write(&mut self, bytes: &[u8]) {
        self.socket.write_all(bytes).unwrap();
    }

    /// Writes what the peer takes, and how much that is. It takes no more once it has hung up, or
    /// has had no byte while it did as `others` ask, several times: it isn't just late.
    pub fn offer(&mut self, bytes: &[u8], mut others: impl FnMut()) -> usize {
        const TRIES: u32 = 5;
        self.socket.set_write_timeout(Some(Duration::from_millis(200))).unwrap();
        let (mut taken, mut refused) = (0, 0);
        while taken < bytes.len() && refused < TRIES {
            match self.socket.write(&bytes[taken..]) {
                Ok(some) => (taken, refused) = (taken + some, 0),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    others();
                    refused += 1;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        taken
    }

    pub fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        self.write(&frame(kind, flags, stream, payload));
    }

    pub fn open(&mut self, stream: u32, path: &str, bytes: usize) {
        self.open_with(stream, &head(path, bytes));
    }

    /// Opens a stream by a header block.
    pub fn open_with(&mut self, stream: u32, block: &[u8]) {
        self.windows.insert(stream, 65_535);
        self.send(HEADERS, END_HEADERS, stream, block);
    }

    /// One DATA frame, whether or not there is window for it.
    pub fn data(&mut self, stream: u32, payload: &[u8], end: bool) {
        self.spend(stream, payload.len());
        self.send(DATA, if end { END_STREAM } else { 0 }, stream, payload);
    }

    /// Counts bytes that were sent by [`write`](Self::write).
    pub fn spend(&mut self, stream: u32, bytes: usize) {
        self.window -= bytes as i64;
        *self.windows.entry(stream).or_insert(65_535) -= bytes as i64;
    }

    /// What may be sent on this stream now.
    pub fn room(&self, stream: u32) -> usize {
        let window = self.windows.get(&stream).copied().unwrap_or(65_535);
        window.min(self.window).max(0) as usize
    }

    /// The next frame in order; `None` at the end.
    fn receive(&mut self) -> io::Result<Option<Frame>> {
        let mut header = [0; 9];
        loop {
            match self.socket.read(&mut header[..1]) {
                Ok(0) => return Ok(None),
                Ok(_) => break,
                // As after a stop of this process.
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.socket.read_exact(&mut header[1..])?;
        let length = u32::from_be_bytes([0, header[0], header[1], header[2]]) as usize;
        let mut payload = vec![0; length];
        self.socket.read_exact(&mut payload)?;
        let stream = u32::from_be_bytes(header[5..].try_into().unwrap());
        let frame = Frame { kind: header[3], flags: header[4], stream, payload };
        self.note(&frame)?;
        Ok(Some(frame))
    }

    fn note(&mut self, seen: &Frame) -> io::Result<()> {
        let acked = seen.flags & ACK != 0;
        match seen.kind {
            SETTINGS if !acked => self.socket.write_all(&frame(SETTINGS, ACK, 0, &[])),
            PING if !acked => self.socket.write_all(&frame(PING, ACK, 0, &seen.payload)),
            WINDOW_UPDATE => {
                let more = i64::from(u32::from_be_bytes(seen.payload[..].try_into().unwrap()));
                match seen.stream {
                    0 => self.window += more,
                    stream => *self.windows.entry(stream).or_insert(65_535) += more,
                }
                assert!(self.window < 1 << 31);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Reads until a frame fits; what doesn't fit is kept for later.
    pub fn until(&mut self, what: &str, fits: impl Fn(&Frame) -> bool) -> Frame {
        if let Some(at) = self.waiting.iter().position(&fits) {
            return self.waiting.remove(at).unwrap();
        }
        loop {
            match self.receive() {
                Ok(Some(frame)) if fits(&frame) => return frame,
                Ok(Some(frame)) if frame.kind == WINDOW_UPDATE => {}
                Ok(Some(frame)) => self.waiting.push_back(frame),
                other => panic!("no {what}, but {other:?} after {:?}", self.waiting),
            }
        }
    }

    /// A frame that came and that nobody has asked for.
    pub fn take(&mut self, fits: impl Fn(&Frame) -> bool) -> Option<Frame> {
        let at = self.waiting.iter().position(fits)?;
        self.waiting.remove(at)
    }

    /// Takes in what has come, without waiting.
    pub fn look(&mut self) {
        self.socket.set_nonblocking(true).unwrap();
        while self.socket.peek(&mut [0]).is_ok_and(|bytes| bytes > 0) {
            self.socket.set_nonblocking(false).unwrap();
            if let Some(frame) = self.receive().unwrap()
                && frame.kind != WINDOW_UPDATE
            {
                self.waiting.push_back(frame);
            }
            self.socket.set_nonblocking(true).unwrap();
        }
        self.socket.set_nonblocking(false).unwrap();
    }

    /// Takes in the next frame.
    pub fn wait(&mut self) {
        match self.receive() {
            Ok(Some(frame)) if frame.kind == WINDOW_UPDATE => {}
            Ok(Some(frame)) if frame.kind != GOAWAY => self.waiting.push_back(frame),
            other => panic!("{other:?} after {:?}", self.waiting),
        }
    }

    /// Sends `bytes` in frames of at most `frame_bytes` as the windows let it; the last ends the
    /// stream.
    pub fn send_all(&mut self, stream: u32, bytes: &[u8], frame_bytes: usize) {
        self.send_part(stream, bytes, frame_bytes, true);
    }

    /// The same; whether the last frame ends the stream is `end`.
    pub fn send_part(&mut self, stream: u32, bytes: &[u8], frame_bytes: usize, end: bool) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let some = rest.len().min(frame_bytes).min(self.room(stream));
            if some == 0 {
                self.wait();
                continue;
            }
            self.data(stream, &rest[..some], end && some == rest.len());
            rest = &rest[some..];
        }
    }

    /// Waits for the answer of "/sum" and the like.
    pub fn answer(&mut self, stream: u32) -> u32 {
        let head = self.until("answer", |f| {
            f.stream == stream && [HEADERS, RST_STREAM].contains(&f.kind) || f.kind == GOAWAY
        });
        assert_eq!(head.kind, HEADERS, "{head:?}");
        assert_eq!(head.payload.first(), Some(&0x88), "status 200 in {head:?}");
        let sum = self.until("sum", |f| f.stream == stream && f.kind == DATA);
        self.until("end", |f| f.stream == stream && f.flags & END_STREAM != 0);
        u32::from_be_bytes(sum.payload[..].try_into().unwrap())
    }

    /// A whole upload on `stream`, which must come out right.
    pub fn upload(&mut self, stream: u32, bytes: &[u8], frame_bytes: usize) {
        self.call("/sum", stream, bytes, frame_bytes);
    }

    /// A whole call whose answer is the sum.
    pub fn call(&mut self, path: &str, stream: u32, bytes: &[u8], frame_bytes: usize) {
        self.open(stream, path, bytes.len());
        self.send_all(stream, bytes, frame_bytes);
        assert_eq!(self.answer(stream), Crc32c::of(bytes));
    }

    /// Reads to the end and answers the GOAWAY's code, if there was one; no reset is let pass.
    pub fn end(&mut self) -> Option<u32> {
        let mut code = self.waiting.iter().find(|f| f.kind == GOAWAY).map(Frame::code);
        loop {
            match self.receive() {
                Ok(Some(frame)) if frame.kind == GOAWAY => code = Some(frame.code()),
                Ok(Some(_)) => {}
                Ok(None) => return code,
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
                Err(error) => panic!("{error}, after GOAWAY {code:?}, window {}", self.window),
            }
        }
    }
}
