//! What a tus server on this machine has stored, held against what was sent.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;
use std::time::Instant;

use sluice_proto::checksum::Crc64Nvme;

use crate::load::meter::Meter;
use crate::load::payload::Payload;

/// So much is summed, of the uploads that came first: it takes some seconds.
const SUMMED_BYTES_MAX: u64 = 16 << 30;

const BUFFER_BYTES: usize = 1 << 20;

/// An upload that has all its bytes, as its server says.
#[derive(Debug)]
pub struct Stored {
    /// Of its URL; the last part is the file's name.
    pub path: String,
    /// What was sent.
    pub share: usize,
    /// When it began.
    pub started: Instant,
    /// When the server told its size.
    pub ended: Instant,
}

/// Counts them as verified, by their files in `folder` too if that is known.
pub fn verify(meter: &mut Meter, all: Vec<Stored>, payloads: &[Payload], folder: Option<&String>) {
    let mut summed_bytes = 0;
    for stored in all {
        let payload = &payloads[stored.share];
        let folder = folder.filter(|_| summed_bytes < SUMMED_BYTES_MAX);
        if let Some(folder) = folder {
            summed_bytes += payload.plan().upload_bytes;
            let name = stored.path.rsplit('/').next().unwrap_or_default();
            match sum(&Path::new(folder).join(name)) {
                Ok(sum) if sum == payload.crc64nvme() => {}
                Ok(_) => meter.failed(format!("the file {name} isn't what was sent")),
                Err(error) => meter.failed(format!("the file {name}: {error}")),
            }
        }
        meter.verified(stored.started, stored.ended, folder.is_some());
    }
}

fn sum(path: &Path) -> io::Result<u64> {
    let mut file = File::open(path)?;
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut sum = Crc64Nvme::new();
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(sum.value()),
            read => sum.update(&buffer[..read]),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::clock::now;
    use crate::job::Fill;
    use crate::load::plan::Plan;

    fn outcome(content: &dyn Fn(&Payload) -> Vec<u8>) -> crate::outcome::Outcome {
        let folder = tempfile::tempdir().unwrap();
        let plan = Plan::new(100_000, 30_000).unwrap();
        let payloads = Payload::make(&[plan], &Fill::Random).unwrap();
        fs::write(folder.path().join("a"), content(&payloads[0])).unwrap();
        let stored = Stored { path: "/files/a".into(), share: 0, started: now(), ended: now() };
        let mut meter = Meter::new();
        let folder = folder.path().display().to_string();
        verify(&mut meter, vec![stored], &payloads, Some(&folder));
        meter.finish()
    }

    fn sent(payload: &Payload) -> Vec<u8> {
        (0..payload.plan().chunks()).flat_map(|number| payload.data(number)).collect()
    }

    #[test]
    fn a_file_is_what_was_sent_or_the_run_doesnt_count() {
        let good = outcome(&sent);
        assert_eq!((good.sizes_verified, good.checksums_verified), (1, 1));
        let mixed_up = outcome(&|payload| {
            let mut bytes = sent(payload);
            bytes.rotate_left(30_000);
            bytes
        });
        assert!(mixed_up.failed.unwrap().contains("isn't what was sent"));
    }
}
