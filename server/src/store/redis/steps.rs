//! Takes steps of an upload: each [`Transition`] as words for `take.lua`.

use data_encoding::HEXLOWER;
use sluice_io::redis::{Cmd, RedisError, cmd, read};
use sluice_proto::ids::{StoreId, UploadId};
use sluice_shard::record::{Object, PartRecord, Transition, UploadRecord};

use super::{
    RedisStores, TAKE, UploadKeys, chunk_text,
    fields::{self, Pairs},
    forget_ms, keys, obeyed, part_text,
};
use crate::store::{StepError, StoreError};

/// Places in the list of a store that one millisecond has: a double counts no further in 2100.
const PLACES_PER_MS: u64 = 1 << 11;

impl RedisStores {
    /// Takes those of `steps` that weren't taken before, all or none. `first_rev` is the `rev` of
    /// the first, and `expire_ms` when the upload expires.
    ///
    /// # Errors
    /// [`StepError`], or what Redis says: then it isn't known whether they were taken.
    pub async fn take_steps(
        &self,
        upload_id: UploadId,
        first_rev: u64,
        wall_ms: u64,
        expire_ms: u64,
        steps: &[Transition],
    ) -> Result<(), StoreError> {
        self.may_write()?;
        if let Some(Transition::Create(record)) = steps.first() {
            self.announce(record).await?;
        }
        let keys = UploadKeys::new(&upload_id);
        let mut call = TAKE.by_name(&keys.all());
        let forget_ms = forget_ms(expire_ms, wall_ms);
        call.arg(self.fence().to_string()).arg(first_rev).arg(wall_ms).arg(forget_ms);
        steps.iter().for_each(|step| add(&mut call, step));
        let answer = self.run_script(&TAKE, &keys, &call).await?;
        if let [verdict, rev] = answer.as_slice()
            && read::<String>(verdict.clone())? == "GAP"
        {
            return Err(StepError::Gap { first_rev, rev: read(rev.clone())? }.into());
        }
        // Nothing but a sweep makes it so.
        let is_over = !obeyed(answer)?.is_empty();
        if is_over {
            // What was recorded is told, whatever becomes of the lease.
            self.name_ended(&upload_id, wall_ms).await?;
        }
        Ok(())
    }

    /// What names an upload elsewhere, before it is there: so it is found whatever happens. Redis
    /// may lose that alone, as it lies in other slots.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn announce(&self, record: &UploadRecord) -> Result<(), StoreError> {
        self.may_write()?;
        let (store, member) = (record.upload_id.store(), record.upload_id.to_string());
        self.exceed(&keys::live(store), &["SADD", &member]).await?;
        let made = self.store_keys(store).made;
        let place = self.next_place(store, record.create_ms).await?;
        Ok(self.exceed(&made, &["ZADD", "NX", &place.to_string(), &member]).await?)
    }

    /// A place in the list of a store behind all others.
    async fn next_place(&self, store: StoreId, create_ms: u64) -> Result<u64, RedisError> {
        let known = self.0.last_made.borrow().get(&store).copied();
        let last = match known {
            Some(last) => last,
            None => self.last_place(store).await?,
        };
        let mut places = self.0.last_made.borrow_mut();
        let last_place = places.entry(store).or_default();
        *last_place = (last.max(*last_place) + 1).max(create_ms * PLACES_PER_MS);
        Ok(*last_place)
    }

    async fn last_place(&self, store: StoreId) -> Result<u64, RedisError> {
        let made = self.store_keys(store).made;
        let mut ask = cmd("ZRANGE");
        ask.arg(&made).arg(0).arg(0).arg("REV").arg("WITHSCORES");
        let last: Vec<(String, f64)> = read(self.run(&made, &ask).await?)?;
        Ok(last.first().map_or(0, |(_, place)| *place as u64))
    }
}

/// Adds a step: its name, how many words follow, and those.
fn add(call: &mut Cmd, step: &Transition) {
    match step {
        Transition::Create(record) => {
            let [state, metadata] = [fields::of_record(record), fields::of_metadata(&record.spec)];
            call.arg("create").arg(2 + 2 * (state.len() + metadata.len()));
            add_pairs(call, &state);
            add_pairs(call, &metadata);
        }
        Transition::PutChunk { number, chunk, total_chunks } => {
            let total = total_chunks.map_or_else(String::new, |total| total.to_string());
            call.arg("put_chunk").arg(3).arg(*number).arg(chunk_text::write(chunk)).arg(total);
        }
        Transition::BindChunk { number } => {
            call.arg("bind_chunk").arg(1).arg(*number);
        }
        Transition::BeginMultipart { multipart_id } => {
            call.arg("begin_multipart").arg(1).arg(multipart_id);
        }
        Transition::PlanPart { part, bytes } => {
            let planned = PartRecord { bytes: *bytes, stored: None };
            call.arg("plan_part").arg(2).arg(*part).arg(part_text::write_part(*part, &planned));
        }
        Transition::StorePart { part, stored } => {
            call.arg("store_part").arg(2).arg(*part).arg(part_text::write_stored(stored));
        }
        Transition::LoseChunk { number } => {
            call.arg("lose_chunk").arg(1).arg(*number);
        }
        Transition::PlaceChunk { number, attempt } => {
            call.arg("move_chunk").arg(3).arg(*number).arg(*attempt).arg(chunk_text::OBJECT);
        }
        Transition::DropChunk { number, attempt } => {
            call.arg("move_chunk").arg(3).arg(*number).arg(*attempt).arg(chunk_text::DISCARDED);
        }
        Transition::FixTotal { total_chunks, sha256 } => {
            call.arg("fix_total").arg(2).arg(*total_chunks).arg(hex(sha256.as_ref()));
        }
        Transition::HashState(state) => {
            call.arg("hash_state").arg(1).arg(state.as_slice());
        }
        Transition::Completing { object } => {
            call.arg("completing").arg(OBJECT_WORDS);
            add_object(call, object.as_ref());
        }
        Transition::Completed(object) => {
            call.arg("completed").arg(OBJECT_WORDS);
            add_object(call, Some(object));
        }
        Transition::End { state, error } => {
            let reason = error.as_ref().map_or("", |error| error.reason.as_str());
            let message = error.as_ref().map_or("", |error| error.message.as_str());
            call.arg("ended").arg(3).arg(fields::state_name(*state)).arg(reason).arg(message);
        }
        Transition::CleanedUp => {
            call.arg("cleaned_up").arg(0);
        }
    }
}

/// Pairs after their number.
pub(super) fn add_pairs(call: &mut Cmd, pairs: &Pairs) {
    call.arg(pairs.len());
    for (field, value) in pairs {
        call.arg(field).arg(value.as_slice());
    }
}

/// How many words an object is.
const OBJECT_WORDS: usize = 5;

fn add_object(call: &mut Cmd, object: Option<&Object>) {
    let crc64nvme = object.and_then(|object| object.crc64nvme);
    let stored = object.and_then(|object| object.stored.as_ref());
    let version_id = stored.and_then(|stored| stored.version_id.as_deref());
    call.arg(object.map_or_else(String::new, |object| object.size_bytes.to_string()))
        .arg(crc64nvme.map_or_else(String::new, |sum| format!("{sum:016x}")))
        .arg(hex(object.and_then(|object| object.sha256.as_ref())))
        .arg(stored.map_or("", |stored| &stored.etag))
        .arg(version_id.unwrap_or_default());
}

fn hex(sum: Option<&[u8; 32]>) -> String {
    sum.map_or_else(String::new, |sum| HEXLOWER.encode(sum))
}
