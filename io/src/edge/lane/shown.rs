//! What h2 is shown of a payload that goes past it: its end, and nothing of the rest, unless the
//! client declared a length. Then h2 holds it to that, so it is shown as many zeros as came.

use super::Lane;
use crate::edge::data_lane::data_header;

/// Zeros that h2 is shown at a time. No longer than a frame may be by HTTP/2's default.
const ZEROS: [u8; 16 << 10] = [0; 16 << 10];

impl Lane {
    /// The request on `stream` is handed out: h2 is shown what came before.
    pub(super) fn show_late(&mut self, stream: u32, is_declared: bool, end_unshown: bool) {
        // It goes before a frame that has begun to come.
        let from = self.control.len() - self.begun;
        let begun = self.control[from..].to_vec();
        self.control.truncate(from);
        if is_declared {
            self.declare(stream);
        }
        if end_unshown {
            self.show_end(stream);
        }
        self.control.extend_from_slice(&begun);
    }

    fn declare(&mut self, stream: u32) {
        let Some(payload) = self.streams.get(&stream) else { return };
        let here_bytes = payload.queued_bytes();
        self.declared.insert(stream, 0);
        self.show(stream, here_bytes);
    }

    /// Payload came.
    pub(super) fn show(&mut self, stream: u32, bytes: usize) {
        let Some(&unshown) = self.declared.get(&stream) else { return };
        let mut unshown = unshown + bytes as u64;
        while unshown >= ZEROS.len() as u64 {
            self.show_zeros(stream, ZEROS.len(), false);
            unshown -= ZEROS.len() as u64;
        }
        self.declared.insert(stream, unshown);
    }

    /// The payload is over. As long as nobody has the request, it isn't known whether a length was
    /// declared, so h2 hears of the end later.
    pub(super) fn show_end(&mut self, stream: u32) {
        match self.streams.get_mut(&stream) {
            Some(payload) if !payload.served => payload.end_unshown = true,
            _ => {
                let unshown = self.declared.remove(&stream).unwrap_or(0);
                self.show_zeros(stream, unshown as usize, true);
            }
        }
    }

    fn show_zeros(&mut self, stream: u32, bytes: usize, is_last: bool) {
        self.control.extend_from_slice(&data_header(stream, bytes as u16, is_last));
        self.control.extend_from_slice(&ZEROS[..bytes]);
    }
}
