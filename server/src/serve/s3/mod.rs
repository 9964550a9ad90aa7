//! Objects in an S3 store: what the rules want done there, done.
//!
//! Invariants: a key is one upload's alone, so whatever lies there is this upload's, or what nobody
//! needs; nothing is told as stored that wasn't looked at; what is tried again does no harm when it
//! was done before.

mod boot;
mod complete;
mod drives;
mod ended;
mod gate;
mod janitor;
mod options;
mod perform;
mod send;
mod slices;
mod unstore;

use std::{cell::Cell, rc::Rc};

use sluice_io::s3::{Abilities, Bucket, Client, Credentials, S3Error};
use sluice_proto::ids::UploadId;
use sluice_shard::{Shard, record::UploadRecord};

pub use boot::S3Unfit;
pub(super) use boot::begin;
pub(super) use drives::{Drives, Target, key};
use ended::{Ended, Stop};
use gate::Gate;
pub(super) use janitor::Janitor;
pub(super) use options::check_metadata;
pub(super) use slices::{SliceError, Slices};

use super::work::WorkLog;
use crate::{
    config,
    metrics::{S3Gauges, ShardMetrics, Work},
};

/// What every thread may know of the object store.
#[derive(Clone)]
pub(super) struct S3Access {
    pub(super) settings: config::S3,
    pub(super) credentials: Credentials,
    pub(super) abilities: Abilities,
    pub(super) drives: Drives,
    /// Of one shard.
    pub(super) connections_max: u32,
}

/// The object store, as one shard reaches it. Clones share it.
#[derive(Clone)]
pub(super) struct ObjectStore(Rc<Inner>);

struct Inner {
    client: Client,
    settings: config::S3,
    abilities: Abilities,
    drives: Drives,
    gate: Gate,
    slices: Slices,
    work: WorkLog,
    metrics: Rc<ShardMetrics>,
    parts_in_flight: Cell<u64>,
}

/// What a shard has beside.
pub(super) struct ObjectStoreParts {
    pub(super) slices: Slices,
    pub(super) work: WorkLog,
    pub(super) metrics: Rc<ShardMetrics>,
}

/// Where an upload's object lies.
struct Place {
    bucket: Bucket,
    key: String,
    upload_id: UploadId,
}

impl S3Access {
    /// For the executor of a shard.
    pub(super) fn open(&self, parts: ObjectStoreParts) -> ObjectStore {
        let client =
            Client::new(self.settings.client(self.connections_max), self.credentials.clone());
        let ObjectStoreParts { slices, work, metrics } = parts;
        let gate = Gate::new(client.bucket(&self.settings.bucket), work.clone());
        ObjectStore(Rc::new(Inner {
            client,
            settings: self.settings.clone(),
            abilities: self.abilities,
            drives: self.drives.clone(),
            gate,
            slices,
            work,
            metrics,
            parts_in_flight: Cell::default(),
        }))
    }

    /// Whether it takes parts of any lengths.
    pub(super) fn takes_unequal_parts(&self) -> bool {
        self.abilities.unequal_parts
    }
}

impl ObjectStore {
    /// How this shard stands with it.
    pub(super) fn gauges(&self, shard: &Shard) -> S3Gauges {
        let has_one = |upload_id: &_| {
            shard.record(upload_id).is_some_and(|record| record.multipart_id.is_some())
        };
        let open = shard.live_uploads().filter(|(upload_id, _)| has_one(upload_id));
        S3Gauges {
            is_up: self.0.gate.is_open(),
            parts_in_flight: self.0.parts_in_flight.get(),
            multiparts_open: open.count() as u64,
        }
    }

    fn place(&self, record: &UploadRecord) -> Result<Place, Stop> {
        let Target { bucket, prefix } = self.0.drives.target(&record.spec.drive_id)?;
        Ok(Place {
            bucket: self.0.client.bucket(&bucket),
            key: drives::key(&prefix, &record.spec.node_id, &record.upload_id),
            upload_id: record.upload_id,
        })
    }

    /// One request, and the same again while that may help and does no harm. Waits while the store is
    /// down, for some time.
    async fn ask<T>(
        &self,
        place: &Place,
        work: Work,
        attempt: impl AsyncFnMut() -> Result<T, S3Error>,
    ) -> Result<T, Ended> {
        self.ask_of(&place.bucket, Some(place.upload_id), work, attempt).await
    }

    async fn ask_of<T>(
        &self,
        bucket: &Bucket,
        upload_id: Option<UploadId>,
        work: Work,
        mut attempt: impl AsyncFnMut() -> Result<T, S3Error>,
    ) -> Result<T, Ended> {
        let Inner { gate, metrics, work: log, .. } = &*self.0;
        let mut tries = 0;
        loop {
            gate.pass().await?;
            tries += 1;
            // What is as good as done is neither counted nor told as a failure.
            let asking = async {
                match attempt().await {
                    Err(error) if !ended::is_answer(work, &error) => Err(error),
                    answered => Ok(answered),
                }
            };
            let error = match log.look_on(work, upload_id, asking).await {
                Ok(Ok(done)) => {
                    gate.went_well(bucket.name(), work);
                    return Ok(done);
                }
                Ok(Err(error)) | Err(error) => error,
            };
            gate.went_wrong(&error);
            if tries >= ended::TRIES_MAX || !ended::may_pass(work, &error) {
                let denied_ms = gate.denied_for_ms(bucket.name(), work, &error);
                return Err(Ended { error: Some(error), denied_ms });
            }
            metrics.retried(work);
            gate.pause(tries).await;
        }
    }
}
