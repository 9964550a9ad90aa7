//! The bytes that are sent: made once, shared by every upload, summed before the clock runs.
//!
//! A chunk is a window into one buffer, and each number's window begins elsewhere, so that chunks
//! that change places, or come in twice, give an object of another checksum. Of a long upload the
//! windows repeat, at a distance that no mistake of a server is likely to have.

use std::fs::File;
use std::io::{self, Read as _};

use bytes::Bytes;
use sluice_proto::checksum::Crc64Nvme;

use crate::job::{Fill, Share};
use crate::load::chance;
use crate::load::looped::{PERIOD_BYTES, looped};
use crate::load::plan::Plan;

/// Windows of neighbours lie this far apart: no multiple of any block, so nothing lines up.
const STRIDE_BYTES: u64 = 67;
/// So much is summed before the clock runs, of each kind of upload.
const SUMMED_BYTES_MAX: u64 = 2 << 30;
const WINDOWS_MIN: u64 = 16;
const WINDOWS_MAX: u64 = 65_536;

/// All chunks of one kind of upload, and what comes out of them.
#[derive(Debug)]
pub struct Payload {
    plan: Plan,
    buffer: Bytes,
    /// Of each window.
    sums: Vec<u64>,
    /// Of the last chunk, which may be shorter than its window.
    last: u64,
    whole: u64,
}

impl Payload {
    /// One for each share, of one buffer.
    ///
    /// # Errors
    /// When a file that is to be sent can't be read, or is empty.
    pub fn make(plans: &[Plan], fill: &Fill) -> io::Result<Vec<Self>> {
        let bytes = plans.iter().map(span).max().unwrap_or_default() as usize;
        let buffer = match fill {
            Fill::Random => looped(&noise(PERIOD_BYTES), bytes)?,
            Fill::Zero => looped(&[0; PERIOD_BYTES], bytes)?,
            Fill::File(path) => repeated(File::open(path)?, bytes)?.into(),
        };
        Ok(plans.iter().map(|&plan| Self::of(plan, buffer.clone())).collect())
    }

    fn of(plan: Plan, buffer: Bytes) -> Self {
        let mut payload = Self { plan, buffer, sums: Vec::new(), last: 0, whole: 0 };
        payload.sums = (0..windows(&plan) as u32)
            .map(|window| Crc64Nvme::of(&payload.window(window, plan.chunk_bytes)))
            .collect();
        let last = plan.chunks() - 1;
        payload.last = Crc64Nvme::of(&payload.data(last));
        payload.whole = (0..=last).fold(0, |sum, number| {
            Crc64Nvme::combine(sum, payload.crc64nvme_of(number), plan.length_of(number))
        });
        payload
    }

    /// The bytes of a chunk, shared.
    pub fn data(&self, number: u32) -> Bytes {
        self.window(number, self.plan.length_of(number))
    }

    /// CRC-64/NVME of a chunk.
    pub fn crc64nvme_of(&self, number: u32) -> u64 {
        match number == self.plan.chunks() - 1 {
            true => self.last,
            false => self.sums[number as usize % self.sums.len()],
        }
    }

    /// What the server must say of the whole.
    pub const fn crc64nvme(&self) -> u64 {
        self.whole
    }

    /// How it is cut.
    pub const fn plan(&self) -> Plan {
        self.plan
    }

    fn window(&self, number: u32, length: u64) -> Bytes {
        let start = (STRIDE_BYTES * (u64::from(number) % windows(&self.plan))) as usize;
        self.buffer.slice(start..start + length as usize)
    }
}

/// Which kind of upload number `nth` of a run is, by weight.
pub fn share_of(mix: &[Share], nth: u64) -> usize {
    let weights: u64 = mix.iter().map(|share| u64::from(share.weight)).sum();
    if mix.len() < 2 || weights == 0 {
        return 0;
    }
    let mut drawn = chance::Stream::of(nth).below(weights);
    let hit = |share: &Share| match drawn.checked_sub(share.weight.into()) {
        Some(left) => {
            drawn = left;
            false
        }
        None => true,
    };
    mix.iter().position(hit).unwrap_or_default()
}

