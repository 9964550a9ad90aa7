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
    Payload { stream: u32, left: usize, last: bool },
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
        if let State::Payload { left, .. } = self.state { left } else { 0 }
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
                State::Payload { stream, left, last } => {
                    let bytes = block.split_to(block.len().min(*left));
                    *left -= bytes.len();
                    let (stream, last, done) = (*stream, *last, *left == 0);
                    out.push(Piece::Data { stream, bytes });
                    if done {
                        self.payload_done(stream, last, out);
                    }
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
        if kind == DATA && known && flags & PADDED == 0 && left <= self.max_frame {
            self.state = State::Payload { stream, left, last };
            if left == 0 {
                self.payload_done(stream, last, out);
            }
            return;
        }
        let mut then = None;
        match kind {
            DATA | HEADERS if known && last => then = Some(Piece::Ended { stream }),
            RST_STREAM if known => then = Some(Piece::Reset { stream }),
            HEADERS if !last && stream % 2 == 1 && stream > self.highest => {
                self.open.insert(stream);
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
            assert_eq!(rest, [Piece::Ended { stream: 1 }]);
        }
    }

    #[test]
    fn what_is_odd_goes_to_h2_whole() {
        let open = frame(HEADERS, 4, 1, b"head");
        for odd in [
            frame(DATA, PADDED, 1, b"\x01ab"),
            frame(DATA, 0, 3, b"unknown"),
            frame(DATA, 0, 1, &[0; 65]),
        ] {
            let frames = [open.clone(), odd];
            assert_eq!(split(&frames, 5), (frames.concat(), vec![], vec![]));
        }
    }

    #[test]
    fn a_reset_stream_is_told_and_then_closed() {
        let frames = [
            frame(HEADERS, 4, 1, b"head"),
            frame(RST_STREAM, 0, 1, &[0; 4]),
            frame(DATA, 0, 1, b"late"),
        ];
        let told = vec![Piece::Reset { stream: 1 }];
        assert_eq!(split(&frames, 7), (frames.concat(), vec![], told));
    }
}
