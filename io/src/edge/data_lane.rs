//! Splits what a client sends: DATA payloads of open streams to one side, the rest to h2.
//!
//! Does no I/O, and copies nothing but a frame header that lies across two blocks.

use std::collections::{HashSet, VecDeque};

use bytes::{Buf, Bytes};

const PREFACE: usize = 24;
const HEADER: usize = 9;
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 0x4;
const END_STREAM: u8 = 0x1;
const PADDED: u8 = 0x8;

/// The longest frame of another kind than DATA, bytes. h2 gathers such a frame whole, in memory
/// that nobody has paid for, and no client needs a longer one.
const CONTROL_BYTES_MAX: usize = 64 << 10;

/// Streams that we reset are remembered for what still comes on them, up to so many.
const CLOSED_KEPT: usize = 4096;

/// What frames cost and pay back; see [`Splitter::take_cost`].
const RESET_COST: i64 = 4;
const OPENED_WORTH: i64 = 2;
const PAYLOAD_WORTH_BYTES: usize = 16 << 10;
/// A late DATA frame that is shorter costs.
const LATE_BYTES_MIN: usize = 1 << 10;

/// One thing that came in, in the order of the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// Bytes for h2, as they came.
    Control(Bytes),
    /// Payload of an open stream; its length counts against both windows.
    Data {
        /// HTTP/2 stream number.
        stream: u32,
        /// A slice of the block that was pushed.
        bytes: Bytes,
    },
    /// A stream was opened that will carry payload. h2 may still refuse it.
    Opened {
        /// HTTP/2 stream number.
        stream: u32,
    },
    /// Bytes of an open stream's frames that are no payload, but count against both windows.
    Padding {
        /// HTTP/2 stream number.
        stream: u32,
        /// How many.
        bytes: usize,
    },
    /// A DATA frame goes to h2 whole, which judges it; it counts against the connection's window.
    Foreign {
        /// HTTP/2 stream number.
        stream: u32,
        /// Its length with padding.
        bytes: usize,
    },
    /// A frame is longer than it may be. Nothing after it is looked at.
    TooLong,
    /// The client will send no more on this stream, as h2 was told.
    Ended {
        /// HTTP/2 stream number.
        stream: u32,
    },
    /// The same, by the last frame of its payload: h2 is still to be told.
    PayloadEnded {
        /// HTTP/2 stream number.
        stream: u32,
    },
    /// The client has reset this stream.
    Reset {
        /// HTTP/2 stream number.
        stream: u32,
    },
}

/// Header of a DATA frame, as h2 is shown one in place of payload that it never sees.
pub(super) fn data_header(stream: u32, bytes: u16, is_last: bool) -> [u8; HEADER] {
    let [l0, l1] = bytes.to_be_bytes();
    let [a, b, c, d] = stream.to_be_bytes();
    [0, l0, l1, DATA, if is_last { END_STREAM } else { 0 }, a, b, c, d]
}

enum State {
    /// `given`: bytes of the frame that were given already; the preface, before any, counts none.
    Control {
        left: usize,
        given: usize,
        then: Option<Piece>,
    },
    Header,
    PadLength {
        stream: u32,
        left: usize,
        last: bool,
    },
    Payload {
        stream: u32,
        left: usize,
        pad: usize,
        last: bool,
    },
    Pad {
        stream: u32,
        left: usize,
        last: bool,
    },
    Skip {
        left: usize,
    },
    Broken,
}

/// The state of one connection's incoming side.
pub struct Splitter {
    state: State,
    header: [u8; HEADER],
    filled: usize,
    open: HashSet<u32>,
    closed: HashSet<u32>,
    closed_order: VecDeque<u32>,
    highest: u32,
    max_frame: usize,
    /// A frame's header has come.
    has_begun: bool,
    /// A header block has begun, and only its CONTINUATION may follow.
    in_headers: bool,
    cost: i64,
    payload_bytes: usize,
}

impl Splitter {
    /// `max_frame`: the SETTINGS_MAX_FRAME_SIZE told to the client, bytes.
    #[must_use]
    pub fn new(max_frame: usize) -> Self {
        Self {
            state: State::Control { left: PREFACE, given: 0, then: None },
            header: [0; HEADER],
            filled: 0,
            open: HashSet::new(),
            closed: HashSet::new(),
            closed_order: VecDeque::new(),
            highest: 0,
            max_frame,
            has_begun: false,
            in_headers: false,
            cost: 0,
            payload_bytes: 0,
        }
    }

