//! What we write on a connection: h2's frames as they are, but for its WINDOW_UPDATEs, since all
//! credit is given by [`super::credit`]; ours go between them.
//!
//! Holds bytes alone: no socket. Replies are small, so they are copied once into one write.

use bytes::{Buf, BytesMut};
use h2::Reason;

use super::credit::WindowUpdate;

const HEADER_BYTES: usize = 9;
const RST_STREAM: u8 = 3;
const WINDOW_UPDATE: u8 = 8;
const WINDOW_UPDATE_BYTES: u8 = 4;

/// What waits to be written.
#[derive(Default)]
pub(super) struct Output {
    ready: BytesMut,
    header: [u8; HEADER_BYTES],
    filled: usize,
    payload_left: usize,
    skipping: bool,
    waiting: Vec<WindowUpdate>,
    /// The stream of the reset at hand, and the part of its code that was seen.
    resetting: Option<(u32, u32)>,
    reset: Vec<(u32, Reason)>,
}

impl Output {
    /// Takes what h2 writes, cut anywhere.
    pub(super) fn push(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.payload_left > 0 {
                let some = bytes.len().min(self.payload_left);
                if !self.skipping {
                    self.ready.extend_from_slice(&bytes[..some]);
                }
                self.payload_left -= some;
                self.note_reset(&bytes[..some]);
                bytes = &bytes[some..];
            } else {
                let some = bytes.len().min(HEADER_BYTES - self.filled);
                self.header[self.filled..self.filled + some].copy_from_slice(&bytes[..some]);
                self.filled += some;
                bytes = &bytes[some..];
                if self.filled == HEADER_BYTES {
                    self.filled = 0;
                    self.frame();
                }
            }
            self.insert_waiting();
        }
    }

    fn frame(&mut self) {
        let [l0, l1, l2, kind, _, s0, s1, s2, s3] = self.header;
        self.payload_left = u32::from_be_bytes([0, l0, l1, l2]) as usize;
        self.skipping = kind == WINDOW_UPDATE;
        if kind == RST_STREAM {
            self.resetting = Some((u32::from_be_bytes([s0 & 0x7f, s1, s2, s3]), 0));
        }
        if !self.skipping {
            self.ready.extend_from_slice(&self.header);
        }
    }

    fn note_reset(&mut self, payload: &[u8]) {
        let Some((_, code)) = &mut self.resetting else { return };
        *code = payload.iter().fold(*code, |code, byte| code << 8 | u32::from(*byte));
        if self.payload_left == 0 {
            self.reset.extend(self.resetting.take().map(|(stream, code)| (stream, code.into())));
        }
    }

    /// Gives credit: at once between two frames, else after the one at hand.
    pub(super) fn give(&mut self, updates: &mut Vec<WindowUpdate>) {
        self.waiting.append(updates);
        self.insert_waiting();
    }

    fn insert_waiting(&mut self) {
        if self.filled > 0 || self.payload_left > 0 {
            return;
        }
        for update in self.waiting.drain(..) {
            self.ready.extend_from_slice(&[0, 0, WINDOW_UPDATE_BYTES, WINDOW_UPDATE, 0]);
            self.ready.extend_from_slice(&update.stream.to_be_bytes());
            self.ready.extend_from_slice(&update.increment.to_be_bytes());
        }
    }

    /// Streams that we reset since the last call.
    pub(super) fn take_reset(&mut self) -> Vec<(u32, Reason)> {
        std::mem::take(&mut self.reset)
    }

    /// What can be written now.
    pub(super) fn ready(&self) -> &[u8] {
        &self.ready
    }

    /// So many bytes were written.
    pub(super) fn wrote(&mut self, bytes: usize) {
        self.ready.advance(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
        let mut all = vec![0, 0, payload.len() as u8, kind, 0, 0, 0, 0, stream];
        all.extend_from_slice(payload);
        all
    }

    #[test]
    fn our_updates_go_between_h2s_frames_and_its_own_are_dropped() {
        let theirs = [
            frame(4, 0, b"settings"),
            frame(WINDOW_UPDATE, 0, &[0, 0, 0, 9]),
            frame(1, 1, b"head"),
            frame(RST_STREAM, 3, &[0, 0, 0, 7]),
        ];
        let ours = WindowUpdate { stream: 5, increment: 7 };
        let our_frame = frame(WINDOW_UPDATE, 5, &[0, 0, 0, 7]);
        for step in 1..60 {
            let mut output = Output::default();
            for (at, bytes) in theirs.concat().chunks(step).enumerate() {
                output.push(bytes);
                if at == 0 {
                    output.give(&mut vec![ours]);
                }
            }
            let written = output.ready().to_vec();
            let at = written.windows(our_frame.len()).position(|window| window == our_frame);
            let at = at.expect("our update is written");
            let rest = [&written[..at], &written[at + our_frame.len()..]].concat();
            assert_eq!(rest, [&theirs[0][..], &theirs[2], &theirs[3]].concat());
            assert_eq!(output.take_reset(), [(3, Reason::REFUSED_STREAM)]);
        }
    }
}