/// How many windows an upload's chunks have among them.
fn windows(plan: &Plan) -> u64 {
    let affordable = (SUMMED_BYTES_MAX / plan.chunk_bytes).clamp(WINDOWS_MIN, WINDOWS_MAX);
    affordable.min(plan.chunks().into())
}

fn span(plan: &Plan) -> u64 {
    plan.chunk_bytes + STRIDE_BYTES * (windows(plan) - 1)
}

/// Bytes that look like chance, the same in every run.
pub fn noise(length: usize) -> Vec<u8> {
    let mut random = chance::Stream::of(0);
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        bytes.extend_from_slice(&random.next().to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// What the file begins with, again and again if it is shorter.
fn repeated(file: File, length: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(length);
    file.take(length as u64).read_to_end(&mut bytes)?;
    if bytes.is_empty() {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "there is nothing in it"));
    }
    while bytes.len() < length {
        let more = bytes.len().min(length - bytes.len());
        bytes.extend_from_within(..more);
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::Size;

    fn payload(upload: u64, chunk: u64) -> Payload {
        let plan = Plan::new(upload, chunk).unwrap();
        Payload::make(&[plan], &Fill::Random).unwrap().remove(0)
    }

    fn file(payload: &Payload) -> Vec<u8> {
        (0..payload.plan().chunks()).map(|number| payload.data(number)).collect::<Vec<_>>().concat()
    }

    #[test]
    fn the_combined_sum_is_that_of_the_file() {
        for (upload, chunk) in [(1, 1), (100, 8), (4096, 4096), (10_000, 3_001), (140_001, 2)] {
            let payload = payload(upload, chunk);
            let file = file(&payload);
            assert_eq!(file.len() as u64, upload);
            assert_eq!(payload.crc64nvme(), Crc64Nvme::of(&file), "{upload}/{chunk}");
        }
    }

    #[test]
    fn chunks_that_change_places_give_another_sum() {
        let payload = payload(400, 100);
        let mixed_up = [0, 2, 1, 3].map(|number| payload.data(number)).concat();
        assert_ne!(payload.crc64nvme(), Crc64Nvme::of(&mixed_up));
    }

    #[test]
    fn every_chunk_has_its_own_sum_and_shares_its_bytes() {
        let payload = payload(1_000, 64);
        for number in 0..payload.plan().chunks() {
            assert_eq!(payload.crc64nvme_of(number), Crc64Nvme::of(&payload.data(number)));
            assert_eq!(payload.data(number).as_ptr(), payload.data(number).as_ptr());
        }
    }

    #[test]
    fn large_chunks_of_a_long_upload_hold_little_memory() {
        let plan = Plan::new(1 << 40, 128 << 20).unwrap();
        assert!(span(&plan) < 129 << 20);
    }

    #[test]
    fn a_short_file_is_repeated_and_an_empty_one_refused() {
        let path = std::env::temp_dir().join(format!("sluice-bench-fill-{}", std::process::id()));
        std::fs::write(&path, b"abc").unwrap();
        let plan = Plan::new(8, 8).unwrap();
        let made = Payload::make(&[plan], &Fill::File(path.clone())).unwrap();
        assert_eq!(file(&made[0]), b"abcabcab");
        std::fs::write(&path, b"").unwrap();
        assert!(Payload::make(&[plan], &Fill::File(path.clone())).is_err());
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn shares_come_by_their_weight() {
        let share = |weight| Share { upload_size: Size(1), chunk_size: Size(1), weight };
        let mix = [share(1), share(0), share(3)];
        let mut seen = [0; 3];
        for nth in 0..4_000 {
            seen[share_of(&mix, nth)] += 1;
        }
        assert!(seen[0] > 800 && seen[0] < 1_200 && seen[1] == 0, "{seen:?}");
        assert_eq!(share_of(&[], 5), 0);
    }
}
