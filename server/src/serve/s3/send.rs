//! Parts and small objects on their way to the store.

use bytes::Bytes;
use md5::{Digest as _, Md5};
use sluice_io::s3::{Checksums, ErrorKind, MultipartSum, Stored};
use sluice_proto::checksum::ChunkSums;
use sluice_shard::{
    effect::{PartSums, Slice},
    record::{Object, StoredAs, UploadRecord},
};

use super::{ObjectStore, Place, ended::Stop, options, slices::Told};
use crate::metrics::Work;

/// What is sent.
pub(super) struct Sending {
    pub(super) slices: Vec<Slice>,
    /// Where they follow from those of chunks.
    pub(super) sums: Option<PartSums>,
}

impl ObjectStore {
    /// Begins a multipart upload; its id.
    pub(super) async fn begin(&self, record: &UploadRecord) -> Result<String, Stop> {
        let place = self.place(record)?;
        let options = options::of(record, None, &self.0.settings);
        let create = || place.bucket.create_multipart(&place.key, self.multipart_sum(), &options);
        let begun = self.ask(&place, Work::Begin, async || create().await).await;
        begun.map_err(|ended| ended.stop(&self.0.settings))
    }

    /// How the store checks a multipart upload.
    pub(super) fn multipart_sum(&self) -> Option<MultipartSum> {
        let abilities = &self.0.abilities;
        if abilities.crc64nvme_whole {
            return Some(MultipartSum::Crc64NvmeWhole);
        }
        abilities.crc32c_parts.then_some(MultipartSum::Crc32cParts)
    }

    pub(super) async fn send_part(
        &self,
        record: &UploadRecord,
        part: u32,
        sending: Sending,
    ) -> Result<StoredAs, Stop> {
        let multipart_id = record.multipart_id.as_deref().expect("begun before a part is sent");
        let place = self.place(record)?;
        let _counted = self.count_part();
        let sums = self.sums(&place, &sending).await?;
        let told = Told::default();
        let send = async || {
            let body = self.0.slices.body(place.upload_id, &sending.slices, &told);
            place.bucket.upload_part(&place.key, multipart_id, part, body, &sums).await
        };
        let sent = self.ask(&place, Work::Send, send).await;
        match sent {
            Ok(part) => Ok(StoredAs { etag: part.etag, version_id: None }),
            Err(ended) => Err(match told.take() {
                Some(error) if ended.kind() == Some(ErrorKind::Body) => error.into(),
                // By the bucket's lifecycle, or by hand: what was sent before is gone with it.
                _ if ended.kind() == Some(ErrorKind::NoSuchUpload) => {
                    Stop::mismatch("the object store has given the multipart upload up")
                }
                _ => ended.stop(&self.0.settings),
            }),
        }
    }

    /// Makes a small object.
    pub(super) async fn put(
        &self,
        record: &UploadRecord,
        object: &Object,
        sending: Sending,
    ) -> Result<StoredAs, Stop> {
        let place = self.place(record)?;
        let sums = self.sums(&place, &sending).await?;
        let mut options = options::of(record, object.sha256, &self.0.settings);
        // A second time would make a second version.
        options.if_none_match = self.0.abilities.if_none_match;
        let told = Told::default();
        let put = async || {
            let body = self.0.slices.body(place.upload_id, &sending.slices, &told);
            place.bucket.put_object(&place.key, body, &sums, &options).await
        };
        let ended = match self.ask(&place, Work::PutObject, put).await {
            Ok(stored) if is_checked(&stored, object) => return Ok(stored_as(stored)),
            Ok(_) => return self.verified(&place, object).await,
            Err(ended) => ended,
        };
        match (told.take(), ended.kind()) {
            (Some(error), Some(ErrorKind::Body)) => Err(error.into()),
            (_, Some(ErrorKind::Conflict)) => self.verified(&place, object).await,
            _ if ended.is_in_doubt() => match self.found(&place, object).await? {
                Some(stored) => Ok(stored),
                None => Err(Stop::UNAVAILABLE),
            },
            _ => Err(ended.stop(&self.0.settings)),
        }
    }

    /// What the store is to check these bytes by. Where nobody knows, it is found out before.
    async fn sums(&self, place: &Place, sending: &Sending) -> Result<Checksums, Stop> {
        let abilities = &self.0.abilities;
        let by_crc = self.multipart_sum();
        let by_md5 = by_crc.is_none() && abilities.md5_parts && abilities.sums_demanded;
        let (sums, md5) = match (sending.sums, by_crc.is_some(), by_md5) {
            (Some(sums), _, false) => (Some(sums), None),
            (None, false, false) => (None, None),
            (_, _, by_md5) => {
                let (sums, md5) = self.sum(place, &sending.slices, by_md5).await?;
                (Some(sums), md5)
            }
        };
        let crc64nvme = sums.map(|sums| sums.crc64nvme);
        let crc32c = sums.map(|sums| sums.crc32c);
        Ok(match by_crc {
            Some(MultipartSum::Crc64NvmeWhole) => Checksums { crc64nvme, ..Checksums::default() },
            Some(MultipartSum::Crc32cParts) => Checksums { crc32c, ..Checksums::default() },
            None => Checksums { md5, ..Checksums::default() },
        })
    }

    async fn sum(
        &self,
        place: &Place,
        slices: &[Slice],
        by_md5: bool,
    ) -> Result<(PartSums, Option<[u8; 16]>), Stop> {
        let mut reader = self.0.slices.read(place.upload_id, slices);
        let (mut sums, mut md5) = (ChunkSums::new(), Md5::new());
        while let Some(piece) = reader.next().await? {
            let piece: Bytes = piece;
            sums.update(&piece);
            if by_md5 {
                md5.update(&piece);
            }
            sluice_io::reactor::task::yield_if_needed().await;
        }
        let sums = PartSums { crc64nvme: sums.crc64nvme(), crc32c: sums.crc32c() };
        Ok((sums, by_md5.then(|| md5.finalize().into())))
    }

    fn count_part(&self) -> PartCount<'_> {
        let count = &self.0.parts_in_flight;
        count.set(count.get() + 1);
        PartCount(self)
    }
}

/// One part that is being sent.
struct PartCount<'a>(&'a ObjectStore);

impl Drop for PartCount<'_> {
    fn drop(&mut self) {
        let count = &self.0.0.parts_in_flight;
        count.set(count.get() - 1);
    }
}

/// Whether the store says itself that it has the right bytes.
fn is_checked(stored: &Stored, object: &Object) -> bool {
    !stored.etag.is_empty()
        && stored.sums.crc64nvme.is_some()
        && stored.sums.crc64nvme == object.crc64nvme
}

fn stored_as(stored: Stored) -> StoredAs {
    StoredAs { etag: stored.etag, version_id: stored.version_id }
}
