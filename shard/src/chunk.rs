//! A chunk's way in, from its header to its last byte. What becomes of it then: `commit`.

use bytes::Bytes;
use sluice_proto::{error::Refusal, grpc::ChunkChecks};

use crate::{
    admission::{self, Coming},
    commit,
    context::OpKind,
    effect::{BodyPlace, Effect, StreamReply},
    event::{ChunkOpen, Outcome},
    hash,
    keys::StreamKey,
    record::State,
    refuse,
    repeat::{self, Repeat},
    shard::Shard,
    stream::{self, Phase, Stream},
};

pub(crate) fn open(shard: &mut Shard, open: ChunkOpen) {
    let (stream, upload_id) = (open.stream, open.upload_id);
    if let Err(refusal) = try_open(shard, open, Coming::InPieces) {
        shard.cx.tell(stream, StreamReply::Refused(refusal));
    }
    shard.advance(&upload_id);
}

/// Most small chunks are here whole when their header is read: then one event does for all.
pub(crate) fn whole(shard: &mut Shard, open: ChunkOpen, bytes: &Bytes) {
    let (key, upload_id) = (open.stream, open.upload_id);
    let (is_last, force, checks) = (open.is_last, open.force, open.checks);
    if let Err(refusal) = try_open(shard, open, Coming::Whole) {
        shard.cx.tell(key, StreamReply::Refused(refusal));
        return shard.advance(&upload_id);
    }
    match shard.cx.streams.get(&key).map(|stream| stream.phase) {
        // Answered: it was in already, or can't be taken at once.
        None => shard.advance(&upload_id),
        Some(Phase::Receiving { place: BodyPlace::Discard, .. }) => {
            take_discarded(shard, key, bytes);
            shard.advance(&upload_id);
        }
        Some(_) => {
            piece(shard, key, bytes.clone());
            end(shard, key, is_last, force, checks);
        }
    }
}

/// Nothing keeps these bytes, so there is no body whose end would be waited for.
fn take_discarded(shard: &mut Shard, key: StreamKey, bytes: &Bytes) {
    let cx = &mut shard.cx;
    let stream = cx.streams.get_mut(&key).expect("it was granted just now");
    let Phase::Receiving { body, place, judging } = stream.phase else { unreachable!("granted") };
    let judged = stream.receive(bytes, cx.config.crc).and_then(|()| stream.verify());
    if judged.is_ok() && !judging {
        stream.phase = Phase::Closing { body, place };
        return commit::closed(shard, key, Ok(Outcome::Done));
    }
    let mut stream = stream::forget(shard, key).expect("it is there");
    shard.cx.refund(stream.charge.take());
    match (judged, shard.uploads.get_mut(&stream.open.upload_id)) {
        (Err(refusal), _) => shard.cx.tell(key, StreamReply::Refused(refusal)),
        (Ok(()), upload) => {
            repeat::judged(upload.expect("it was found just now"), &mut shard.cx, &stream);
        }
    }
}

/// What a client said of its bytes that will be known here, too.
fn known(checks: ChunkChecks, crc: bool) -> ChunkChecks {
    if crc { checks } else { ChunkChecks { crc32c: None, crc64nvme: None, ..checks } }
}

fn try_open(shard: &mut Shard, mut open: ChunkOpen, coming: Coming) -> Result<(), Refusal> {
    open.checks = known(open.checks, shard.cx.config.crc);
    let (upload, cx) = shard.find(&open.tenant, &open.upload_id)?;
    let (number, bytes) = (open.number, open.data_bytes);
    if bytes > cx.config.max_chunk_bytes {
        return Err(refuse::chunk_too_large(bytes, cx.config.max_chunk_bytes));
    }
    if bytes == 0 {
        return Err(Refusal::invalid("data", "a chunk has at least 1 byte").with("chunk_bytes", 0));
    }
    if cx.draining {
        return Err(refuse::draining());
    }
    let mut judging = false;
    if let Some(old) = upload.stored.chunks.get(&number) {
        let repeat = repeat::compare(old, bytes, &open.checks);
        match repeat {
            _ if open.force && repeat != Repeat::Same && upload.state() <= State::Uploading => {
                if upload.is_sealed(number, bytes) {
                    return Err(refuse::sealed(number));
                }
            }
            Repeat::Same if upload.state() <= State::Completed => {
                return repeat::duplicate(upload, cx, &open);
            }
            Repeat::Unknown if upload.state() <= State::Completed => judging = true,
            _ if upload.state() > State::Uploading => {
                return Err(refuse::ended(&upload.stored.record));
            }
            _ => return Err(refuse::conflict(number)),
        }
    } else if upload.state() > State::Uploading {
        upload.judge_last(number, open.is_last)?;
        return Err(refuse::ended(&upload.stored.record));
    }
    if !judging {
        upload.judge(number, bytes, open.is_last)?;
    }
    if cx.streams.len() >= cx.config.streams_max || cx.chunk_records >= cx.config.chunk_records_max
    {
        return Err(refuse::budget());
    }
    let key = open.stream;
    upload.streams.insert((number, key));
    cx.streams.insert(key, Stream::new(open));
    admission::admit_or_wait(upload, cx, key, judging, coming)
}

pub(crate) fn piece(shard: &mut Shard, key: StreamKey, bytes: Bytes) {
    let cx = &mut shard.cx;
    let Some(stream) = cx.streams.get_mut(&key) else { return };
    let Phase::Receiving { body, .. } = stream.phase else { return };
    if let Err(refusal) = stream.receive(&bytes, cx.config.crc) {
        return stream::refuse_receiving(shard, key, refusal);
    }
    cx.emit(Effect::Append { body, stream: key, bytes });
}

pub(crate) fn end(
    shard: &mut Shard,
    key: StreamKey,
    is_last: bool,
    force: bool,
    checks: ChunkChecks,
) {
    let cx = &mut shard.cx;
    let Some(stream) = cx.streams.get_mut(&key) else { return };
    let Phase::Receiving { body, place, judging } = stream.phase else { return };
    let checks = known(checks, cx.config.crc);
    (stream.open.is_last, stream.open.force, stream.open.checks) = (is_last, force, checks);
    if let Err(refusal) = stream.verify() {
        return stream::refuse_receiving(shard, key, refusal);
    }
    let upload_id = stream.open.upload_id;
    if judging {
        let stream = stream::drop_body(shard, key);
        if let Some(upload) = shard.uploads.get_mut(&upload_id) {
            repeat::judged(upload, &mut shard.cx, &stream);
        }
        return shard.advance(&upload_id);
    }
    stream.phase = Phase::Closing { body, place };
    let op = cx.begin(upload_id, OpKind::CloseBody(key));
    let awaits_turn = match place {
        BodyPlace::Object { .. } | BodyPlace::Spool(_) => {
            let upload = shard.uploads.get_mut(&upload_id).expect("an upload outlives its chunks");
            hash::closing(upload, cx, body)
        }
        // None of these stands in line for the hash.
        BodyPlace::Redis { .. } | BodyPlace::Memory | BodyPlace::Discard => false,
    };
    cx.emit(Effect::CloseBody { op, body, awaits_turn });
}

/// The reader of a chunk is gone.
pub(crate) fn cut(shard: &mut Shard, key: StreamKey) {
    let Some(stream) = shard.cx.streams.get_mut(&key) else { return };
    match stream.phase {
        Phase::Receiving { .. } => drop(stream::drop_body(shard, key)),
        Phase::Waiting => drop(stream::forget(shard, key)),
        // The bytes are all there: they are recorded, and a repeat will find them.
        Phase::Closing { .. } => stream.cut = true,
    }
}
