//! The bytes that are sent: made once, shared by every upload, summed before the clock runs.
//!
//! A chunk is a window into one buffer, and each number's window begins elsewhere, so that chunks
//! that change places, or come in twice, give an object of another checksum.

use bytes::Bytes;
use sluice_proto::checksum::Crc64Nvme;

use crate::plan::Plan;

/// Windows of neighbours lie this far apart: no multiple of any block, so nothing lines up.
const STRIDE_BYTES: u64 = 67;

/// All chunks of one upload, and what comes out of them.
#[derive(Debug)]
pub struct Payload {
    plan: Plan,
    buffer: Bytes,
    sums: Vec<u64>,
    whole: u64,
}

/// One chunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    /// Its number.
    pub number: u32,
    /// Its bytes, shared.
    pub data: Bytes,
    /// CRC-64/NVME of its bytes.
    pub crc64nvme: u64,
}

impl Payload {
    /// Makes `plan.chunk_bytes` and some more of noise, and sums every chunk: takes about as long
    /// as reading the upload once.
    pub fn generate(plan: Plan) -> Self {
        let span = plan.chunk_bytes + STRIDE_BYTES * u64::from(plan.chunks() - 1);
        let buffer = Bytes::from(noise(span.next_multiple_of(8) as usize));
        let mut payload = Self { plan, buffer, sums: Vec::new(), whole: 0 };
        for number in 0..plan.chunks() {
            let data = payload.data(number);
            let sum = Crc64Nvme::of(&data);
            payload.whole = Crc64Nvme::combine(payload.whole, sum, data.len() as u64);
            payload.sums.push(sum);
        }
        payload
    }

    /// One chunk.
    pub fn chunk(&self, number: u32) -> Chunk {
        Chunk { number, data: self.data(number), crc64nvme: self.sums[number as usize] }
    }

    /// What the server must say of the whole.
    pub const fn crc64nvme(&self) -> u64 {
        self.whole
    }

    /// How it is cut.
    pub const fn plan(&self) -> Plan {
        self.plan
    }

    fn data(&self, number: u32) -> Bytes {
        let start = (STRIDE_BYTES * u64::from(number)) as usize;
        self.buffer.slice(start..start + self.plan.length_of(number) as usize)
    }
}

/// Bytes that nothing compresses, the same in every run (splitmix64).
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0u64;
    let mut bytes = Vec::with_capacity(length);
    while bytes.len() < length {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bytes.extend_from_slice(&(word ^ (word >> 31)).to_le_bytes());
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payload(upload: u64, chunk: u64) -> Payload {
        Payload::generate(Plan::new(upload, chunk).unwrap())
    }

    #[test]
    fn the_combined_sum_is_that_of_the_file() {
        for (upload, chunk) in [(1, 1), (100, 8), (4096, 4096), (10_000, 3_001)] {
            let payload = payload(upload, chunk);
            let chunks = (0..payload.plan().chunks()).map(|number| payload.chunk(number).data);
            let file = chunks.collect::<Vec<_>>().concat();
            assert_eq!(file.len() as u64, upload);
            assert_eq!(payload.crc64nvme(), Crc64Nvme::of(&file), "{upload}/{chunk}");
        }
    }

    #[test]
    fn chunks_that_change_places_give_another_sum() {
        let payload = payload(400, 100);
        let mut order = [0, 1, 2, 3];
        order.swap(1, 2);
        let mixed_up = order.iter().map(|&number| payload.chunk(number).data);
        assert_ne!(payload.crc64nvme(), Crc64Nvme::of(&mixed_up.collect::<Vec<_>>().concat()));
    }

    #[test]
    fn every_chunk_carries_its_own_sum_and_shares_its_bytes() {
        let payload = payload(1_000, 64);
        for number in 0..payload.plan().chunks() {
            let chunk = payload.chunk(number);
            assert_eq!(chunk.crc64nvme, Crc64Nvme::of(&chunk.data));
            assert_eq!(chunk.data.as_ptr(), payload.chunk(number).data.as_ptr());
        }
    }
}
