//! A model S3: multipart uploads, objects, and requests of processes that are gone.

use std::collections::{BTreeMap, BTreeSet};

use sluice_proto::{
    checksum::{Crc32c, Crc64Nvme},
    ids::UploadId,
};
use sluice_shard::{
    Effect,
    config::Objects,
    effect::{PlaceFrom, Slice},
    event::{Failure, Outcome},
    record::{Object, PartRecord, State, StoredAs, UploadRecord, WHOLE},
};

use crate::world::{Action, World};

/// What a process had sent before it died comes at most so much later.
const LATE_MS: u64 = 3_000;

#[derive(Default)]
pub(crate) struct S3 {
    multiparts: BTreeMap<String, Multipart>,
    pub objects: BTreeMap<UploadId, Made>,
    /// Uploads that a request of a process that was gone came for: what it made may be left.
    late: BTreeSet<UploadId>,
    etags: u64,
}

struct Multipart {
    upload: UploadId,
    parts: BTreeMap<u32, Made>,
}

#[derive(Clone)]
pub(crate) struct Made {
    pub data: Vec<u8>,
    stored: StoredAs,
}

/// A request with all that it carries.
pub(crate) enum Request {
    Begin { upload: UploadId },
    Part { multipart_id: String, part: u32, data: Vec<u8> },
    Put { upload: UploadId, data: Vec<u8> },
}

impl S3 {
    /// Etags are new with every request: those of some encrypted objects are.
    fn made(&mut self, data: Vec<u8>) -> Made {
        self.etags += 1;
        let stored = StoredAs { etag: format!("etag{}", self.etags), version_id: None };
        Made { data, stored }
    }

    fn take(&mut self, request: Request) -> Option<Outcome> {
        match request {
            Request::Begin { upload } => {
                self.etags += 1;
                let multipart_id = format!("multipart{}", self.etags);
                let begun = Multipart { upload, parts: BTreeMap::new() };
                self.multiparts.insert(multipart_id.clone(), begun);
                Some(Outcome::Begun { multipart_id })
            }
            Request::Part { multipart_id, part, data } => {
                let made = self.made(data);
                let multipart = self.multiparts.get_mut(&multipart_id)?;
                if let Some(old) = multipart.parts.insert(part, made.clone()) {
                    assert_eq!(old.data, made.data, "part {part} is sent with other bytes");
                }
                Some(Outcome::Stored(made.stored))
            }
            Request::Put { upload, data } => {
                let made = self.made(data);
                self.objects.insert(upload, made.clone());
                Some(Outcome::Stored(made.stored))
            }
        }
    }

    fn complete(&mut self, record: &UploadRecord, parts: &[(u32, PartRecord)]) -> Outcome {
        let multipart_id = record.multipart_id.as_ref().expect("it was begun");
        let Some(multipart) = self.multiparts.get(multipart_id) else {
            let made = self.objects.get(&record.upload_id).expect("it was completed before");
            return Outcome::Stored(made.stored.clone());
        };
        let other = |(number, part): &(u32, PartRecord)| {
            let made = multipart.parts.get(number).expect("what is stored is there");
            let stored = part.stored.as_ref().expect("each is stored");
            (made.stored != *stored).then(|| (*number, Some(made.stored.clone())))
        };
        let differ: Vec<_> = parts.iter().filter_map(other).collect();
        if !differ.is_empty() {
            return Outcome::PartsDiffer(differ);
        }
        let numbers: Vec<u32> = parts.iter().map(|(number, _)| *number).collect();
        assert_eq!(numbers, (1..=parts.len() as u32).collect::<Vec<_>>(), "dense and ascending");
        let multipart = self.multiparts.remove(multipart_id).expect("it is there");
        let data = parts.iter().flat_map(|(number, _)| multipart.parts[number].data.clone());
        let made = self.made(data.collect());
        assert!(self.objects.insert(record.upload_id, made.clone()).is_none(), "made twice");
        Outcome::Stored(made.stored)
    }

    fn unstore(&mut self, upload: UploadId, ids: &[String], object: bool, strays: bool) {
        self.multiparts
            .retain(|id, multipart| !(ids.contains(id) || (strays && multipart.upload == upload)));
        if object {
            self.objects.remove(&upload);
        }
    }

    /// Every multipart upload was completed or aborted, but for what came too late.
    pub(crate) fn assert_empty(&self) {
        let left = self.multiparts.values().find(|left| !self.late.contains(&left.upload));
        assert!(left.is_none(), "a multipart upload of {} is left", left.unwrap().upload);
    }

    /// Uploads that have objects, but for such as came too late.
    pub(crate) fn uploads(&self) -> impl Iterator<Item = &UploadId> {
        self.objects.keys().filter(|upload| !self.late.contains(upload))
    }
}

impl World {
    /// What an effect asks of the store: `None` if it asks for something else.
    fn request(&self, life: u64, effect: &Effect) -> Option<Result<Request, Failure>> {
        let (slices, record) = match effect {
            Effect::BeginMultipart { record, .. } => {
                return Some(Ok(Request::Begin { upload: record.upload_id }));
            }
            Effect::SendPart { record, slices, .. } | Effect::PutObject { record, slices, .. } => {
                (slices, record)
            }
            _ => return None,
        };
        let data = match self.read_slices(life, record.upload_id, slices) {
            Ok(data) => data,
            Err(failure) => return Some(Err(failure)),
        };
        Some(Ok(match effect {
            Effect::SendPart { part, .. } => {
                let multipart_id = record.multipart_id.clone().expect("it was begun");
                Request::Part { multipart_id, part: *part, data }
            }
            _ => Request::Put { upload: record.upload_id, data },
        }))
    }

