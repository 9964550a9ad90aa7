//! Splits what a client sends: DATA payloads of open streams to one side, the rest to h2.
//!
//! Does no I/O, and copies nothing but a frame header that lies across two blocks.

use std::collections::HashSet;

use bytes::{Buf, Bytes};

const PREFACE: usize = 24;
const HEADER: usize = 9;
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const END_STREAM: u8 = 0x1;
const PADDED: u8 = 0x8;

/// One thing that came in, in the order of the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// Bytes for h2, as they came or (an empty DATA frame) in place of a payload's end.
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
    /// The client will send no more on this stream.
    Ended {
        /// HTTP/2 stream number.
        stream: u32,
    },
    /// The client has reset this stream.
    Reset {
        /// HTTP/2 stream number.
        stream: u32,
    },
}

enum State {
    Control { left: usize, then: Option<Piece> },
    Header,
    PadLength { stream: u32, left: usize, last: bool },
    Payload { stream: u32, left: usize, pad: usize, last: bool },
    Pad { stream: u32, left: usize, last: bool },
}

/// The state of one connection's incoming side.
pub struct Splitter {
    state: State,
    header: [u8; HEADER],
    filled: usize,
    open: HashSet<u32>,
    highest: u32,
    max_frame: usize,
}

impl Splitter {
    /// `max_frame`: the SETTINGS_MAX_FRAME_SIZE told to the client, bytes. A longer DATA frame
    /// goes to h2, which answers it with FRAME_SIZE_ERROR.
    #[must_use]
    pub fn new(max_frame: usize) -> Self {
        Self {
            state: State::Control { left: PREFACE, then: None },
            header: [0; HEADER],
            filled: 0,
            open: HashSet::new(),
            highest: 0,
            max_frame,
        }
    }

    /// Leaves this stream's coming frames to h2. A payload already begun is still given as
    /// [`Piece::Data`], as h2 has not seen its header.
    pub fn close(&mut self, stream: u32) {
        self.open.remove(&stream);
    }

    /// Payload bytes that must still come for the frame at hand; 0 between frames.
    #[must_use]
    pub fn payload_left(&self) -> usize {
        match self.state {
            State::Payload { left, pad, .. } => left + pad,
            State::Pad { left, .. } => left,
            State::Control { .. } | State::Header | State::PadLength { .. } => 0,
        }
    }

    /// Takes the next bytes of the connection, cut anywhere.
    pub fn push(&mut self, mut block: Bytes, out: &mut Vec<Piece>) {
        while !block.is_empty() {
            match &mut self.state {
                State::Control { left, then } => {
                    let bytes = block.split_to(block.len().min(*left));
                    *left -= bytes.len();
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
                _ => State::Control { left, then: None },
            };
            return;
        }
        out.push(Piece::Padding { stream, bytes: pad + 1 });
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
            let [a, b, c, d] = stream.to_be_bytes();
            let empty = [0, 0, 0, DATA, END_STREAM, a, b, c, d];
            out.push(Piece::Control(Bytes::copy_from_slice(&empty)));
            out.push(Piece::Ended { stream });
        }
    }

