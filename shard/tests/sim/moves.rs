//! What a client does next.

use sluice_proto::ids::{ChunkCount, NodeId, UploadId};
use sluice_shard::{Event, config::Objects};

use crate::{
    chunk::Chunk,
    client::{Asked, Client, Next, Phase},
    world::World,
};

impl Client {
    pub(crate) fn act(&mut self, world: &mut World) {
        match &mut self.phase {
            Phase::Storm(0) => self.phase = Phase::Finish(Next::Status),
            Phase::Storm(left) => {
                *left -= 1;
                self.storm(world);
            }
            Phase::Finish(_) if self.streams.is_empty() && self.calls.is_empty() => {
                self.finish(world);
            }
            Phase::Done(left @ 1..) => {
                *left -= 1;
                self.look_again(world);
            }
            Phase::Finish(_) | Phase::Done(0) => {}
        }
    }

    fn storm(&mut self, world: &mut World) {
        let Some(upload) = self.upload else {
            if self.calls.is_empty() {
                self.initiate(world);
            }
            return;
        };
        match world.rng.below(100) {
            0..70 => self.send_something(world, upload),
            70..78 if self.honest => {
                self.complete(world, upload, Some(self.chunks.len() as u32));
            }
            70..78 => {
                let total = world.rng.percent(50).then(|| world.rng.below(8) as u32);
                self.complete(world, upload, total);
            }
            78..86 => self.status(world, upload, 3),
            86..89 => self.initiate(world),
            89..92 => self.ask_as_another(world, upload),
            92..96 => self.hang_up(world),
            96 if !self.honest => self.abort(world, upload),
            97..99 if self.watch.is_none() => self.watch(world, upload),
            _ => {}
        }
    }

    fn send_something(&mut self, world: &mut World, upload: UploadId) {
        let count = self.chunks.len() as u64;
        if self.honest && count == 0 {
            return;
        }
        let end = count + if self.honest { 0 } else { 2 };
        let number = match self.fond_of {
            Some(few) if world.rng.percent(70) => world.rng.below(few.min(end)),
            _ => world.rng.below(end),
        } as u32;
        let mut chunk = self.right(world, number);
        if !self.honest && world.rng.percent(30) {
            let bytes = match self.spec.chunk_size_bytes {
                Some(promised) if world.rng.percent(80) => promised,
                _ => world.rng.between(0, world.plan.config.max_chunk_bytes + 1),
            };
            chunk = Chunk::new(number, &world.rng.bytes(bytes)).summed(world);
            chunk.force = world.rng.percent(self.force.max(40));
            chunk.is_last = world.rng.percent(10);
        }
        if world.rng.percent(25) && !chunk.data.is_empty() {
            chunk = chunk.spoiled(world);
        }
        self.send(world, upload, chunk);
    }

    /// A chunk of the file, as it should be.
    fn right(&self, world: &mut World, number: u32) -> Chunk {
        let data = match self.chunks.get(number as usize) {
            Some(data) => data.clone(),
            None => self.filler(world, number),
        };
        let mut chunk = Chunk::new(number, &data).summed(world);
        chunk.is_last = number as usize + 1 == self.chunks.len() && world.rng.percent(80);
        chunk.force = world.rng.percent(self.force);
        chunk
    }

    /// For a chunk that the file doesn't have, but the upload was said to.
    fn filler(&self, world: &mut World, number: u32) -> Vec<u8> {
        let bytes = match (self.spec.chunk_size_bytes, self.spec.expected_size_bytes) {
            (Some(promised), Some(size)) => {
                let before = promised * u64::from(number);
                size.saturating_sub(before).min(promised).max(1)
            }
            (Some(promised), None) => promised,
            (None, _) => 1,
        };
        world.rng.bytes(bytes)
    }

    fn send(&mut self, world: &mut World, upload: UploadId, chunk: Chunk) {
        let tenant = self.spec.tenant.clone();
        match chunk.open(world, self.id, &tenant, upload) {
            Some((key, sending)) => drop(self.streams.insert(key, sending)),
            None => self.look_anew(),
        }
    }

    fn initiate(&mut self, world: &mut World) {
        let mut spec = self.spec.clone();
        if !self.own_node {
            spec.node_id = NodeId::parse(&format!("fresh{}", world.fresh())).unwrap();
        }
        let upload_id = world.fresh_upload_id();
        let call = world.initiate(self.id, upload_id, spec);
        self.calls.extend(call.map(|call| (call, Asked::Initiate)));
    }

