//! The end of an upload in the store: its object is made, and looked at.

use sluice_io::s3::{ErrorKind, MultipartSum, ObjectHead, Part, Whole};
use sluice_proto::error::Reason;
use sluice_shard::{
    event::Outcome,
    record::{EndError, Object, PartRecord, StoredAs, UploadRecord},
};

use super::{
    ObjectStore, Place,
    ended::{Ended, Stop},
    options::UPLOAD_ID,
};
use crate::metrics::Work;

impl ObjectStore {
    /// Makes the object of its parts. Where it was made before, or nobody knows, it is looked for.
    pub(super) async fn complete(
        &self,
        record: &UploadRecord,
        object: &Object,
        parts: &[(u32, PartRecord)],
    ) -> Result<Outcome, Stop> {
        let multipart_id = record.multipart_id.as_deref().expect("begun before it is completed");
        let place = self.place(record)?;
        let mut named: Vec<Part> = parts.iter().map(named).collect();
        if self.multipart_sum() == Some(MultipartSum::Crc32cParts) {
            // Then each has to be named with its sum, which only the store has kept.
            match self.parts_there(&place, multipart_id).await {
                Ok(there) => take_sums(&mut named, &there),
                Err(ended) => return self.settle(&place, object, multipart_id, parts, ended).await,
            }
        }
        let by_crc64 = self.multipart_sum() == Some(MultipartSum::Crc64NvmeWhole);
        let whole = Whole {
            crc64nvme: object.crc64nvme.filter(|_| by_crc64),
            bytes: by_crc64.then_some(object.size_bytes),
            if_none_match: false,
        };
        let complete = || place.bucket.complete_multipart(&place.key, multipart_id, &named, &whole);
        match self.ask(&place, Work::Complete, async || complete().await).await {
            Ok(_) => self.verified(&place, object).await.map(Outcome::Stored),
            Err(ended) => self.settle(&place, object, multipart_id, parts, ended).await,
        }
    }

    /// What became of it after an answer that leaves that open.
    async fn settle(
        &self,
        place: &Place,
        object: &Object,
        multipart_id: &str,
        parts: &[(u32, PartRecord)],
        ended: Ended,
    ) -> Result<Outcome, Stop> {
        match ended.kind() {
            Some(ErrorKind::InvalidPart) => {
                return match self.parts_there(place, multipart_id).await {
                    Ok(there) => differing(parts, &there),
                    Err(ended) if ended.kind() == Some(ErrorKind::NoSuchUpload) => {
                        self.made_or_lost(place, object).await
                    }
                    Err(ended) => Err(ended.stop(&self.0.settings)),
                };
            }
            Some(ErrorKind::NoSuchUpload) => return self.made_or_lost(place, object).await,
            Some(ErrorKind::Conflict) => {}
            _ if ended.is_in_doubt() => {}
            _ => return Err(ended.stop(&self.0.settings)),
        }
        if let Some(stored) = self.found(place, object).await? {
            return Ok(Outcome::Stored(stored));
        }
        // Some say only to this that it is over (Ceph: an internal error to Complete, for ever).
        match self.parts_there(place, multipart_id).await {
            Err(ended) if ended.kind() == Some(ErrorKind::NoSuchUpload) => {
                self.made_or_lost(place, object).await
            }
            _ => Err(Stop::UNAVAILABLE),
        }
    }

    /// The multipart upload is over: either it made the object, or somebody gave it up.
    async fn made_or_lost(&self, place: &Place, object: &Object) -> Result<Outcome, Stop> {
        match self.found(place, object).await? {
            Some(stored) => Ok(Outcome::Stored(stored)),
            None => Err(Stop::mismatch(
                "the object store has neither the parts nor the object any more",
            )),
        }
    }

    /// The object that was just made, looked at.
    pub(super) async fn verified(&self, place: &Place, object: &Object) -> Result<StoredAs, Stop> {
        // What was made and isn't seen yet is looked for again.
        self.found(place, object).await?.ok_or(Stop::UNAVAILABLE)
    }

    /// The upload's object, if there is any. Another's, or another one, is refused.
    pub(super) async fn found(
        &self,
        place: &Place,
        object: &Object,
    ) -> Result<Option<StoredAs>, Stop> {
        let head = || place.bucket.head_object(&place.key);
        let head = match self.ask(place, Work::Head, async || head().await).await {
            Ok(head) => head,
            Err(ended) if ended.kind() == Some(ErrorKind::NoSuchKey) => return Ok(None),
            Err(ended) => return Err(ended.stop(&self.0.settings)),
        };
        match difference(&head, place, object) {
            None => Ok(Some(StoredAs { etag: head.etag, version_id: head.version_id })),
            Some(difference) => Err(Stop::mismatch(format!("the object store has {difference}"))),
        }
    }

