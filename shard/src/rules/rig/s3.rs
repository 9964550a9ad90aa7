//! The rig's object store.

use std::collections::BTreeMap;

use sluice_proto::ids::UploadId;

use super::Rig;
use crate::{
    Effect,
    effect::{PlaceFrom, Slice},
    event::Outcome,
    record::{EndError, StoredAs},
};

#[derive(Default)]
pub(in crate::rules) struct S3 {
    /// Parts of multipart uploads that are open, by number.
    pub multiparts: BTreeMap<String, BTreeMap<u32, (Vec<u8>, StoredAs)>>,
    pub objects: BTreeMap<UploadId, Vec<u8>>,
    /// What it says to all that it is asked, if it refuses.
    pub refuses: Option<EndError>,
    asked: u32,
}

impl S3 {
    fn answer(&mut self) -> StoredAs {
        self.asked += 1;
        StoredAs { etag: format!("etag{}", self.asked), version_id: None }
    }
}

impl Rig {
    /// What the store answers, if it is the store that is asked.
    pub(super) fn ask_store(&mut self, effect: &Effect) -> Option<Outcome> {
        let outcome = match effect {
            Effect::BeginMultipart { .. } => {
                let multipart_id = self.s3.answer().etag;
                self.s3.multiparts.insert(multipart_id.clone(), BTreeMap::new());
                Outcome::Begun { multipart_id }
            }
            Effect::SendPart { record, part, bytes, slices, .. } => {
                let data = self.read(record.upload_id, slices);
                assert_eq!(data.len() as u64, *bytes);
                assert_eq!(self.stored[&record.upload_id].parts[part].bytes, *bytes, "recorded");
                let stored = self.s3.answer();
                let id = record.multipart_id.as_ref().expect("it was begun");
                let parts = self.s3.multiparts.get_mut(id).expect("it is open");
                parts.insert(*part, (data, stored.clone()));
                Outcome::Stored(stored)
            }
            Effect::PutObject { record, slices, .. } => {
                let data = self.read(record.upload_id, slices);
                self.s3.objects.insert(record.upload_id, data);
                Outcome::Stored(self.s3.answer())
            }
            Effect::CompleteMultipart { record, .. } => {
                let id = record.multipart_id.as_ref().expect("it was begun");
                let parts = self.s3.multiparts.remove(id).expect("it is open");
                let data = parts.into_values().flat_map(|(data, _)| data).collect();
                self.s3.objects.insert(record.upload_id, data);
                Outcome::Stored(self.s3.answer())
            }
            Effect::Unstore { record, multipart_ids, object, .. } => {
                self.s3.multiparts.retain(|id, _| !multipart_ids.contains(id));
                if *object {
                    self.s3.objects.remove(&record.upload_id);
                }
                return Some(Outcome::Done);
            }
            _ => return None,
        };
        Some(self.s3.refuses.clone().map_or(outcome, Outcome::Refused))
    }

    fn read(&self, upload_id: UploadId, slices: &[Slice]) -> Vec<u8> {
        let slice = |slice: &Slice| {
            let data = match slice.from {
                PlaceFrom::Spool(extent) => &self.spool[&(extent.segment, extent.offset)],
                PlaceFrom::Redis { number, attempt } => {
                    &self.redis.bodies[&(upload_id, number, attempt)]
                }
                PlaceFrom::Memory(body) => &self.bodies[&body].2,
            };
            data[slice.offset as usize..(slice.offset + slice.bytes) as usize].to_vec()
        };
        slices.iter().flat_map(slice).collect()
    }

    pub(super) fn hash_slices(
        &self,
        upload_id: UploadId,
        mut state: Box<sluice_proto::checksum::Sha256State>,
        slices: &[Slice],
    ) -> Outcome {
        state.update(&self.read(upload_id, slices));
        Outcome::Hashed(state)
    }
}