    fn complete(&mut self, world: &mut World, upload: UploadId, total: Option<u32>) {
        let total_chunks = total.map(|total| ChunkCount::new(total as i32).unwrap());
        let wait_until_ms = world.now.mono_ms + world.rng.between(0, 2_000);
        let tenant = self.spec.tenant.clone();
        let files = world.plan.config.objects != Objects::Discard;
        let late = files && self.honest && world.rng.percent(20);
        let sha256 = if late { Some(crate::file::sum(&self.chunks.concat())) } else { None };
        let sha256 = sha256.filter(|_| self.spec.sha256.is_none());
        let call = world.call(self.id, upload, |call| Event::Complete {
            call,
            tenant,
            upload_id: upload,
            total_chunks,
            sha256,
            wait_until_ms,
        });
        self.calls.extend(call.map(|call| (call, Asked::Complete)));
    }

    fn status(&mut self, world: &mut World, upload: UploadId, ranges_max: usize) {
        let tenant = self.spec.tenant.clone();
        let call = world.call(self.id, upload, |call| Event::Status {
            call,
            tenant,
            upload_id: upload,
            from_chunk: 0,
            ranges_max,
        });
        self.calls.extend(call.map(|call| (call, Asked::Status)));
    }

    fn watch(&mut self, world: &mut World, upload: UploadId) {
        let tenant = self.spec.tenant.clone();
        let seen = self.seen.filter(|(of, _)| *of == upload).map(|(_, progress)| progress);
        self.watch = world.call(self.id, upload, |call| Event::Watch {
            call,
            tenant,
            upload_id: upload,
            seen,
        });
    }

    fn abort(&mut self, world: &mut World, upload: UploadId) {
        world.stores.aborts_asked.insert(upload);
        let tenant = self.spec.tenant.clone();
        let call =
            world.call(self.id, upload, |call| Event::Abort { call, tenant, upload_id: upload });
        self.calls.extend(call.map(|call| (call, Asked::Abort)));
    }

    /// Another tenant knows the id, and gets nothing for it.
    fn ask_as_another(&mut self, world: &mut World, upload: UploadId) {
        let tenant = "somebody".to_owned();
        let abort = world.rng.percent(50);
        let call = world.call(self.id, upload, |call| {
            let upload_id = upload;
            if abort {
                Event::Abort { call, tenant, upload_id }
            } else {
                Event::Status { call, tenant, upload_id, from_chunk: 0, ranges_max: 3 }
            }
        });
        self.calls.extend(call.map(|call| (call, Asked::Foreign)));
    }

    fn hang_up(&mut self, world: &mut World) {
        let last = self.calls.pop_last().map(|(call, _)| call);
        if let Some(call) = self.watch.take().or(last) {
            world.cut_call(call);
        }
    }

    /// The next thing that has to be done for the upload to end.
    fn finish(&mut self, world: &mut World) {
        let Some(upload) = self.upload else { return self.initiate(world) };
        let Phase::Finish(next) = &mut self.phase else { unreachable!("it is finishing") };
        match next {
            Next::Status => self.status(world, upload, 1_000),
            Next::Complete(total) => {
                let total = *total;
                self.complete(world, upload, Some(total));
            }
            Next::Abort => self.abort(world, upload),
            Next::Send(left) => {
                let now: Vec<u32> = left.drain(..left.len().min(3)).collect();
                if now.is_empty() {
                    self.phase = Phase::Finish(Next::Status);
                }
                for number in now {
                    let chunk = Chunk { is_last: false, ..self.right(world, number) };
                    self.send(world, upload, chunk);
                }
            }
        }
    }

    /// What has ended stays readable for a while.
    fn look_again(&mut self, world: &mut World) {
        let Some(upload) = self.upload else { return };
        match world.rng.below(5) {
            0 => self.status(world, upload, 1_000),
            1 => self.complete(world, upload, None),
            2 => self.initiate_again(world),
            _ if self.chunks.is_empty() => self.status(world, upload, 1_000),
            _ => {
                let number = world.rng.below(self.chunks.len() as u64) as u32;
                let chunk = self.right(world, number);
                self.send(world, upload, chunk);
            }
        }
    }

    /// Only where the answer is the same upload: what ended otherwise would begin anew.
    fn initiate_again(&mut self, world: &mut World) {
        let upload = self.upload.expect("it has ended");
        let lasting = world.metadata.completed.contains_key(&upload);
        if self.spec.request_id.is_some() && lasting {
            self.initiate(world);
        }
    }
}
