//! Uploads of a store, a stretch at a time, in the order that they were made.

use futures_util::{StreamExt as _, TryStreamExt as _, future::try_join, stream};
use sluice_io::redis::{cmd, read};
use sluice_proto::ids::{StoreId, UploadId};
use sluice_shard::record::{ChunkPlace, UploadRecord};

use super::{AT_A_TIME, RedisStores, UploadKeys, fields, load::damage_of};
use crate::store::{
    StoreError, damage,
    query::{Filter, Found, Room, Stage, Stretch, Sums},
};

/// Uploads that are read before it is known whether there is room for them.
const READ_AHEAD: usize = 100;

impl RedisStores {
    /// The uploads behind the place `after`, as far as there is room. Those that can't be read are
    /// left out.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn list(
        &self,
        store: StoreId,
        filter: &Filter,
        after: i64,
        mut room: Room,
    ) -> Result<Stretch, StoreError> {
        let (mut found, mut last) = (Vec::new(), after);
        loop {
            let members = self.members(store, last).await?;
            let is_end = members.len() < READ_AHEAD;
            let reading = members.into_iter().map(async |(member, place)| {
                let record = readable(self.record(&member).await)?;
                Ok::<_, StoreError>((record.flatten(), place as i64))
            });
            let mut records = stream::iter(reading).buffered(AT_A_TIME);
            while let Some((record, place)) = records.try_next().await? {
                if room.is_full() {
                    return Ok(Stretch { found, next: Some(last), room });
                }
                last = place;
                room.rows -= 1;
                if let Some(record) = record.filter(|record| matches(filter, record)) {
                    found.extend(readable(self.find(record, &mut room).await)?);
                }
            }
            if is_end {
                return Ok(Stretch { found, next: None, room });
            }
        }
    }

    async fn members(&self, store: StoreId, after: i64) -> Result<Vec<(String, f64)>, StoreError> {
        let made = self.store_keys(store).made;
        let mut ask = cmd("ZRANGE");
        ask.arg(&made).arg(format!("({after}")).arg("+inf").arg("BYSCORE");
        ask.arg("LIMIT").arg(0).arg(READ_AHEAD).arg("WITHSCORES");
        Ok(read(self.run(&made, &ask).await?)?)
    }

    /// `None`: it was announced and never made, or Redis has lost it.
    async fn record(&self, member: &str) -> Result<Option<UploadRecord>, StoreError> {
        let Ok(upload_id) = UploadId::parse(member) else { return Ok(None) };
        let keys = UploadKeys::new(&upload_id);
        let hashes = try_join(self.hash(&keys.state), self.hash(&keys.metadata)).await;
        let (state, metadata) = hashes.map_err(|error| damage_of(upload_id, error.into()))?;
        if state.is_empty() {
            return Ok(None);
        }
        let stored = fields::stored(upload_id, &state, &metadata);
        let damaged = |source| StoreError::Damaged { upload_id, source };
        stored.map(|stored| Some(stored.record)).map_err(damaged)
    }

    async fn find(&self, record: UploadRecord, room: &mut Room) -> Result<Found, StoreError> {
        room.take(text_bytes(&record));
        if record.is_live() {
            return Ok(Found::Live(record.upload_id));
        }
        let sums = match Sums::of_object(&record) {
            Some(sums) => sums,
            None => room.take_chunks(self.sum(record.upload_id).await?),
        };
        Ok(Found::at_rest(record, sums))
    }

    async fn sum(&self, upload_id: UploadId) -> Result<Sums, StoreError> {
        let records = self.chunks(upload_id, &UploadKeys::new(&upload_id)).await;
        let records = records.map_err(|error| damage_of(upload_id, error))?;
        let is_stored = |place| matches!(place, ChunkPlace::Object | ChunkPlace::Discarded);
        let stored = records.values().filter(|chunk| is_stored(chunk.place));
        Ok(Sums {
            chunks: records.len() as u64,
            bytes: records.values().map(|chunk| chunk.bytes).sum(),
            stored_bytes: stored.map(|chunk| chunk.bytes).sum(),
        })
    }
}

/// `None`: it is damaged, which is told, and keeps nobody from the others.
fn readable<T>(read: Result<T, StoreError>) -> Result<Option<T>, StoreError> {
    match read {
        Ok(read) => Ok(Some(read)),
        Err(StoreError::Damaged { upload_id, source }) => {
            damage::met(&upload_id, &source);
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

fn matches(filter: &Filter, record: &UploadRecord) -> bool {
    let spec = &record.spec;
    let stage = match filter.stage {
        Stage::Any => true,
        Stage::Live => record.is_live(),
        Stage::Ended(state) => record.state == state,
    };
    stage
        && spec.drive_id == filter.drive_id
        && spec.tenant == filter.tenant
        && (filter.request_id.is_none() || spec.request_id == filter.request_id)
        && (filter.filename.is_empty() || spec.filename.as_str() == filter.filename)
}

/// Bytes of its texts, about.
fn text_bytes(record: &UploadRecord) -> usize {
    let spec = &record.spec;
    let pairs = spec.metadata.iter().map(|(key, value)| key.len() + value.len());
    spec.filename.as_str().len() + spec.mime_type.len() + pairs.sum::<usize>()
}
