//! A chunk's way in: header, grant, bytes, check, record, ack.

use bytes::Bytes;
use sluice_proto::{
    checksum::{Crc32c, Crc64Nvme, Sha256State},
    error::Refusal,
    grpc::ChunkChecks,
    ids::UploadId,
};

use crate::{
    admission,
    budget::Charge,
    context::{Context, OpKind, Phase, Stream},
    effect::{BodyPlace, Effect, StreamReply},
    event::{ChunkOpen, Failure},
    keys::{BodyId, StreamKey},
    record::{ChunkPlace, ChunkRecord, State, Transition},
    refuse,
    shard::Shard,
    steps,
    upload::{EndWaiterStream, Then, Upload},
};

pub(crate) use admission::{admit_waiting, waited_enough};

/// What a header alone says of a chunk that is in already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Repeat {
    Same,
    Other,
    Unknown,
}

pub(crate) fn open(shard: &mut Shard, open: ChunkOpen) {
    let (stream, upload_id) = (open.stream, open.upload_id);
    if let Err(refusal) = try_open(shard, open) {
        shard.cx.tell(stream, StreamReply::Refused(refusal));
    }
    shard.advance(&upload_id);
}

fn try_open(shard: &mut Shard, open: ChunkOpen) -> Result<(), Refusal> {
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
        let repeat = compare(old, bytes, &open.checks);
        match repeat {
            _ if open.force && repeat != Repeat::Same && upload.state() <= State::Uploading => {
                if upload.is_sealed(number, bytes) {
                    return Err(refuse::sealed(number));
                }
            }
            Repeat::Same if upload.state() <= State::Completed => {
                return duplicate(upload, cx, &open);
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
    admission::admit_or_wait(upload, cx, key, judging)
}

/// Compares what a client says of its bytes with what is recorded of the chunk.
fn compare(old: &ChunkRecord, bytes: u64, checks: &ChunkChecks) -> Repeat {
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
fn duplicate(upload: &mut Upload, cx: &mut Context, open: &ChunkOpen) -> Result<(), Refusal> {
    if let Some(total_chunks) = upload.judge_last(open.number, open.is_last)? {
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

pub(crate) fn piece(shard: &mut Shard, key: StreamKey, bytes: Bytes) {
    let cx = &mut shard.cx;
    let Some(stream) = cx.streams.get_mut(&key) else { return };
    let Phase::Receiving { body, .. } = stream.phase else { return };
    stream.received_bytes += bytes.len() as u64;
    if stream.received_bytes > stream.open.data_bytes {
        let refusal = Refusal::invalid("data", "more bytes came than the header said");
        return refuse_receiving(shard, key, refusal);
    }
    stream.crc32c.update(&bytes);
    stream.crc64nvme.update(&bytes);
    if let Some(sha256) = &mut stream.sha256 {
        sha256.update(&bytes);
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
    (stream.open.is_last, stream.open.force, stream.open.checks) = (is_last, force, checks);
    if let Err(refusal) = stream.verify() {
        return refuse_receiving(shard, key, refusal);
    }
    let upload_id = stream.open.upload_id;
    if judging {
        let stream = drop_body(shard, key);
        if let Some(upload) = shard.uploads.get_mut(&upload_id) {
            judged(upload, &mut shard.cx, &stream);
        }
        return shard.advance(&upload_id);
    }
    stream.phase = Phase::Closing { body, place };
    let op = cx.begin(upload_id, OpKind::CloseBody(key));
    cx.emit(Effect::CloseBody { op, body });
}

/// The bytes of a repeat are known now.
fn judged(upload: &mut Upload, cx: &mut Context, stream: &Stream) {
    let open = &stream.open;
    let same = upload.stored.chunks.get(&open.number).is_some_and(|old| stream.matches(old));
    let result = if same && upload.state() <= State::Completed {
        duplicate(upload, cx, open)
    } else if upload.state() > State::Uploading {
        Err(refuse::ended(&upload.stored.record))
    } else {
        Err(refuse::conflict(open.number))
    };
    if let Err(refusal) = result {
        cx.tell(open.stream, StreamReply::Refused(refusal));
    }
}

/// The reader of a chunk is gone.
pub(crate) fn cut(shard: &mut Shard, key: StreamKey) {
    let Some(stream) = shard.cx.streams.get_mut(&key) else { return };
    match stream.phase {
        Phase::Receiving { .. } => drop(drop_body(shard, key)),
        Phase::Waiting => drop(forget(shard, key)),
        // The bytes are all there: they are recorded, and a repeat will find them.
        Phase::Closing { .. } => stream.cut = true,
    }
}

/// All bytes of a chunk are written, or never will be.
pub(crate) fn closed(shard: &mut Shard, key: StreamKey, failure: Option<Failure>) {
    let Some(stream) = forget(shard, key) else { unreachable!("a closing chunk is kept") };
    let Phase::Closing { body, place } = stream.phase else { unreachable!("it was closing") };
    let upload_id = stream.open.upload_id;
    let number = stream.open.number;
    let upload = shard.uploads.get_mut(&upload_id).expect("an upload outlives its chunks' writes");
    if matches!(place, BodyPlace::Object { .. }) {
        upload.busy.remove(&number);
    }
    let result = match failure {
        Some(Failure::Full) => Err(refuse::spool_full()),
        Some(Failure::Unavailable) => Err(refuse::backend_down()),
        None => commit(upload, &mut shard.cx, &stream, place, body),
    };
    let kept = matches!(result, Ok(true));
    let charge = stream.charge;
    if kept && place == BodyPlace::Memory {
        upload.memory.extend(charge.map(|charge| (body, charge)));
    } else {
        shard.cx.refund(charge);
    }
    if !kept {
        discard(&mut shard.cx, &upload_id, place, body, failure.is_none());
    }
    if let Err(refusal) = result
        && !stream.cut
    {
        shard.cx.tell(key, StreamReply::Refused(refusal));
    }
    if kept {
        judge_rivals(shard, &upload_id, number);
    }
}

/// Records a written chunk, if it may still be one. `false`: it was in already.
fn commit(
    upload: &mut Upload,
    cx: &mut Context,
    stream: &Stream,
    place: BodyPlace,
    body: BodyId,
) -> Result<bool, Refusal> {
    let open = &stream.open;
    let number = open.number;
    let old = upload.stored.chunks.get(&number);
    if old.is_some_and(|old| stream.matches(old)) && upload.state() <= State::Completed {
        duplicate(upload, cx, open)?;
        return Ok(false);
    }
    if upload.state() > State::Uploading {
        return Err(refuse::ended(&upload.stored.record));
    }
    if old.is_some() {
        if !open.force {
            return Err(refuse::conflict(number));
        }
        if upload.is_sealed(number, open.data_bytes) {
            return Err(refuse::sealed(number));
        }
    }
    let total_chunks = upload.judge(number, open.data_bytes, open.is_last)?;
    let chunk = ChunkRecord {
        attempt: old.map_or(0, |old| old.attempt + 1),
        bytes: open.data_bytes,
        crc64nvme: stream.crc64nvme.value(),
        crc32c: stream.crc32c.value(),
        sha256: open.checks.sha256.map(Box::new),
        place: match place {
            BodyPlace::Object { .. } => ChunkPlace::Object,
            BodyPlace::Spool(extent) => ChunkPlace::Spool(extent),
            BodyPlace::Memory => ChunkPlace::Memory(body),
            BodyPlace::Discard => ChunkPlace::Discarded,
        },
    };
    put(upload, cx, number, chunk, total_chunks);
    if !stream.cut {
        let waiter = EndWaiterStream {
            stream: open.stream,
            number,
            bytes: open.data_bytes,
            duplicate: false,
            wait_until_ms: upload.is_whole().then_some(open.end_wait_until_ms).flatten(),
        };
        steps::then(upload, Then::Ack(waiter));
    }
    Ok(true)
}

/// Takes the step that a chunk is in, and keeps the sums beside the records right.
fn put(
    upload: &mut Upload,
    cx: &mut Context,
    number: u32,
    chunk: ChunkRecord,
    total_chunks: Option<u32>,
) {
    let bytes = chunk.bytes;
    let at_place = matches!(chunk.place, ChunkPlace::Object | ChunkPlace::Discarded);
    let old = upload.stored.chunks.get(&number).map(|old| old.place);
    steps::take(upload, cx, Transition::PutChunk { number, chunk, total_chunks });
    match old {
        // Replaced: rare, so everything is counted anew.
        Some(place) => {
            upload.recount();
            match place {
                ChunkPlace::Spool(extent) => steps::then(upload, Then::FreeExtent(extent)),
                ChunkPlace::Memory(body) => steps::then(upload, Then::FreeMemory(body)),
                ChunkPlace::Object | ChunkPlace::Discarded => {}
            }
        }
        None => {
            cx.chunk_records += 1;
            upload.add(number, bytes, at_place);
        }
    }
}

/// An attempt that is still being written to its place lost: it only has to show now whether its
/// bytes are the same, so that the winner can go there.
fn judge_rivals(shard: &mut Shard, upload_id: &UploadId, number: u32) {
    let Some(upload) = shard.uploads.get(upload_id) else { return };
    let of_chunk = (number, StreamKey(0))..=(number, StreamKey(u64::MAX));
    let rivals: Vec<_> = upload.streams.range(of_chunk).map(|&(_, key)| key).collect();
    for key in rivals {
        let body = shard.cx.new_body();
        let Some(stream) = shard.cx.streams.get_mut(&key) else { continue };
        let Phase::Receiving { body: old, place, judging: false } = stream.phase else { continue };
        if !matches!(place, BodyPlace::Object { .. }) || stream.open.force {
            continue;
        }
        let bytes = stream.open.data_bytes;
        stream.phase = Phase::Receiving { body, place: BodyPlace::Discard, judging: true };
        begin_drop(shard, upload_id, number, old, place, None);
        let (upload_id, place) = (*upload_id, BodyPlace::Discard);
        shard.cx.emit(Effect::OpenBody { body, upload_id, place, bytes });
    }
}

/// Ends a chunk that is being received with an error.
pub(crate) fn refuse_receiving(shard: &mut Shard, key: StreamKey, refusal: Refusal) {
    drop(drop_body(shard, key));
    shard.cx.tell(key, StreamReply::Refused(refusal));
}

fn drop_body(shard: &mut Shard, key: StreamKey) -> Stream {
    let mut stream = forget(shard, key).expect("only a chunk under way is dropped");
    if let Phase::Receiving { body, place, .. } = stream.phase {
        let charge = stream.charge.take();
        begin_drop(shard, &stream.open.upload_id, stream.open.number, body, place, charge);
    }
    stream
}

fn begin_drop(
    shard: &mut Shard,
    upload_id: &UploadId,
    number: u32,
    body: BodyId,
    place: BodyPlace,
    charge: Option<Charge>,
) {
    if let Some(upload) = shard.uploads.get_mut(upload_id) {
        upload.dropping += 1;
    }
    let op = shard.cx.begin(*upload_id, OpKind::DropBody { number, place, charge });
    shard.cx.emit(Effect::DropBody { op, body });
}

/// No write of a dropped body can happen any more.
pub(crate) fn dropped(
    shard: &mut Shard,
    upload_id: &UploadId,
    number: u32,
    place: BodyPlace,
    charge: Option<Charge>,
) {
    shard.cx.refund(charge);
    if let BodyPlace::Spool(extent) = place {
        shard.cx.free_extent(upload_id, extent);
    }
    let upload = shard.uploads.get_mut(upload_id).expect("an upload outlives its chunks' writes");
    upload.dropping -= 1;
    if matches!(place, BodyPlace::Object { .. }) {
        upload.busy.remove(&number);
    }
}

/// Gives back what an attempt held that is written and not recorded.
fn discard(cx: &mut Context, upload_id: &UploadId, place: BodyPlace, body: BodyId, written: bool) {
    match place {
        BodyPlace::Spool(extent) => cx.free_extent(upload_id, extent),
        BodyPlace::Memory if written => cx.emit(Effect::FreeMemory { body }),
        BodyPlace::Memory | BodyPlace::Object { .. } | BodyPlace::Discard => {}
    }
}

pub(crate) fn forget(shard: &mut Shard, key: StreamKey) -> Option<Stream> {
    let mut stream = shard.cx.streams.remove(&key)?;
    if let Some(upload) = shard.uploads.get_mut(&stream.open.upload_id) {
        upload.streams.remove(&(stream.open.number, key));
    }
    if stream.phase == Phase::Waiting {
        shard.cx.waiting.retain(|waiting| *waiting != key);
        let charge = stream.charge.take();
        shard.cx.refund(charge);
    }
    Some(stream)
}

impl Stream {
    fn new(open: ChunkOpen) -> Self {
        Self {
            sha256: open.checks.sha256.map(|_| Sha256State::new()),
            open,
            phase: Phase::Waiting,
            received_bytes: 0,
            crc32c: Crc32c::new(),
            crc64nvme: Crc64Nvme::new(),
            charge: None,
            cut: false,
        }
    }

    /// Holds the bytes that came against what the client said of them.
    fn verify(&mut self) -> Result<(), Refusal> {
        if self.received_bytes != self.open.data_bytes {
            return Err(Refusal::invalid("data", "fewer bytes came than the header said"));
        }
        let checks = &self.open.checks;
        if checks.crc32c.is_some_and(|sum| sum != self.crc32c.value()) {
            return Err(refuse::checksum_mismatch("crc32c"));
        }
        if checks.crc64nvme.is_some_and(|sum| sum != self.crc64nvme.value()) {
            return Err(refuse::checksum_mismatch("crc64nvme"));
        }
        match (checks.sha256, self.sha256.take()) {
            (Some(said), Some(state)) => {
                let same = state.finish() == said;
                same.then_some(()).ok_or_else(|| refuse::checksum_mismatch("sha256"))
            }
            (Some(_), None) => {
                Err(Refusal::invalid("sha256", "must come before the data in the message"))
            }
            (None, _) => Ok(()),
        }
    }

    fn matches(&self, old: &ChunkRecord) -> bool {
        old.bytes == self.open.data_bytes
            && old.crc32c == self.crc32c.value()
            && old.crc64nvme == self.crc64nvme.value()
    }
}