    /// We have reset this stream: DATA that still comes on it is told as [`Piece::Foreign`] and
    /// dropped. A payload already begun is still given as [`Piece::Data`].
    pub fn close(&mut self, stream: u32) {
        if !self.open.remove(&stream) {
            return;
        }
        if self.closed_order.len() == CLOSED_KEPT
            && let Some(oldest) = self.closed_order.pop_front()
        {
            self.closed.remove(&oldest);
        }
        self.closed_order.push_back(stream);
        self.closed.insert(stream);
    }

    /// What the frames since the last call cost: more than 0 if there were many that bring
    /// nothing (pings, settings, resets, empty DATA), less if requests and payload outweigh them.
    pub fn take_cost(&mut self) -> i64 {
        let worth = self.payload_bytes / PAYLOAD_WORTH_BYTES;
        self.payload_bytes %= PAYLOAD_WORTH_BYTES;
        std::mem::take(&mut self.cost) - worth as i64
    }

    /// Bytes of a frame for h2 that were given, while its rest has not come.
    #[must_use]
    pub fn control_begun(&self) -> usize {
        match self.state {
            State::Control { given, .. } => given,
            _ => 0,
        }
    }

    /// Whether a header block has begun and its end has not come, or no frame came at all yet.
    #[must_use]
    pub fn is_unfinished(&self) -> bool {
        self.in_headers || !self.has_begun
    }

    /// Payload bytes that must still come for the frame at hand; 0 between frames.
    #[must_use]
    pub fn payload_left(&self) -> usize {
        match self.state {
            State::Payload { left, pad, .. } => left + pad,
            State::Pad { left, .. } => left,
            _ => 0,
        }
    }

    /// Takes the next bytes of the connection, cut anywhere.
    pub fn push(&mut self, mut block: Bytes, out: &mut Vec<Piece>) {
        while !block.is_empty() {
            match &mut self.state {
                State::Control { left, given, then } => {
                    let bytes = block.split_to(block.len().min(*left));
                    *left -= bytes.len();
                    if *given > 0 {
                        *given += bytes.len();
                    }
                    out.push(Piece::Control(bytes));
                    if *left == 0 {
                        out.extend(then.take());
                        self.state = State::Header;
                    }
                }
                State::PadLength { stream, left, last } => {
                    let (stream, left, last) = (*stream, *left, *last);
                    let pad = usize::from(block.get_u8());
                    self.padded(stream, left, pad, last, out);
                }
                State::Payload { stream, left, pad, last } => {
                    let bytes = block.split_to(block.len().min(*left));
                    *left -= bytes.len();
                    self.payload_bytes += bytes.len();
                    let (stream, pad, last, done) = (*stream, *pad, *last, *left == 0);
                    out.push(Piece::Data { stream, bytes });
                    if done {
                        self.state = State::Pad { stream, left: pad, last };
                        self.pad_done(out);
                    }
                }
                State::Pad { left, .. } => {
                    let skipped = block.len().min(*left);
                    block.advance(skipped);
                    *left -= skipped;
                    self.pad_done(out);
                }
                State::Skip { left } => {
                    let skipped = block.len().min(*left);
                    block.advance(skipped);
                    *left -= skipped;
                    if *left == 0 {
                        self.state = State::Header;
                    }
                }
                State::Broken => return,
                State::Header => {
                    let some = block.len().min(HEADER - self.filled);
                    block.copy_to_slice(&mut self.header[self.filled..self.filled + some]);
                    self.filled += some;
                    if self.filled == HEADER {
                        self.filled = 0;
                        self.frame(out);
                    }
                }
            }
        }
    }

    /// The pad length of a padded frame is known; `left` is what follows it.
    fn padded(&mut self, stream: u32, left: usize, pad: usize, last: bool, out: &mut Vec<Piece>) {
        if pad > left {
            // A connection error, which is h2's to tell: it gets the frame as it came.
            self.open.remove(&stream);
            out.push(Piece::Foreign { stream, bytes: left + 1 });
            out.push(Piece::Control(Bytes::copy_from_slice(&self.header)));
            out.push(Piece::Control(Bytes::copy_from_slice(&[pad as u8])));
            self.state = match left {
                0 => State::Header,
                _ => State::Control { left, given: HEADER + 1, then: None },
            };
            return;
        }
        out.push(Piece::Padding { stream, bytes: pad + 1 });
        self.cost += i64::from(left == pad && !last);
        self.state = State::Payload { stream, left: left - pad, pad, last };
        if left == pad {
            self.state = State::Pad { stream, left: pad, last };
            self.pad_done(out);
        }
    }

