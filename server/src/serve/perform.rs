//! Each effect of a shard, done.

use std::{cell::RefCell, io, rc::Rc, time::Duration};

use sluice_io::{
    disk::{self, BodyWriter, RangeReader},
    reactor::task,
    sqlite::{Database, DatabaseError},
};
use sluice_proto::{checksum::Sha256State, error::Reason, ids::UploadId};
use sluice_shard::{
    Effect, Event, Shard,
    effect::PlaceFrom,
    event::{Claimed, Failure, Outcome},
    keys::OpId,
    record::{FoundUpload, Object, State, Transition, UploadRecord, UploadSpec},
};

use super::{
    bodies::Bodies,
    body_hash::BodyHashes,
    body_sink::BodyError,
    clock,
    files::Files,
    hasher::Hasher,
    redis::{BodyName, RedisSpool, SmallBodies},
    s3::ObjectStore,
    stores::Stores,
    switch::Switch,
    work::{Cause, WorkLog},
};
use crate::{
    boundary::boundary,
    metadata,
    metrics::{End, ShardMetrics, Stage, Work},
    store::{Loaded, StoreError},
};

/// Does what a shard wants done. Clones share it.
#[derive(Clone)]
pub(crate) struct Performer(pub(super) Rc<Inner>);

pub(crate) struct Inner {
    pub(crate) switch: Switch,
    pub(crate) files: Files,
    pub(crate) bodies: Bodies,
    pub(crate) hashes: BodyHashes,
    pub(crate) hasher: Hasher,
    /// Where bodies lie in Redis.
    pub(crate) redis: Option<RedisSpool>,
    pub(crate) small: Option<SmallBodies>,
    /// Where objects lie, if in S3.
    pub(crate) object_store: Option<ObjectStore>,
    pub(crate) stores: Stores,
    pub(crate) metadata: Database,
    pub(crate) sync: bool,
    /// An upload with more chunk records isn't read into memory.
    pub(crate) chunk_records_max: usize,
    pub(crate) shard: Rc<RefCell<Shard>>,
    pub(crate) metrics: Rc<ShardMetrics>,
    pub(crate) work: WorkLog,
}

impl Performer {
    pub(crate) fn new(inner: Inner) -> Self {
        Self(Rc::new(inner))
    }

    pub(crate) fn perform(&self, effect: Effect) {
        let Inner { switch, bodies, hashes, .. } = &*self.0;
        match effect {
            Effect::Stream { stream, reply } => {
                boundary("reply.before");
                switch.tell(stream, reply);
            }
            Effect::Reply { call, result } => {
                boundary("reply.before");
                switch.answer(call, result);
            }
            Effect::OpenBody { body, upload_id, place, bytes, hash } => {
                bodies.open(body, upload_id, place, bytes, hash);
            }
            Effect::Append { body, stream, bytes } => bodies.append(body, stream, bytes),
            Effect::CloseBody { op, body, awaits_turn } => {
                boundary("body.before");
                bodies.close(op, body, awaits_turn);
            }
            Effect::HashBody { body, state } => hashes.begin(body, *state),
            Effect::LeaveHash { body } => hashes.leave(body),
            Effect::DropBody { op, body } => bodies.drop(op, body),
            Effect::FreeMemory { body } => bodies.free_memory(body),
            Effect::FreeBody { upload_id, number, attempt } => {
                boundary("free.before");
                let small = self.0.small.as_ref().expect("bodies in Redis have a spool there");
                small.free(BodyName { upload_id, number, attempt });
            }
            Effect::PunchSegment { store, holes } => self.0.files.punch_segment(store, holes),
            Effect::RemoveSegment { store, segment } => {
                self.0.files.remove_segment(store, segment);
            }
            effect => self.perform_slow(effect),
        }
    }

