//! A chunk that is in already comes again.

use sluice_proto::{error::Refusal, grpc::ChunkChecks};

use crate::{
    context::Context,
    effect::StreamReply,
    event::ChunkOpen,
    record::{ChunkRecord, State, Transition},
    refuse, steps,
    stream::Stream,
    upload::{EndWaiterStream, Then, Upload},
};

/// What a header alone says of a chunk that is in already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Repeat {
    Same,
    Other,
    Unknown,
}

/// Compares what a client says of its bytes with what is recorded of the chunk.
pub(crate) fn compare(old: &ChunkRecord, bytes: u64, checks: &ChunkChecks) -> Repeat {
    let said = [
        checks.crc32c.map(|sum| sum == old.crc32c),
        checks.crc64nvme.map(|sum| sum == old.crc64nvme),
        checks.sha256.and_then(|sum| old.sha256.as_ref().map(|held| sum == **held)),
    ];
    if bytes != old.bytes || said.contains(&Some(false)) {
        Repeat::Other
    } else if said.contains(&Some(true)) {
        Repeat::Same
    } else {
        Repeat::Unknown
    }
}

/// Acks a chunk that is in already, once it is durable. Its `is_last` still counts.
pub(crate) fn duplicate(
    upload: &mut Upload,
    cx: &mut Context,
    open: &ChunkOpen,
) -> Result<(), Refusal> {
    // Of an object N was fixed, though its store may have lost that.
    let fixes = upload.judge_last(open.number, open.is_last)?;
    if let Some(total_chunks) = fixes.filter(|_| !upload.state().ended()) {
        steps::take(upload, cx, Transition::FixTotal { total_chunks, sha256: None });
    }
    let waiter = EndWaiterStream {
        stream: open.stream,
        number: open.number,
        bytes: open.data_bytes,
        duplicate: true,
        wait_until_ms: None,
    };
    steps::then(upload, Then::Ack(waiter));
    Ok(())
}

/// The bytes of a repeat are known now.
pub(crate) fn judged(upload: &mut Upload, cx: &mut Context, stream: &Stream) {
    let open = &stream.open;
    let old = upload.stored.chunks.get(&open.number);
    let same = old.is_some_and(|old| stream.matches(old));
    let result = if same && upload.state() <= State::Completed {
        duplicate(upload, cx, open)
    } else if upload.state() > State::Uploading {
        Err(refuse::ended(&upload.stored.record))
    } else if old.is_none() {
        // Lost while its repeat came in: it is to be sent again.
        Err(refuse::backend_down())
    } else {
        Err(refuse::conflict(open.number))
    };
    if let Err(refusal) = result {
        cx.tell(open.stream, StreamReply::Refused(refusal));
    }
}
