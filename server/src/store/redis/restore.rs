//! Writes again what Redis has lost.

use std::sync::atomic::{AtomicU64, Ordering};

use sluice_io::redis::{cmd, read};
use sluice_proto::ids::UploadId;
use sluice_shard::record::StoredUpload;

use super::{
    RESTORE, RedisStores, UploadKeys, chunk_text,
    fields::{self, Pairs},
    forget_ms, kept_ms, keys, obeyed,
    steps::add_pairs,
};
use crate::store::StoreError;

/// Chunks of one page: more would hold Redis up for long.
const PAGE_CHUNKS: usize = 20_000;

impl RedisStores {
    /// Whether Redis has less of an upload than its first `rev` steps.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn lacks(&self, upload_id: &UploadId, rev: u64) -> Result<bool, StoreError> {
        let keys = UploadKeys::new(upload_id);
        let mut ask = cmd("HGET");
        ask.arg(&keys.state).arg("rev");
        let held: Option<u64> = read(self.run(&keys.state, &ask).await?)?;
        Ok(held.unwrap_or(0) < rev)
    }

    /// Puts off when Redis may forget an upload.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn keep(&self, upload_id: &UploadId, wall_ms: u64) -> Result<(), StoreError> {
        self.may_write()?;
        let keys = UploadKeys::new(upload_id);
        for key in keys.all() {
            let mut put_off = cmd("PEXPIREAT");
            put_off.arg(key).arg(wall_ms + kept_ms(0)).arg("GT");
            self.run(key, &put_off).await?;
        }
        Ok(())
    }

    /// Writes an upload as its owner knows it, unless Redis has all of it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn restore(&self, upload: &StoredUpload, wall_ms: u64) -> Result<(), StoreError> {
        let record = &upload.record;
        self.announce(record).await?;
        let names = UploadKeys::new(&record.upload_id);
        let chunks: Pairs = upload
            .chunks
            .iter()
            .map(|(number, chunk)| (number.to_string(), chunk_text::write(chunk).into_bytes()))
            .collect();
        let mut state = fields::of_record(record);
        state.extend(upload.hash_state.iter().map(|hash| ("hash_state".to_owned(), hash.clone())));
        let metadata = fields::of_metadata(&record.spec);
        let pages: Vec<Pairs> = match chunks.chunks(PAGE_CHUNKS) {
            pages if pages.len() == 0 => vec![Pairs::new()],
            pages => pages.map(<[_]>::to_vec).collect(),
        };
        let [state_key, chunks_key, metadata_key] = names.all();
        let gathered = keys::restored_key(&record.upload_id, self.fence().epoch, next_restore());
        for (nth, page) in pages.iter().enumerate() {
            let is_last = nth + 1 == pages.len();
            let mut call = RESTORE.by_name(&[state_key, chunks_key, metadata_key, &gathered]);
            call.arg(self.fence().to_string())
                .arg(upload.rev)
                .arg(forget_ms(record.expire_ms, wall_ms));
            call.arg(upload.chunks.len()).arg(u8::from(is_last));
            add_pairs(&mut call, page);
            if is_last {
                add_pairs(&mut call, &state);
                add_pairs(&mut call, &metadata);
            }
            self.may_write()?;
            obeyed(self.run_script(&RESTORE, &names, &call).await?)?;
        }
        // It was announced again, and nobody else would take that back.
        if !record.is_live() {
            self.settle(&record.upload_id, record.update_ms).await?;
        }
        Ok(())
    }
}

/// Told apart by it: restores of this process.
fn next_restore() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(0);
    LAST.fetch_add(1, Ordering::Relaxed)
}