    /// What takes its time, in a task of its own; its end comes back as an event.
    fn perform_slow(&self, effect: Effect) {
        let me = self.clone();
        match effect {
            Effect::Record { op, upload_id, first_rev, wall_ms, steps } => {
                let names = ["record.before", "record.after"];
                self.spawn(names, Work::Record, op, upload_id, async move {
                    me.record(upload_id, first_rev, wall_ms, steps).await.map(done)
                });
            }
            Effect::Load { op, upload_id } => {
                let loading = async move {
                    let result = me.load(upload_id).await;
                    me.0.switch.post_here(Event::Done { op, result });
                };
                task::spawn_local(loading).detach();
            }
            Effect::Claim { op, upload_id, spec, create_ms } => {
                let names = ["claim.before", "claim.after"];
                self.spawn(names, Work::Claim, op, upload_id, async move {
                    me.claim(upload_id, *spec, create_ms).await.map(Outcome::Claimed)
                });
            }
            Effect::Finish { op, record, object } => {
                let names = ["finish.before", "finish.after"];
                self.spawn(names, Work::Finish, op, record.upload_id, async move {
                    me.finish(*record, object).await.map(done)
                });
            }
            Effect::Release { op, record } => {
                let names = ["release.before", "release.after"];
                self.spawn(names, Work::Release, op, record.upload_id, async move {
                    me.release(*record).await.map(done)
                });
            }
            Effect::Place { op, upload_id, from, offset, bytes } => {
                let names = ["place.before", "place.after"];
                self.spawn(names, Work::Place, op, upload_id, async move {
                    me.place(upload_id, from, offset, bytes).await.map(done)
                });
            }
            Effect::Hash { op, upload_id, state, bytes, slices } => {
                let record = self.0.shard.borrow().record(&upload_id).cloned();
                let record = record.expect("an upload stays while it is being hashed");
                let hashing = async move {
                    let work = &me.0.work;
                    let hashed = match slices {
                        Some(slices) => {
                            let hash = me.hash_slices(upload_id, *state, &slices);
                            work.watch(Work::Hash, upload_id, hash).await
                        }
                        None => {
                            let hash = me.hash(&record, *state, bytes);
                            work.watch(Work::Hash, upload_id, hash).await
                        }
                    };
                    let result = hashed.map(|state| Outcome::Hashed(Box::new(state)));
                    me.0.switch.post_here(Event::Done { op, result });
                };
                task::spawn_background(hashing).detach();
            }
            Effect::BeginMultipart { .. }
            | Effect::SendPart { .. }
            | Effect::PutObject { .. }
            | Effect::CompleteMultipart { .. }
            | Effect::Unstore { .. } => self.perform_stored(effect),
            Effect::Seal { op, record, size_bytes } => {
                let names = ["seal.before", "seal.after"];
                self.spawn(names, Work::Seal, op, record.upload_id, async move {
                    me.seal(&record, size_bytes).await.map(done)
                });
            }
            Effect::SweepBodies { op, upload_id } => {
                let names = ["sweep.before", "sweep.after"];
                self.spawn(names, Work::Sweep, op, upload_id, async move {
                    me.redis().sweep(&upload_id).await.map(done)
                });
            }
            Effect::RemovePartial { op, upload_id } => {
                let names = ["remove.before", "remove.after"];
                self.spawn(names, Work::Remove, op, upload_id, async move {
                    me.0.files.close_partial(&upload_id);
                    disk::remove(&me.0.files.partial_path(&upload_id)).await.map(done)
                });
            }
            _ => unreachable!("done at once"),
        }
    }

    /// With a boundary before the work and one after it.
    fn spawn<E: Cause + 'static>(
        &self,
        [before, after]: [&'static str; 2],
        work: Work,
        op: OpId,
        upload_id: UploadId,
        doing: impl Future<Output = Result<Outcome, E>> + 'static,
    ) {
        let me = self.clone();
        let task = async move {
            boundary(before);
            let result = me.0.work.watch(work, upload_id, doing).await;
            boundary(after);
            me.0.switch.post_here(Event::Done { op, result });
        };
        task::spawn_local(task).detach();
    }

    async fn record(
        &self,
        upload_id: UploadId,
        first_rev: u64,
        wall_ms: u64,
        steps: Vec<Transition>,
    ) -> Result<(), StoreError> {
        let Inner { stores, shard, .. } = &*self.0;
        let end = steps.iter().find_map(end_of);
        stores.record(shard, upload_id, first_rev, wall_ms, steps).await?;
        if let Some((end, integrity)) = end {
            self.count_end(&upload_id, end, integrity, wall_ms);
        }
        Ok(())
    }

    fn count_end(&self, upload_id: &UploadId, end: End, integrity: bool, wall_ms: u64) {
        let Inner { shard, metrics, .. } = &*self.0;
        if let Some(record) = shard.borrow().record(upload_id) {
            let took_ms = wall_ms.saturating_sub(record.create_ms);
            metrics.upload_ended(end, Duration::from_millis(took_ms));
        }
        if integrity {
            metrics.integrity_failed(Stage::Object);
        }
    }

    /// What is open is in memory; so if a store says of any other that it is, it may have lost its
    /// end.
    async fn load(&self, upload_id: UploadId) -> Result<Outcome, Failure> {
        let reading = self.0.stores.load(upload_id, self.0.chunk_records_max);
        let (stored, is_left) = match self.0.work.watch(Work::Load, upload_id, reading).await? {
            Loaded::Nothing => return Ok(Outcome::Loaded(None)),
            Loaded::TooLarge => return Err(Failure::Full),
            Loaded::Damaged => return Err(Failure::Damaged),
            Loaded::Whole(stored) => (*stored, false),
            Loaded::Left(stored) => (*stored, true),
        };
        let lost_end = if stored.record.state.ended() {
            None
        } else {
            let asking = self.0.metadata.run(move |conn| metadata::lost_end(conn, &upload_id));
            self.0.work.watch(Work::Load, upload_id, asking).await?
        };
        let is_unknown = is_left && !stored.record.state.ended() && lost_end.is_none();
        let found = Box::new(FoundUpload { stored, lost_end });
        Ok(Outcome::Loaded(Some(found).filter(|_| !is_unknown)))
    }