    fn pad_done(&mut self, out: &mut Vec<Piece>) {
        if let State::Pad { stream, left: 0, last } = self.state {
            self.payload_done(stream, last, out);
        }
    }

    fn payload_done(&mut self, stream: u32, last: bool, out: &mut Vec<Piece>) {
        self.state = State::Header;
        if last {
            self.open.remove(&stream);
            out.push(Piece::PayloadEnded { stream });
        }
    }

    fn frame(&mut self, out: &mut Vec<Piece>) {
        let [l0, l1, l2, kind, flags, s0, s1, s2, s3] = self.header;
        let left = u32::from_be_bytes([0, l0, l1, l2]) as usize;
        let stream = u32::from_be_bytes([s0 & 0x7f, s1, s2, s3]);
        let last = flags & END_STREAM != 0;
        self.has_begun = true;
        if left > self.max_frame || (kind != DATA && left > CONTROL_BYTES_MAX) {
            self.state = State::Broken;
            out.push(Piece::TooLong);
        } else if self.in_headers {
            // Whatever it is, h2 knows whether it may come here.
            self.in_headers = kind != CONTINUATION || flags & END_HEADERS == 0;
            self.cost += 1;
            self.control(left, None, out);
        } else if kind == DATA {
            self.data(stream, left, flags, last, out);
        } else if kind > CONTINUATION {
            // Of a kind that we don't know: to be ignored.
            self.cost += 1;
            self.state = if left == 0 { State::Header } else { State::Skip { left } };
        } else if kind == HEADERS {
            self.headers(stream, left, flags, last, out);
        } else {
            // Also of one that has ended: its request may not be handed out yet.
            let reset = kind == RST_STREAM && stream <= self.highest;
            if reset {
                self.open.remove(&stream);
            }
            self.cost += if kind == RST_STREAM { RESET_COST } else { 1 };
            self.control(left, reset.then_some(Piece::Reset { stream }), out);
        }
    }

    fn data(&mut self, stream: u32, left: usize, flags: u8, last: bool, out: &mut Vec<Piece>) {
        let padded = flags & PADDED != 0;
        let known = self.open.contains(&stream);
        if known && (left > 0 || !padded) {
            self.cost += i64::from(left == 0 && !last);
            self.state = match padded {
                true => State::PadLength { stream, left: left - 1, last },
                false => State::Payload { stream, left, pad: 0, last },
            };
            if left == 0 {
                self.payload_done(stream, last, out);
            }
            return;
        }
        self.cost += i64::from(left < LATE_BYTES_MIN);
        self.payload_bytes += left;
        out.push(Piece::Foreign { stream, bytes: left });
        if self.closed.contains(&stream) {
            self.state = if left == 0 { State::Header } else { State::Skip { left } };
            return;
        }
        let ended = known && last && self.open.remove(&stream);
        self.control(left, ended.then_some(Piece::Ended { stream }), out);
    }

    fn headers(&mut self, stream: u32, left: usize, flags: u8, last: bool, out: &mut Vec<Piece>) {
        self.in_headers = flags & END_HEADERS == 0;
        let ended = last && self.open.remove(&stream);
        if stream > self.highest {
            self.highest = stream;
            self.cost -= OPENED_WORTH;
            if !last && stream % 2 == 1 {
                self.open.insert(stream);
                out.push(Piece::Opened { stream });
            }
        } else if !ended {
            self.cost += 1;
        }
        self.control(left, ended.then_some(Piece::Ended { stream }), out);
    }

    /// The frame at hand goes to h2, and then `then` is told.
    fn control(&mut self, left: usize, then: Option<Piece>, out: &mut Vec<Piece>) {
        out.push(Piece::Control(Bytes::copy_from_slice(&self.header)));
        if left == 0 {
            // No later byte would bring up what follows this frame.
            out.extend(then);
            self.state = State::Header;
        } else {
            self.state = State::Control { left, given: HEADER, then };
        }
    }
}

#[cfg(test)]
mod tests;
