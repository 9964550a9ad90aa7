//! One chunk while it comes in: what it holds, and how it gives that back.

use sluice_proto::{
    checksum::{ChunkSums, Sha256State},
    error::Refusal,
    ids::UploadId,
};

use crate::{
    bodies,
    budget::Charge,
    context::OpKind,
    effect::{BodyPlace, Effect, StreamReply},
    event::ChunkOpen,
    hash,
    keys::{BodyId, StreamKey},
    record::{ChunkRecord, LostChunk},
    refuse,
    shard::Shard,
};

/// A chunk on its way in.
#[derive(Debug)]
pub(crate) struct Stream {
    pub open: ChunkOpen,
    pub phase: Phase,
    pub received_bytes: u64,
    pub sums: ChunkSums,
    pub sha256: Option<Sha256State>,
    pub charge: Option<Charge>,
    /// Its reader is gone: nothing is answered.
    pub cut: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// For memory.
    Waiting,
    /// `judging`: the bytes are only summed, and compared with what the number holds.
    Receiving {
        body: BodyId,
        place: BodyPlace,
        judging: bool,
    },
    Closing {
        body: BodyId,
        place: BodyPlace,
    },
}

impl Stream {
    pub(crate) fn new(open: ChunkOpen) -> Self {
        Self {
            sha256: open.checks.sha256.map(|_| Sha256State::new()),
            open,
            phase: Phase::Waiting,
            received_bytes: 0,
            sums: ChunkSums::new(),
            charge: None,
            cut: false,
        }
    }

    /// Counts and sums bytes as they come.
    pub(crate) fn receive(&mut self, bytes: &[u8], crc: bool) -> Result<(), Refusal> {
        self.received_bytes += bytes.len() as u64;
        if self.received_bytes > self.open.data_bytes {
            return Err(Refusal::invalid("data", "more bytes came than the header said"));
        }
        self.sum(bytes, crc);
        Ok(())
    }

    fn sum(&mut self, bytes: &[u8], crc: bool) {
        if crc {
            self.sums.update(bytes);
        }
        if let Some(sha256) = &mut self.sha256 {
            sha256.update(bytes);
        }
    }

    /// Holds the bytes that came against what the client said of them.
    pub(crate) fn verify(&mut self) -> Result<(), Refusal> {
        if self.received_bytes != self.open.data_bytes {
            return Err(Refusal::invalid("data", "fewer bytes came than the header said"));
        }
        let checks = &self.open.checks;
        if checks.crc32c.is_some_and(|sum| sum != self.sums.crc32c()) {
            return Err(refuse::checksum_mismatch("crc32c"));
        }
        if checks.crc64nvme.is_some_and(|sum| sum != self.sums.crc64nvme()) {
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

    /// Whether it came again as it was.
    pub(crate) fn matches_lost(&self, lost: &LostChunk) -> bool {
        lost.bytes == self.open.data_bytes
            && lost.crc32c == self.sums.crc32c()
            && lost.crc64nvme == self.sums.crc64nvme()
    }

    pub(crate) fn matches(&self, old: &ChunkRecord) -> bool {
        old.bytes == self.open.data_bytes
            && old.crc32c == self.sums.crc32c()
            && old.crc64nvme == self.sums.crc64nvme()
    }
}

/// Ends a chunk that is being received with an error.
pub(crate) fn refuse_receiving(shard: &mut Shard, key: StreamKey, refusal: Refusal) {
    drop(drop_body(shard, key));
    shard.cx.tell(key, StreamReply::Refused(refusal));
}

pub(crate) fn drop_body(shard: &mut Shard, key: StreamKey) -> Stream {
    let mut stream = forget(shard, key).expect("only a chunk under way is dropped");
    if let Phase::Receiving { body, place, .. } = stream.phase {
        let charge = stream.charge.take();
        begin_drop(shard, &stream.open.upload_id, stream.open.number, body, place, charge);
    }
    stream
}

pub(crate) fn begin_drop(
    shard: &mut Shard,
    upload_id: &UploadId,
    number: u32,
    body: BodyId,
    place: BodyPlace,
    charge: Option<Charge>,
) {
    if let Some(upload) = shard.uploads.get_mut(upload_id) {
        upload.dropping += 1;
        hash::take_back(upload, &mut shard.cx, body);
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
    let upload = shard.uploads.get_mut(upload_id).expect("an upload outlives its chunks' writes");
    upload.dropping -= 1;
    match place {
        BodyPlace::Object { .. } => upload.writes.end(number),
        BodyPlace::Spool(extent) => shard.cx.free_extent(upload_id, extent),
        BodyPlace::Redis { number, attempt } => {
            upload.bodies.written();
            bodies::free(upload, &mut shard.cx, number, attempt);
        }
        BodyPlace::Memory | BodyPlace::Discard => {}
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