    pub(crate) fn read_slices(
        &self,
        life: u64,
        upload: UploadId,
        slices: &[Slice],
    ) -> Result<Vec<u8>, Failure> {
        let mut data = Vec::new();
        for slice in slices {
            let range = slice.offset as usize..(slice.offset + slice.bytes) as usize;
            assert!(!range.is_empty());
            match slice.from {
                PlaceFrom::Spool(extent) => {
                    data.extend_from_slice(&self.disk.read_extent(upload.store(), extent)[range]);
                }
                PlaceFrom::Memory(body) => {
                    let node = self.nodes.iter().find(|node| node.life == life);
                    data.extend_from_slice(&node.expect("it is alive").bodies[&body].data[range]);
                }
                PlaceFrom::Redis { number, attempt } => {
                    let body = self.redis.any((upload, number, attempt));
                    let part = body.and_then(|body| body.get(range));
                    data.extend_from_slice(part.ok_or(Failure::Gone { number, attempt })?);
                }
            }
        }
        Ok(data)
    }

    /// Does what the effect asks of the store.
    pub(crate) fn ask_store(&mut self, life: u64, effect: &Effect) -> Result<Outcome, Failure> {
        match effect {
            Effect::CompleteMultipart { record, object, parts, .. } => {
                let state = self.stores.state(&record.upload_id);
                assert_eq!(state, Some(State::Completing), "durable before it is completed");
                self.check_sums(record, object);
                Ok(self.s3.complete(record, parts))
            }
            Effect::Unstore { record, multipart_ids, object, strays, .. } => {
                let state = self.stores.state(&record.upload_id);
                assert!(state.is_some_and(State::ended), "removed too early");
                self.s3.unstore(record.upload_id, multipart_ids, *object, *strays);
                Ok(Outcome::Done)
            }
            effect => {
                let request = self.request(life, effect).expect("it asks the store")?;
                self.check_planned(effect, &request);
                let multipart_gone = || unreachable!("parts go to what is begun");
                Ok(self.s3.take(request).unwrap_or_else(multipart_gone))
            }
        }
    }

    /// What is sent was recorded before.
    fn check_planned(&self, effect: &Effect, request: &Request) {
        match (effect, request) {
            (Effect::SendPart { record, part, bytes, sums, .. }, Request::Part { data, .. }) => {
                assert_eq!(data.len() as u64, *bytes);
                let stored = &self.stores.uploads[&record.upload_id];
                assert_eq!(stored.parts[part].bytes, *bytes, "planned");
                assert_eq!(stored.record.multipart_id, record.multipart_id, "recorded");
                if let Some(sums) = sums {
                    assert_eq!(sums.crc64nvme, Crc64Nvme::of(data));
                    assert_eq!(sums.crc32c, Crc32c::of(data));
                }
            }
            (Effect::PutObject { record, object, .. }, Request::Put { data, .. }) => {
                let stored = &self.stores.uploads[&record.upload_id];
                assert_eq!(stored.parts[&WHOLE].bytes, data.len() as u64, "planned");
                assert_eq!(object.size_bytes, data.len() as u64);
                self.check_sums(record, object);
                let declared = stored.record.spec.sha256;
                assert!(declared.is_none_or(|sum| object.sha256 == Some(sum)), "held against it");
            }
            _ => {}
        }
    }

    fn check_sums(&self, record: &UploadRecord, object: &Object) {
        let stored = &self.stores.uploads[&record.upload_id];
        let bytes = self.stores.ledger.bytes(stored);
        assert_eq!(object.crc64nvme, Some(Crc64Nvme::of(&bytes)));
        let sha256 = record.spec.hash.then(|| crate::file::sum(&bytes));
        assert_eq!(object.sha256, sha256);
    }

    /// A process is gone, and a request of it is on its way.
    pub(crate) fn ask_late(&mut self, life: u64, effect: &Effect) {
        if self.plan.config.objects != Objects::S3 || self.rng.percent(50) {
            return;
        }
        if let Some(Ok(request)) = self.request(life, effect) {
            self.after(0, LATE_MS, Action::LateRequest { request });
        }
    }

    pub(crate) fn take_late(&mut self, request: Request) {
        let upload = match &request {
            Request::Begin { upload } | Request::Put { upload, .. } => Some(*upload),
            Request::Part { .. } => None,
        };
        let is_over = |upload: &UploadId| self.stores.state(upload).is_none_or(State::ended);
        self.s3.late.extend(upload.filter(is_over));
        // Of what has ended otherwise nothing is known here: only a janitor can find it.
        if upload.is_some_and(|upload| self.metadata.completed.contains_key(&upload)) {
            let is_put = matches!(request, Request::Put { .. });
            if is_put {
                return;
            }
        }
        drop(self.s3.take(request));
    }

    /// No request reads what is freed.
    pub(crate) fn assert_no_slice(&self, life: u64, from: PlaceFrom, upload: Option<UploadId>) {
        let reads = |action: &Action| {
            let Action::End { life: of, effect, .. } = action else { return false };
            let (id, slices) = match effect {
                Effect::SendPart { record, slices, .. }
                | Effect::PutObject { record, slices, .. } => (record.upload_id, slices),
                Effect::Hash { upload_id, slices: Some(slices), .. } => (*upload_id, slices),
                _ => return false,
            };
            *of == life
                && upload.is_none_or(|upload| upload == id)
                && slices.iter().any(|slice| slice.from == from)
        };
        assert!(!self.queue.values().any(reads), "a request still reads {from:?}");
    }
}