    async fn claim(
        &self,
        upload_id: UploadId,
        spec: UploadSpec,
        create_ms: u64,
    ) -> Result<Claimed, DatabaseError> {
        self.0.metadata.run(move |conn| metadata::claim(conn, &upload_id, &spec, create_ms)).await
    }

    async fn finish(&self, record: UploadRecord, object: Object) -> Result<(), DatabaseError> {
        let wall_ms = clock::wall_ms();
        self.0.metadata.run(move |conn| metadata::finish(conn, &record, &object, wall_ms)).await
    }

    async fn release(&self, record: UploadRecord) -> Result<(), DatabaseError> {
        let wall_ms = clock::wall_ms();
        self.0.metadata.run(move |conn| metadata::release(conn, &record, wall_ms)).await
    }

    async fn place(
        &self,
        upload_id: UploadId,
        from: PlaceFrom,
        offset: u64,
        bytes: u64,
    ) -> Result<(), BodyError> {
        let files = &self.0.files;
        let partial = files.partial(&upload_id).await?;
        let mut writer = BodyWriter::new(partial, files.buffers(), offset, bytes);
        let copied = match from {
            PlaceFrom::Memory(body) => {
                let mut copied = Ok(());
                for piece in self.0.bodies.in_memory(body) {
                    copied = copied.and(writer.append(piece).await);
                }
                copied.map_err(BodyError::from)
            }
            PlaceFrom::Redis { number, attempt } => {
                let body = BodyName { upload_id, number, attempt };
                copy_body(self.redis(), body, bytes, &mut writer).await
            }
            PlaceFrom::Spool(extent) => {
                let segment = files.segment(upload_id.store(), extent).await?;
                let mut reader = RangeReader::new(segment, extent.offset, extent.bytes);
                copy(&mut reader, &mut writer).await.map_err(BodyError::from)
            }
        };
        match copied {
            Ok(()) => writer.finish(self.0.sync).await?,
            Err(error) => {
                writer.abandon().await;
                return Err(error);
            }
        }
        files.used_partial(&upload_id);
        Ok(())
    }

    async fn hash(
        &self,
        record: &UploadRecord,
        mut state: Sha256State,
        bytes: u64,
    ) -> io::Result<Sha256State> {
        let file = self.0.files.readable(record).await?;
        let mut reader = RangeReader::new(file, state.bytes_hashed(), bytes);
        while let Some(block) = reader.next().await? {
            state = self.0.hasher.hash(state, block).await;
        }
        Ok(state)
    }

    async fn seal(&self, record: &UploadRecord, size_bytes: u64) -> io::Result<()> {
        let files = &self.0.files;
        let object = files.object_path(record);
        if size_bytes == 0 && disk::is_missing(&object).await? {
            files.partial(&record.upload_id).await?;
        }
        files.close_partial(&record.upload_id);
        disk::seal(&files.partial_path(&record.upload_id), &object, size_bytes).await
    }

    fn redis(&self) -> &RedisSpool {
        self.0.redis.as_ref().expect("bodies in Redis have a spool there")
    }
}

/// How an upload ends by a step, and whether its bytes were not those declared.
fn end_of(step: &Transition) -> Option<(End, bool)> {
    match step {
        Transition::Completed(_) => Some((End::Completed, false)),
        Transition::End { state, error } => {
            let end = match state {
                State::Aborted => End::Aborted,
                State::Expired => End::Expired,
                _ => End::Failed,
            };
            let reason = error.as_ref().map(|error| error.reason);
            Some((end, reason == Some(Reason::ObjectMismatch)))
        }
        _ => None,
    }
}

async fn copy_body(
    redis: &RedisSpool,
    body: BodyName,
    bytes: u64,
    writer: &mut BodyWriter,
) -> Result<(), BodyError> {
    let mut copied = 0;
    while copied < bytes {
        let slice = redis.read(body, copied, bytes).await?.ok_or(BodyError::Gone(body))?;
        copied += slice.len() as u64;
        writer.append(slice).await?;
    }
    Ok(())
}

async fn copy(reader: &mut RangeReader, writer: &mut BodyWriter) -> io::Result<()> {
    while let Some(block) = reader.next().await? {
        writer.append_slice(&block).await?;
    }
    Ok(())
}

fn done((): ()) -> Outcome {
    Outcome::Done
}
