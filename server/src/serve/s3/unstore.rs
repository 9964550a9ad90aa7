//! What the store has of an upload that is to have nothing there, removed.

use sluice_io::s3::{ErrorKind, Multipart};
use sluice_shard::record::UploadRecord;

use super::{
    ObjectStore, Place,
    ended::{Ended, Stop},
};
use crate::metrics::Work;

/// Parts that were on their way can come behind an abort: it is done until none is left, but not for
/// ever.
const ABORTS_MAX: u32 = 8;

/// What has to go.
pub(super) struct Leaving {
    pub(super) multipart_ids: Vec<String>,
    pub(super) object: bool,
    pub(super) strays: bool,
}

impl ObjectStore {
    /// Removes it. What isn't there is none the worse.
    pub(super) async fn unstore(
        &self,
        record: &UploadRecord,
        leaving: Leaving,
    ) -> Result<(), Stop> {
        let place = self.place(record)?;
        let removed = self.remove(&place, leaving).await;
        removed.or_else(|ended| match ended.kind() {
            // Then nothing is left in it.
            Some(ErrorKind::NoSuchBucket) => Ok(()),
            _ => Err(Stop::UNAVAILABLE),
        })
    }

    async fn remove(&self, place: &Place, leaving: Leaving) -> Result<(), Ended> {
        for multipart_id in &leaving.multipart_ids {
            self.abort(place, multipart_id).await?;
        }
        if leaving.object {
            let delete = || place.bucket.delete_object(&place.key);
            let deleted = self.ask(place, Work::Delete, async || delete().await).await;
            match deleted {
                Err(ended) if ended.kind() == Some(ErrorKind::NoSuchKey) => {}
                deleted => deleted?,
            }
        }
        if leaving.strays {
            self.abort_all_of(place).await?;
        }
        Ok(())
    }

    /// Aborts a multipart upload until the store says that it is gone.
    async fn abort(&self, place: &Place, multipart_id: &str) -> Result<(), Ended> {
        let mut tries = 0;
        loop {
            let abort = || place.bucket.abort_multipart(&place.key, multipart_id);
            match self.ask(place, Work::Abort, async || abort().await).await {
                Ok(()) => {}
                Err(ended) if ended.kind() == Some(ErrorKind::NoSuchUpload) => return Ok(()),
                Err(ended) => {
                    self.0.metrics.abort_failed();
                    return Err(ended);
                }
            }
            let list = || place.bucket.list_parts(&place.key, multipart_id, 0);
            match self.ask(place, Work::ListParts, async || list().await).await {
                Err(ended) if ended.kind() == Some(ErrorKind::NoSuchUpload) => return Ok(()),
                Err(ended) => return Err(ended),
                Ok(_) => self.0.metrics.abort_failed(),
            }
            tries += 1;
            if tries == ABORTS_MAX {
                return Err(Ended::down());
            }
            self.0.gate.pause(tries).await;
        }
    }

    /// Aborts every multipart upload under an upload's key.
    async fn abort_all_of(&self, place: &Place) -> Result<(), Ended> {
        let mut after: Option<Multipart> = None;
        loop {
            let list = || place.bucket.list_multiparts(&place.key, after.as_ref());
            let page = self.ask(place, Work::ListMultiparts, async || list().await).await?;
            for multipart in page.multiparts.iter().filter(|found| found.key == place.key) {
                self.abort(place, &multipart.upload_id).await?;
            }
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok(()),
            }
        }
    }

    /// Aborts one that nobody goes on with.
    pub(super) async fn abort_orphan(
        &self,
        bucket: &sluice_io::s3::Bucket,
        multipart: &Multipart,
        upload_id: sluice_proto::ids::UploadId,
    ) -> Result<(), Ended> {
        let place = Place { bucket: bucket.clone(), key: multipart.key.clone(), upload_id };
        self.abort(&place, &multipart.upload_id).await
    }
}
