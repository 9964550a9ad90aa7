//! Writes again what Redis has lost.

use std::sync::atomic::{AtomicU64, Ordering};

use sluice_io::redis::{cmd, read};
use sluice_proto::ids::UploadId;
use sluice_shard::record::StoredUpload;

use super::{
    RESTORE, RedisStores, UploadKeys, chunk_text,
    fields::{self, Pairs},
    forget_ms, kept_ms, keys, obeyed, part_text,
    steps::add_pairs,
};
use crate::store::StoreError;

/// Chunks, and parts, of one page: more would hold Redis up for long.
const PAGE_ENTRIES: usize = 20_000;

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
        let mut state = fields::of_record(record);
        state.extend(upload.hash_state.iter().map(|hash| ("hash_state".to_owned(), hash.clone())));
        let metadata = fields::of_metadata(&record.spec);
        let pages = pages(numbered(upload));
        let gathered = keys::restored_keys(&record.upload_id, self.fence().epoch, next_restore());
        let all_keys = [&names.all()[..], &gathered.each_ref().map(String::as_str)].concat();
        for (nth, page) in pages.iter().enumerate() {
            let is_last = nth + 1 == pages.len();
            let mut call = RESTORE.by_name(&all_keys);
            call.arg(self.fence().to_string())
                .arg(upload.rev)
                .arg(forget_ms(record.expire_ms, wall_ms));
            call.arg(upload.chunks.len()).arg(upload.lost.len()).arg(upload.parts.len());
            call.arg(u8::from(is_last));
            page.iter().for_each(|pairs| add_pairs(&mut call, pairs));
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

/// Chunks, lost chunks and parts, each after its number.
fn numbered(upload: &StoredUpload) -> [Pairs; 3] {
    let StoredUpload { chunks, lost, parts, .. } = upload;
    let pair = |number: &u32, text: String| (number.to_string(), text.into_bytes());
    [
        chunks.iter().map(|(number, chunk)| pair(number, chunk_text::write(chunk))).collect(),
        lost.iter().map(|(number, lost)| pair(number, part_text::write_lost(lost))).collect(),
        parts
            .iter()
            .map(|(number, part)| pair(number, part_text::write_part(*number, part)))
            .collect(),
    ]
}

/// At least one: the last brings the rest of the upload.
fn pages(kinds: [Pairs; 3]) -> Vec<[Pairs; 3]> {
    let (mut pages, mut room) = (vec![<[Pairs; 3]>::default()], PAGE_ENTRIES);
    for (kind, pairs) in kinds.into_iter().enumerate() {
        for pair in pairs {
            if room == 0 {
                pages.push(Default::default());
                room = PAGE_ENTRIES;
            }
            pages.last_mut().expect("there is one")[kind].push(pair);
            room -= 1;
        }
    }
    pages
}

/// Told apart by it: restores of this process.
fn next_restore() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(0);
    LAST.fetch_add(1, Ordering::Relaxed)
}
