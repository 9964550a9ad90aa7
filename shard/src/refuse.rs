//! The shard's refusals, each in one place with its figures.

use sluice_proto::{
    error::{Reason, Refusal},
    ids::UploadId,
};

use crate::record::{EndError, UploadRecord};

/// Asked to come back after this long when something is short or down.
const RETRY_AFTER_MS: u64 = 200;

pub(crate) fn unknown(upload_id: &UploadId) -> Refusal {
    Refusal::new(Reason::UploadUnknown, "no such upload").with("upload_id", upload_id)
}

pub(crate) fn loading() -> Refusal {
    Refusal::new(Reason::Loading, "the server is still reading its uploads")
        .retry_after_ms(RETRY_AFTER_MS)
}

pub(crate) fn draining() -> Refusal {
    Refusal::new(Reason::Draining, "the server is shutting down").retry_after_ms(RETRY_AFTER_MS)
}

pub(crate) fn ended(record: &UploadRecord) -> Refusal {
    Refusal::new(Reason::UploadEnded, "the upload takes no more chunks")
        .with("state", format!("{:?}", record.state).to_uppercase())
}

pub(crate) fn budget() -> Refusal {
    Refusal::new(Reason::Budget, "no memory for this chunk just now").retry_after_ms(RETRY_AFTER_MS)
}

pub(crate) fn spool_full() -> Refusal {
    Refusal::new(Reason::SpoolFull, "no room in the spool just now").retry_after_ms(RETRY_AFTER_MS)
}

/// Redis is full. A chunk ahead is told which one is missing before it: that one gets in first, and
/// may be one that was acked and lost.
pub(crate) fn redis_full(number: u32, front: u32) -> Refusal {
    let refusal = spool_full();
    if number > front { refusal.with("missing_chunk", front) } else { refusal }
}

pub(crate) fn damaged() -> Refusal {
    Refusal::new(Reason::Internal, "what is recorded of this upload can't be read")
}

pub(crate) fn backend_down() -> Refusal {
    Refusal::new(Reason::BackendDown, "what keeps the bytes can't be reached just now")
        .retry_after_ms(RETRY_AFTER_MS)
}

pub(crate) fn too_many_uploads(max: usize) -> Refusal {
    Refusal::new(Reason::TooManyUploads, "too many uploads are open")
        .with("limit", max)
        .retry_after_ms(RETRY_AFTER_MS)
}

pub(crate) fn chunk_too_large(bytes: u64, max: u64) -> Refusal {
    Refusal::new(Reason::ChunkTooLarge, format!("a chunk has at most {max} bytes"))
        .field("data")
        .with("chunk_bytes", bytes)
        .with("max_chunk_bytes", max)
}

pub(crate) fn chunk_size_broken(bytes: u64, promised: u64) -> Refusal {
    let message = format!("this chunk was promised to have {promised} bytes");
    Refusal::new(Reason::ChunkSizeBroken, message)
        .field("data")
        .with("chunk_bytes", bytes)
        .with("promised_bytes", promised)
}

pub(crate) fn last_conflict(number: u32, total: u32) -> Refusal {
    let message = format!("chunk {number} contradicts an upload of {total} chunks");
    Refusal::new(Reason::LastConflict, message)
        .field("chunk_number")
        .with("chunk_number", number)
        .with("total_chunks", total)
}

pub(crate) fn total_conflict(asked: u32, held: u32) -> Refusal {
    let message = format!("{asked} chunks contradict the {held} that the upload has");
    Refusal::new(Reason::LastConflict, message)
        .field("total_chunks")
        .with("total_chunks", asked)
        .with("held_chunks", held)
}

pub(crate) fn size_mismatch(bytes: u64, limit: u64) -> Refusal {
    let message = format!("the upload would have {bytes} bytes or more; {limit} were declared");
    Refusal::new(Reason::SizeMismatch, message)
        .field("data")
        .with("size_bytes", bytes)
        .with("limit_bytes", limit)
}

pub(crate) fn conflict(number: u32) -> Refusal {
    let message = format!("chunk {number} was received with other bytes");
    Refusal::new(Reason::ChunkConflict, message).with("chunk_number", number)
}

pub(crate) fn sealed(number: u32) -> Refusal {
    let message = format!("chunk {number} is part of what was hashed or stored already");
    Refusal::new(Reason::ChunkSealed, message).with("chunk_number", number)
}

pub(crate) fn checksum_mismatch(which: &'static str) -> Refusal {
    Refusal::new(Reason::ChecksumMismatch, format!("the bytes don't have the {which} sent"))
        .field(which)
        .with("checksum", which)
}

pub(crate) fn failed(error: &EndError) -> Refusal {
    Refusal::new(error.reason, error.message.clone()).with("state", "FAILED")
}
