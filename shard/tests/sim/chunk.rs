//! One chunk as a client sends it: whole and right, or not.

use bytes::Bytes;
use sluice_proto::{
    checksum::{Crc32c, Crc64Nvme, Sha256State},
    grpc::ChunkChecks,
    ids::UploadId,
};
use sluice_shard::{Event, event::ChunkOpen, keys::StreamKey};

use crate::{ledger::sum_of, world::World};

/// What is sent, and what is said of it.
#[derive(Clone)]
pub(crate) struct Chunk {
    pub number: u32,
    /// What the header tells of.
    pub data: Vec<u8>,
    /// What really comes.
    pub body: Vec<u8>,
    pub is_last: bool,
    pub force: bool,
    pub checks: ChunkChecks,
    /// What isn't in the header comes behind the data.
    pub late: bool,
    /// The connection breaks after so many bytes.
    pub cut_at: Option<usize>,
    pub end_wait: bool,
}

pub(crate) struct Sending {
    pub chunk: Chunk,
    tenant: String,
    upload: UploadId,
    end_wait_until_ms: Option<u64>,
    sent_bytes: usize,
    pub granted: bool,
    ended: bool,
}

impl Chunk {
    pub(crate) fn new(number: u32, data: &[u8]) -> Self {
        Self {
            number,
            data: data.to_vec(),
            body: data.to_vec(),
            is_last: false,
            force: false,
            checks: ChunkChecks::default(),
            late: false,
            cut_at: None,
            end_wait: false,
        }
    }

    /// With some of the checksums, or none.
    pub(crate) fn summed(mut self, world: &mut World) -> Self {
        let (all, data) = (world.rng.below(8), &self.data);
        self.checks.crc32c = (all & 1 > 0).then(|| Crc32c::of(data));
        self.checks.crc64nvme = (all & 2 > 0).then(|| Crc64Nvme::of(data));
        self.checks.sha256 = (all & 4 > 0).then(|| Sha256State::of(data));
        self.late = self.checks.sha256.is_none() && world.rng.percent(20);
        self.end_wait = world.rng.percent(50);
        self
    }

    /// Something goes wrong on the way, or is wrong from the start.
    pub(crate) fn spoiled(mut self, world: &mut World) -> Self {
        match world.rng.below(5) {
            0 => {
                self.checks.crc64nvme = Some(Crc64Nvme::of(&self.data));
                let at = world.rng.below(self.body.len() as u64) as usize;
                self.body[at] ^= 1;
            }
            1 => drop(self.body.pop()),
            2 => self.body.push(0),
            _ => self.cut_at = Some(world.rng.below(self.body.len() as u64 + 1) as usize),
        }
        self
    }

    pub(crate) fn open(
        self,
        world: &mut World,
        client: usize,
        tenant: &str,
        upload_id: UploadId,
    ) -> Option<(StreamKey, Sending)> {
        let end_wait_until_ms =
            self.end_wait.then(|| world.now.mono_ms + world.rng.between(1, 3_000));
        let is_whole = !self.late
            && self.cut_at.is_none()
            && self.body.len() == self.data.len()
            && world.rng.percent(40);
        let sum = sum_of(&self.data);
        let sending = Sending {
            chunk: self,
            tenant: tenant.to_owned(),
            upload: upload_id,
            end_wait_until_ms,
            sent_bytes: 0,
            granted: false,
            ended: is_whole,
        };
        if is_whole {
            sending.tell_ledger(world);
        }
        let whole = is_whole.then(|| Bytes::copy_from_slice(&sending.chunk.body));
        let key = world.open(client, sum, whole, |stream| sending.opening(stream))?;
        Some((key, sending))
    }
}

impl Sending {
    fn opening(&self, stream: StreamKey) -> ChunkOpen {
        let (chunk, early) = (&self.chunk, !self.chunk.late);
        ChunkOpen {
            stream,
            tenant: self.tenant.clone(),
            upload_id: self.upload,
            number: chunk.number,
            is_last: chunk.is_last && early,
            force: chunk.force && early,
            checks: if early { chunk.checks } else { ChunkChecks::default() },
            data_bytes: chunk.data.len() as u64,
            end_wait_until_ms: self.end_wait_until_ms,
        }
    }

    /// It couldn't be taken whole: opens it as any other.
    pub(crate) fn again(&mut self, world: &mut World, key: StreamKey) {
        assert!(std::mem::take(&mut self.ended), "only what came whole is asked for again");
        world.go_on(key, Event::ChunkOpen(Box::new(self.opening(key))));
    }

    /// Sends the next piece, or the end. `false`: the client is gone.
    pub(crate) fn go_on(&mut self, world: &mut World, key: StreamKey) -> bool {
        let gone = match self.chunk.cut_at {
            Some(at) => self.sent_bytes >= at && (self.granted || world.rng.percent(20)),
            None => false,
        };
        if gone {
            world.cut(key);
            return false;
        }
        if !self.granted || self.ended {
            return true;
        }
        let left = &self.chunk.body[self.sent_bytes..];
        if left.is_empty() {
            self.ended = true;
            self.end(world, key);
            return true;
        }
        let most = self.chunk.cut_at.map_or(left.len(), |at| left.len().min(at - self.sent_bytes));
        let count = world.rng.between(1, most.max(1) as u64) as usize;
        let bytes = Bytes::copy_from_slice(&left[..count]);
        self.sent_bytes += count;
        world.go_on(key, Event::ChunkPiece { stream: key, bytes });
        true
    }

    fn end(&mut self, world: &mut World, key: StreamKey) {
        let Chunk { is_last, force, checks, .. } = self.chunk;
        if let Some(owed) = world.streams.get_mut(&key) {
            owed.is_last = is_last;
        }
        self.tell_ledger(world);
        world.go_on(key, Event::ChunkEnd { stream: key, is_last, force, checks });
    }
    fn tell_ledger(&self, world: &mut World) {
        let Chunk { number, ref data, ref body, force, checks, .. } = self.chunk;
        // Without sums only the length is looked at.
        let passes = !world.plan.config.crc && checks.sha256.is_none() && data.len() == body.len();
        if data == body || passes {
            world.stores.ledger.sent(self.upload, number, data, force);
        }
    }
}