    /// All parts of a multipart upload.
    async fn parts_there(&self, place: &Place, multipart_id: &str) -> Result<Vec<Part>, Ended> {
        let mut parts: Vec<Part> = Vec::new();
        loop {
            let after = parts.last().map_or(0, |part| part.number);
            let list = || place.bucket.list_parts(&place.key, multipart_id, after);
            let page = self.ask(place, Work::ListParts, async || list().await).await?;
            parts.extend(page.parts);
            if page.is_last {
                return Ok(parts);
            }
        }
    }
}

fn named((number, record): &(u32, PartRecord)) -> Part {
    let stored = record.stored.as_ref().expect("all parts are stored");
    Part {
        number: *number,
        etag: stored.etag.clone(),
        bytes: record.bytes,
        crc32c: None,
        crc64nvme: None,
    }
}

fn take_sums(named: &mut [Part], there: &[Part]) {
    for part in named {
        let same = there.binary_search_by_key(&part.number, |other| other.number);
        if let Ok(at) = same {
            part.crc32c = there[at].crc32c;
        }
    }
}

/// Parts that the store has otherwise than it answered.
fn differing(parts: &[(u32, PartRecord)], there: &[Part]) -> Result<Outcome, Stop> {
    let mut differ = Vec::new();
    for (number, record) in parts {
        let same = there.binary_search_by_key(number, |part| part.number);
        let has = same.ok().map(|at| &there[at]).filter(|part| part.bytes == record.bytes);
        let etag = record.stored.as_ref().map(|stored| &stored.etag);
        if has.map(|part| &part.etag) != etag {
            let named = |part: &Part| StoredAs { etag: part.etag.clone(), version_id: None };
            differ.push((*number, has.map(named)));
        }
    }
    // It says itself that all is as it was told: that may pass.
    if differ.is_empty() { Err(Stop::UNAVAILABLE) } else { Ok(Outcome::PartsDiffer(differ)) }
}

/// What isn't as it should be of an object under the upload's key.
fn difference(head: &ObjectHead, place: &Place, object: &Object) -> Option<String> {
    let owner = head.metadata.iter().find(|(name, _)| name == UPLOAD_ID).map(|(_, id)| id);
    if owner != Some(&place.upload_id.to_string()) {
        return Some(format!("an object of somebody else under {}", place.key));
    }
    if head.bytes != object.size_bytes {
        return Some(format!("{} bytes of {}", head.bytes, object.size_bytes));
    }
    match (head.sums.crc64nvme, object.crc64nvme) {
        (Some(there), Some(sum)) if there != sum => {
            Some(format!("bytes with crc64nvme {there:016x}, and {sum:016x} were sent"))
        }
        _ => None,
    }
}

/// An end that the store forces on an upload.
pub(super) fn refused(error: EndError) -> Outcome {
    debug_assert!(matches!(error.reason, Reason::ObjectMismatch | Reason::StoreRefused));
    Outcome::Refused(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(bytes: u64, etag: &str) -> PartRecord {
        let stored = StoredAs { etag: etag.to_owned(), version_id: None };
        PartRecord { bytes, stored: Some(stored) }
    }

    fn part(number: u32, bytes: u64, etag: &str) -> Part {
        Part { number, bytes, etag: etag.to_owned(), crc32c: None, crc64nvme: None }
    }

    #[test]
    fn only_parts_that_are_otherwise_are_told() {
        let parts = [(1, record(5, "a")), (2, record(5, "b")), (3, record(4, "c"))];
        let there = [part(1, 5, "a"), part(2, 5, "x"), part(3, 3, "c")];
        let Ok(Outcome::PartsDiffer(differ)) = differing(&parts, &there) else { panic!() };
        assert_eq!(differ.len(), 2);
        assert_eq!(differ[0].1.as_ref().map(|stored| stored.etag.as_str()), Some("x"));
        assert_eq!(differ[1], (3, None));
        let same = [part(1, 5, "a"), part(2, 5, "b"), part(3, 4, "c")];
        assert!(matches!(differing(&parts, &same), Err(Stop::Failed(_))));
    }
}