    fn frame(&mut self, out: &mut Vec<Piece>) {
        let [l0, l1, l2, kind, flags, s0, s1, s2, s3] = self.header;
        let left = u32::from_be_bytes([0, l0, l1, l2]) as usize;
        let stream = u32::from_be_bytes([s0 & 0x7f, s1, s2, s3]);
        let last = flags & END_STREAM != 0;
        let known = self.open.contains(&stream);
        let padded = flags & PADDED != 0;
        if kind == DATA && known && left <= self.max_frame && (left > 0 || !padded) {
            self.state = match padded {
                true => State::PadLength { stream, left: left - 1, last },
                false => State::Payload { stream, left, pad: 0, last },
            };
            if left == 0 {
                self.payload_done(stream, last, out);
            }
            return;
        }
        if kind == DATA {
            out.push(Piece::Foreign { stream, bytes: left });
        }
        let mut then = None;
        match kind {
            DATA | HEADERS if known && last => then = Some(Piece::Ended { stream }),
            RST_STREAM if known => then = Some(Piece::Reset { stream }),
            HEADERS if !last && stream % 2 == 1 && stream > self.highest => {
                self.open.insert(stream);
                out.push(Piece::Opened { stream });
            }
            _ => {}
        }
        if then.is_some() {
            self.open.remove(&stream);
        }
        if kind == HEADERS {
            self.highest = self.highest.max(stream);
        }
        out.push(Piece::Control(Bytes::copy_from_slice(&self.header)));
        if left == 0 {
            // No later byte would bring up what follows this frame.
            out.extend(then);
            self.state = State::Header;
        } else {
            self.state = State::Control { left, then };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
        let mut all = vec![0, 0, payload.len() as u8, kind, flags, 0, 0, 0, stream];
        all.extend_from_slice(payload);
        all
    }

    /// What h2 gets, what the streams get, and the rest, for a wire cut every `step` bytes.
    fn split(frames: &[Vec<u8>], step: usize) -> (Vec<u8>, Vec<u8>, Vec<Piece>) {
        let wire = [vec![b'P'; PREFACE], frames.concat()].concat();
        let (mut splitter, mut out) = (Splitter::new(64), Vec::new());
        wire.chunks(step).for_each(|c| splitter.push(Bytes::copy_from_slice(c), &mut out));
        let (mut control, mut data, mut rest) = (vec![], vec![], vec![]);
        for piece in out {
            match piece {
                Piece::Control(bytes) => control.extend_from_slice(&bytes),
                Piece::Data { bytes, .. } => data.extend_from_slice(&bytes),
                other => rest.push(other),
            }
        }
        (control.split_off(PREFACE), data, rest)
    }

    #[test]
    fn payloads_part_from_the_rest_however_the_wire_is_cut() {
        let open = frame(HEADERS, 4, 1, b"head");
        let frames = [open.clone(), frame(DATA, 0, 1, b"one"), frame(DATA, END_STREAM, 1, b"two")];
        for step in 1..80 {
            let (control, data, rest) = split(&frames, step);
            assert_eq!(control, [open.clone(), frame(DATA, END_STREAM, 1, b"")].concat());
            assert_eq!(data, b"onetwo");
            assert_eq!(rest, [Piece::Opened { stream: 1 }, Piece::Ended { stream: 1 }]);
        }
    }

    #[test]
    fn what_is_odd_goes_to_h2_whole() {
        let open = frame(HEADERS, 4, 1, b"head");
        for odd in [
            frame(DATA, PADDED, 1, b"\x03ab"),
            frame(DATA, PADDED, 1, b""),
            frame(DATA, 0, 3, b"unknown"),
            frame(DATA, 0, 1, &[0; 65]),
        ] {
            let (stream, bytes) = (u32::from(odd[8]), odd.len() - HEADER);
            let frames = [open.clone(), odd];
            for step in 1..80 {
                let (control, data, rest) = split(&frames, step);
                assert_eq!((control, data), (frames.concat(), vec![]));
                let foreign = Piece::Foreign { stream, bytes };
                assert_eq!(rest, [Piece::Opened { stream: 1 }, foreign]);
            }
        }
    }

    #[test]
    fn padding_is_taken_off_and_counted() {
        let open = frame(HEADERS, 4, 1, b"head");
        let frames = [
            open.clone(),
            frame(DATA, PADDED, 1, b"\x02ab\0\0"),
            frame(DATA, PADDED, 1, b"\x01\0"),
            frame(DATA, PADDED | END_STREAM, 1, b"\x00c"),
        ];
        for step in 1..80 {
            let (control, data, rest) = split(&frames, step);
            assert_eq!(control, [open.clone(), frame(DATA, END_STREAM, 1, b"")].concat());
            assert_eq!(data, b"abc");
            let padding = |bytes| Piece::Padding { stream: 1, bytes };
            let ended = Piece::Ended { stream: 1 };
            let opened = Piece::Opened { stream: 1 };
            assert_eq!(rest, [opened, padding(3), padding(2), padding(1), ended]);
        }
    }

    #[test]
    fn a_reset_stream_is_told_and_then_closed() {
        let frames = [
            frame(HEADERS, 4, 1, b"head"),
            frame(RST_STREAM, 0, 1, &[0; 4]),
            frame(DATA, 0, 1, b"late"),
        ];
        let late = Piece::Foreign { stream: 1, bytes: 4 };
        let told = vec![Piece::Opened { stream: 1 }, Piece::Reset { stream: 1 }, late];
        assert_eq!(split(&frames, 7), (frames.concat(), vec![], told));
    }
}
