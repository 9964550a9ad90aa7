//! Reads uploads.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, HashMap, HashSet},
};

use futures_util::{StreamExt as _, future::try_join3, stream};
use sluice_io::redis::{RedisError, Value, cmd, read};
use sluice_proto::ids::{StoreId, UploadId};
use sluice_shard::record::{ChunkRecord, LostChunk, PartRecord, StoredUpload};

use super::{
    ADOPT, AT_A_TIME, RedisStores, UploadKeys, chunk_text,
    fields::{self, Damaged, Fields},
    kept_ms, keys, obeyed, part_text,
};
use crate::store::{LiveUploads, Loaded, StepError, StoreError, damage};

/// What one step of a scan looks at, about.
const SCAN_COUNT: usize = 1_000;

impl RedisStores {
    /// Makes all live uploads of a store this process's, and reads them.
    ///
    /// # Errors
    /// [`StoreError`]; `Fenced` if a later process has one.
    pub async fn load_open(&self, store: StoreId, wall_ms: u64) -> Result<LiveUploads, StoreError> {
        let live = self.live(store).await?;
        let adopting = live.into_iter().map(async |upload_id| {
            self.adopt(upload_id, wall_ms).await.map_err(|error| damage_of(upload_id, error))
        });
        let mut adopted = stream::iter(adopting).buffer_unordered(AT_A_TIME);
        let mut found = LiveUploads::default();
        while let Some(upload) = adopted.next().await {
            match upload {
                Ok(upload) => found.uploads.extend(upload),
                Err(StoreError::Damaged { upload_id, source }) => {
                    damage::met(&upload_id, &source);
                    found.damaged.push(upload_id);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(found)
    }

    /// One upload, if it has at most `chunks_max` chunks.
    ///
    /// # Errors
    /// [`StoreError`]; `Fenced` if it is open and a later process has it.
    pub async fn load_one(
        &self,
        upload_id: UploadId,
        chunks_max: usize,
    ) -> Result<Loaded, StoreError> {
        let loaded = self.try_load_one(upload_id, chunks_max).await;
        match loaded.map_err(|error| damage_of(upload_id, error)) {
            Err(StoreError::Damaged { upload_id, source }) => {
                damage::met(&upload_id, &source);
                Ok(Loaded::Damaged)
            }
            ended => ended,
        }
    }

    async fn try_load_one(
        &self,
        upload_id: UploadId,
        chunks_max: usize,
    ) -> Result<Loaded, StoreError> {
        let keys = UploadKeys::new(&upload_id);
        let mut count = cmd("HLEN");
        count.arg(&keys.chunks);
        let count = async { self.run(&keys.state, &count).await };
        let hashes = try_join3(self.hash(&keys.state), self.hash(&keys.metadata), count);
        let (state, metadata, chunks) = hashes.await?;
        if state.is_empty() {
            return Ok(Loaded::Nothing);
        }
        if read::<usize>(chunks)? > chunks_max {
            return Ok(Loaded::TooLarge);
        }
        let upload = self.with_chunks(upload_id, &keys, &state, &metadata).await?;
        if !upload.record.is_live() {
            return Ok(Loaded::Whole(Box::new(upload)));
        }
        let epoch = state.read("fence", |fence| fence.split(':').nth(1)?.parse::<u64>().ok());
        let epoch = epoch.map_err(|source| StoreError::Damaged { upload_id, source })?;
        match epoch.cmp(&self.fence().epoch) {
            Ordering::Equal => Ok(Loaded::Whole(Box::new(upload))),
            Ordering::Greater => Err(StepError::Fenced.into()),
            Ordering::Less => {
                tracing::warn!(%upload_id, "redis had lost that an upload is live: it is over");
                Ok(Loaded::Left(Box::new(upload)))
            }
        }
    }

    /// `None`: it was announced and never made, or is over.
    async fn adopt(
        &self,
        upload_id: UploadId,
        wall_ms: u64,
    ) -> Result<Option<StoredUpload>, StoreError> {
        let keys = UploadKeys::new(&upload_id);
        let mut call = ADOPT.by_name(&keys.all());
        call.arg(self.fence().to_string()).arg(wall_ms + kept_ms(0));
        let answer = self.run_script(&ADOPT, &keys, &call).await?;
        if let [verdict] = answer.as_slice() {
            return match read::<String>(verdict.clone())?.as_str() {
                "NOTHING" => self.unname(&upload_id).await.map(|()| None).map_err(Into::into),
                _ => Err(StoreError::Damaged { upload_id, source: Damaged("fence".to_owned()) }),
            };
        }
        let [state, metadata]: [Value; 2] = obeyed(answer)?
            .try_into()
            .map_err(|_| RedisError::Answer("of adopt.lua".to_owned()))?;
        let (state, metadata) = (Fields::new(read(state)?), Fields::new(read(metadata)?));
        let upload = self.with_chunks(upload_id, &keys, &state, &metadata).await?;
        if !upload.record.is_live() {
            self.name_ended(&upload_id, upload.record.update_ms).await?;
            return Ok(None);
        }
        Ok(Some(upload))
    }

    /// An upload that was announced and never made is nowhere any more. Made after this by a command
    /// of a process that is gone, it is nobody's, and goes by its time to live.
    async fn unname(&self, upload_id: &UploadId) -> Result<(), RedisError> {
        let (store, member) = (upload_id.store(), upload_id.to_string());
        let lists = [("SREM", keys::live(store)), ("ZREM", self.store_keys(store).made)];
        for (command, key) in lists {
            let mut remove = cmd(command);
            remove.arg(&key).arg(&member);
            self.run(&key, &remove).await?;
        }
        Ok(())
    }

    /// Members of the live set that are of this node and store.
    async fn live(&self, store: StoreId) -> Result<HashSet<UploadId>, StoreError> {
        let (key, node) = (keys::live(store), self.fence().node);
        let mut found = HashSet::new();
        self.scan("SSCAN", &key, |members: Vec<String>| {
            let ids = members.iter().filter_map(|member| UploadId::parse(member).ok());
            found.extend(ids.filter(|id| id.node() == node && id.store() == store));
            Ok(())
        })
        .await?;
        Ok(found)
    }

    async fn with_chunks(
        &self,
        upload_id: UploadId,
        keys: &UploadKeys,
        state: &Fields,
        metadata: &Fields,
    ) -> Result<StoredUpload, StoreError> {
        let damaged = |source| StoreError::Damaged { upload_id, source };
        let mut upload = fields::stored(upload_id, state, metadata).map_err(damaged)?;
        let (lost, parts) = (self.lost(upload_id, keys), self.parts(upload_id, keys));
        let read = try_join3(self.chunks(upload_id, keys), lost, parts).await?;
        (upload.chunks, upload.lost, upload.parts) = read;
        Ok(upload)
    }

    /// All chunk records of an upload.
    pub(super) async fn chunks(
        &self,
        upload_id: UploadId,
        keys: &UploadKeys,
    ) -> Result<BTreeMap<u32, ChunkRecord>, StoreError> {
        self.numbered(upload_id, "chunks", &keys.chunks, chunk_text::read).await
    }

    async fn lost(
        &self,
        upload_id: UploadId,
        keys: &UploadKeys,
    ) -> Result<BTreeMap<u32, LostChunk>, StoreError> {
        self.numbered(upload_id, "lost", &keys.lost, part_text::read_lost).await
    }

    /// A hash whose fields are numbers of chunks.
    async fn numbered<T>(
        &self,
        upload_id: UploadId,
        name: &str,
        key: &str,
        read: impl Fn(&str) -> Option<T>,
    ) -> Result<BTreeMap<u32, T>, StoreError> {
        let mut all = BTreeMap::new();
        self.scan("HSCAN", key, |pairs: HashMap<Vec<u8>, Vec<u8>>| {
            for (number, text) in pairs {
                let [number, text] = [&number, &text].map(|word| String::from_utf8_lossy(word));
                let entry = number.parse().ok().zip(read(&text));
                let source = || Damaged(format!("{name} {number}"));
                all.extend([
                    entry.ok_or_else(|| StoreError::Damaged { upload_id, source: source() })?
                ]);
            }
            Ok(())
        })
        .await?;
        Ok(all)
    }

    async fn parts(
        &self,
        upload_id: UploadId,
        keys: &UploadKeys,
    ) -> Result<BTreeMap<u32, PartRecord>, StoreError> {
        let mut parts = BTreeMap::new();
        self.scan("ZSCAN", &keys.etags, |members: Vec<(Vec<u8>, f64)>| {
            for (text, _) in members {
                let text = String::from_utf8_lossy(&text);
                let source = || Damaged(format!("etags {text}"));
                let part = part_text::read_part(&text);
                parts.extend([
                    part.ok_or_else(|| StoreError::Damaged { upload_id, source: source() })?
                ]);
            }
            Ok(())
        })
        .await?;
        Ok(parts)
    }

    /// Hands all of a large key over, in steps. What is changed meanwhile may come twice, and all does
    /// where another server has answered: a cursor is good for the one that gave it.
    async fn scan<T: sluice_io::redis::FromRedisValue>(
        &self,
        command: &str,
        key: &str,
        mut take: impl FnMut(T) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let (mut cursor, mut connects) = ("0".to_owned(), self.client().connects());
        loop {
            let mut scan = cmd(command);
            scan.arg(key).arg(&cursor).arg("COUNT").arg(SCAN_COUNT);
            let (next, some): (String, T) = read(self.run(key, &scan).await?)?;
            take(some)?;
            let now = self.client().connects();
            cursor = match (now == connects, next.as_str()) {
                (true, "0") => return Ok(()),
                (true, _) => next,
                (false, _) => "0".to_owned(),
            };
            connects = now;
        }
    }

    pub(super) async fn hash(&self, key: &str) -> Result<Fields, RedisError> {
        let mut ask = cmd("HGETALL");
        ask.arg(key);
        Ok(Fields::new(read(self.run(key, &ask).await?)?))
    }
}

/// What Redis says of a key that holds something else than was ever written there.
pub(super) fn damage_of(upload_id: UploadId, error: StoreError) -> StoreError {
    match error {
        StoreError::Redis(RedisError::Server { code, .. }) if code == "WRONGTYPE" => {
            StoreError::Damaged {
                upload_id,
                source: Damaged("state, metadata, chunks, lost or etags".into()),
            }
        }
        error => error,
    }
}
