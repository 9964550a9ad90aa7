//! How objects are cut, their parts, and chunks that must come again as they were, as text: words
//! with a space between them.

use std::str::FromStr;

use sluice_shard::{
    parts::Schedule,
    record::{LostChunk, PartRecord, StoredAs},
};

const SINGLE: &str = "single";
const FIXED: &str = "fixed";
const GROWING: &str = "growing";
/// S3: a version's id can stand in a URL as it is, so it is neither empty nor holds a space.
const UNVERSIONED: &str = "-";

/// Kind and length, bytes.
pub(super) fn write_schedule(schedule: Schedule) -> String {
    let (kind, bytes) = match schedule {
        Schedule::Single { size_bytes } => (SINGLE, size_bytes),
        Schedule::Fixed { part_bytes } => (FIXED, part_bytes),
        Schedule::Growing { first_part_bytes } => (GROWING, first_part_bytes),
    };
    format!("{kind} {bytes}")
}

/// `None`: it was never written so.
pub(super) fn read_schedule(text: &str) -> Option<Schedule> {
    let (kind, bytes) = text.split_once(' ')?;
    let bytes = bytes.parse().ok()?;
    Some(match kind {
        SINGLE => Schedule::Single { size_bytes: bytes },
        FIXED => Schedule::Fixed { part_bytes: bytes },
        GROWING => Schedule::Growing { first_part_bytes: bytes },
        _ => return None,
    })
}

/// Version and ETag, which comes last as nothing is known of what it holds.
pub(super) fn write_stored(stored: &StoredAs) -> String {
    format!("{} {}", stored.version_id.as_deref().unwrap_or(UNVERSIONED), stored.etag)
}

fn read_stored(text: &str) -> Option<StoredAs> {
    let (version, etag) = text.split_once(' ')?;
    let version_id = (version != UNVERSIONED).then(|| version.to_owned());
    Some(StoredAs { etag: etag.to_owned(), version_id })
}

/// Number and length, bytes, and what the object store answered. The number makes members of a set
/// of parts that are alike.
pub(super) fn write_part(number: u32, part: &PartRecord) -> String {
    match &part.stored {
        Some(stored) => format!("{number} {} {}", part.bytes, write_stored(stored)),
        None => format!("{number} {}", part.bytes),
    }
}

/// `None`: it was never written so.
pub(super) fn read_part(text: &str) -> Option<(u32, PartRecord)> {
    let mut words = text.splitn(3, ' ');
    let [number, bytes] = [words.next()?, words.next()?];
    let stored = match words.next() {
        Some(stored) => Some(read_stored(stored)?),
        None => None,
    };
    Some((number.parse().ok()?, PartRecord { bytes: bytes.parse().ok()?, stored }))
}

/// Length, bytes, CRC64NVME and CRC32C: what stands behind the attempt in the record that the chunk
/// had, so that a script can cut it out.
pub(super) fn write_lost(lost: &LostChunk) -> String {
    format!("{} {:016x} {:08x}", lost.bytes, lost.crc64nvme, lost.crc32c)
}

/// `None`: it was never written so.
pub(super) fn read_lost(text: &str) -> Option<LostChunk> {
    let mut words = text.split(' ');
    let bytes = u64::from_str(words.next()?).ok()?;
    let crc64nvme = u64::from_str_radix(words.next()?, 16).ok()?;
    let crc32c = u32::from_str_radix(words.next()?, 16).ok()?;
    words.next().is_none().then_some(LostChunk { bytes, crc64nvme, crc32c })
}
