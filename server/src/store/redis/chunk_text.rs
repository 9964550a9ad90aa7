//! A chunk's record as text: attempt, bytes, CRC64NVME, CRC32C, SHA-256 and place, with a space
//! between them. Sums are hexadecimal, `-` stands for none, and the place comes last, so that a
//! script can replace it.

use std::{fmt::Write as _, str::FromStr};

use data_encoding::HEXLOWER;
use sluice_shard::{
    keys::BodyId,
    record::{ChunkPlace, ChunkRecord, Extent},
};

/// The places that a chunk comes to.
pub(super) const OBJECT: &str = "object";
pub(super) const DISCARDED: &str = "discarded";
const REDIS: &str = "redis";
const SPOOL: &str = "spool";
const MEMORY: &str = "memory";

pub(super) fn write(chunk: &ChunkRecord) -> String {
    let sha256 =
        chunk.sha256.as_ref().map_or_else(|| "-".to_owned(), |sum| HEXLOWER.encode(&**sum));
    let mut text = format!(
        "{} {} {:016x} {:08x} {sha256} ",
        chunk.attempt, chunk.bytes, chunk.crc64nvme, chunk.crc32c
    );
    match chunk.place {
        ChunkPlace::Object => text.push_str(OBJECT),
        ChunkPlace::Discarded => text.push_str(DISCARDED),
        ChunkPlace::Redis => text.push_str(REDIS),
        ChunkPlace::Spool(Extent { segment, offset, bytes }) => {
            write!(text, "{SPOOL} {segment} {offset} {bytes}").expect("a text takes all");
        }
        ChunkPlace::Memory(BodyId(body)) => {
            write!(text, "{MEMORY} {body}").expect("a text takes all");
        }
    }
    text
}

/// `None`: it was never written so.
pub(super) fn read(text: &str) -> Option<ChunkRecord> {
    let mut words = text.split(' ');
    let attempt = number(words.next())?;
    let bytes = number(words.next())?;
    let crc64nvme = u64::from_str_radix(words.next()?, 16).ok()?;
    let crc32c = u32::from_str_radix(words.next()?, 16).ok()?;
    let sha256 = match words.next()? {
        "-" => None,
        sum => Some(Box::new(HEXLOWER.decode(sum.as_bytes()).ok()?.try_into().ok()?)),
    };
    let place = match words.next()? {
        OBJECT => ChunkPlace::Object,
        DISCARDED => ChunkPlace::Discarded,
        REDIS => ChunkPlace::Redis,
        SPOOL => ChunkPlace::Spool(Extent {
            segment: number(words.next())?,
            offset: number(words.next())?,
            bytes: number(words.next())?,
        }),
        MEMORY => ChunkPlace::Memory(BodyId(number(words.next())?)),
        _ => return None,
    };
    let chunk = ChunkRecord { attempt, bytes, crc64nvme, crc32c, sha256, place };
    words.next().is_none().then_some(chunk)
}

fn number<T: FromStr>(word: Option<&str>) -> Option<T> {
    word?.parse().ok()
}
