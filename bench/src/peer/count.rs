//! What a TCP sink reads: messages, each its length (8 bytes, big-endian) and then so many bytes.
//! It answers each by the payload bytes that the connection has brought so far, as 8 bytes.

/// Where a connection is in its messages. Looks at lengths alone; payload is passed over.
#[derive(Debug, Default)]
pub struct Count {
    header: [u8; HEADER_BYTES],
    header_filled: usize,
    remaining: u64,
    total: u64,
}

/// Bytes of a length, and of an answer.
pub const HEADER_BYTES: usize = 8;

impl Count {
    /// Takes what came next, and calls `answer` at the end of each message.
    pub fn take(&mut self, mut bytes: &[u8], mut answer: impl FnMut([u8; HEADER_BYTES])) {
        while !bytes.is_empty() {
            if self.remaining > 0 {
                let taken = self.remaining.min(bytes.len() as u64);
                self.remaining -= taken;
                self.total += taken;
                // No more than `bytes.len()`.
                bytes = &bytes[taken as usize..];
            } else {
                let taken = bytes.len().min(HEADER_BYTES - self.header_filled);
                let end = self.header_filled + taken;
                self.header[self.header_filled..end].copy_from_slice(&bytes[..taken]);
                self.header_filled = end;
                bytes = &bytes[taken..];
                if end < HEADER_BYTES {
                    return;
                }
                self.header_filled = 0;
                self.remaining = u64::from_be_bytes(self.header);
            }
            if self.remaining == 0 {
                answer(self.total.to_be_bytes());
            }
        }
    }

    /// Bytes that are still to come, of the message or of the length that it is in: at least 1.
    pub fn lacks(&self) -> u64 {
        match self.remaining {
            0 => (HEADER_BYTES - self.header_filled) as u64,
            payload => payload,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(payload: usize) -> Vec<u8> {
        let mut bytes = (payload as u64).to_be_bytes().to_vec();
        bytes.resize(HEADER_BYTES + payload, 7);
        bytes
    }

    #[test]
    fn answers_are_the_same_however_the_bytes_are_cut() {
        let stream = [message(5), message(0), message(1), message(300)].concat();
        for step in 1..=stream.len() {
            let mut count = Count::default();
            let mut answers = Vec::new();
            for piece in stream.chunks(step) {
                count.take(piece, |answer| answers.push(u64::from_be_bytes(answer)));
            }
            assert_eq!(answers, [5, 5, 6, 306], "cut every {step} bytes");
            assert_eq!(count.lacks(), 8);
        }
    }

    #[test]
    fn it_never_asks_for_more_than_the_peer_will_send() {
        let stream = message(10);
        let mut count = Count::default();
        for sent in 0..stream.len() {
            let most = if sent < HEADER_BYTES { HEADER_BYTES } else { stream.len() };
            assert_eq!(count.lacks(), (most - sent) as u64);
            count.take(&stream[sent..=sent], |_| ());
        }
    }
}
