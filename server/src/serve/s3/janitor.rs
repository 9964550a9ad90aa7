//! Multipart uploads that nobody goes on with, found and given up.
//!
//! Only those under keys of our form are looked at, and of uploads that a node of this deployment made:
//! this one, or one that shares its Redis, where its uploads are known. Those of open uploads are
//! theirs to end.

use std::time::Duration;

use sluice_io::{
    reactor::timer,
    s3::{Bucket, Multipart},
};
use sluice_proto::ids::UploadId;

use super::{ObjectStore, Target, drives, ended::Ended};
use crate::{
    metrics::Work,
    serve::{clock, stores::Stores},
    store::Loaded,
};

const INTERVAL: Duration = Duration::from_secs(600);

/// Looks through all drives of a node.
pub(in crate::serve) struct Janitor {
    pub(in crate::serve) store: ObjectStore,
    pub(in crate::serve) stores: Stores,
    pub(in crate::serve) node: u64,
    /// An upload with more chunk records isn't read into memory.
    pub(in crate::serve) chunk_records_max: usize,
    /// An upload lives so long.
    pub(in crate::serve) upload_lifetime: Duration,
    /// Whether what is found is given up; or told alone.
    pub(in crate::serve) aborts: bool,
}

impl Janitor {
    /// At start, and every 10 minutes.
    pub(in crate::serve) async fn run(self) {
        loop {
            for target in self.store.0.drives.all() {
                if let Err(Ended { error, .. }) = self.sweep(&target).await {
                    let error = error.map_or_else(|| "it is down".to_owned(), |e| e.to_string());
                    let bucket = &*target.bucket;
                    tracing::warn!(bucket, error, "can't look for multipart uploads of nobody");
                }
            }
            timer::sleep(INTERVAL).await;
        }
    }

    async fn sweep(&self, target: &Target) -> Result<(), Ended> {
        let bucket = self.store.0.client.bucket(&target.bucket);
        let prefix = match &*target.prefix {
            "" => String::new(),
            prefix => format!("{prefix}/"),
        };
        let mut after: Option<Multipart> = None;
        loop {
            let list = || bucket.list_multiparts(&prefix, after.as_ref());
            let listing = async || list().await;
            let page = self.store.ask_of(&bucket, None, Work::ListMultiparts, listing).await?;
            for multipart in &page.multiparts {
                self.judge(&bucket, target, multipart).await?;
            }
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok(()),
            }
        }
    }

    async fn judge(
        &self,
        bucket: &Bucket,
        target: &Target,
        multipart: &Multipart,
    ) -> Result<(), Ended> {
        let Some(upload_id) = drives::upload_of(&target.prefix, &multipart.key) else {
            return Ok(());
        };
        if !self.is_ours(upload_id).await || !self.is_nobodys(upload_id, multipart).await {
            return Ok(());
        }
        self.store.0.metrics.orphan_found();
        let Multipart { key, upload_id: multipart_id, .. } = multipart;
        let becomes = if self.aborts { "is given up" } else { "stays, as s3.orphans is report" };
        tracing::warn!(
            bucket = &*target.bucket,
            key,
            multipart_id,
            "nobody goes on with a multipart upload: it {becomes}"
        );
        match self.aborts {
            true => self.store.abort_orphan(bucket, multipart, upload_id).await,
            false => Ok(()),
        }
    }

    /// Whether what is known here of an upload is all that there is. Who can't tell leaves it alone.
    async fn is_ours(&self, upload_id: UploadId) -> bool {
        let node = upload_id.node();
        node == self.node || self.stores.shares_state_with(node).await.unwrap_or(false)
    }

    /// Whether its upload has ended, or is unknown for longer than any upload lives.
    async fn is_nobodys(&self, upload_id: UploadId, multipart: &Multipart) -> bool {
        match self.stores.load(upload_id, self.chunk_records_max).await {
            Ok(Loaded::Whole(stored)) => {
                let record = &stored.record;
                record.state.ended() && !record.cleanup_pending
            }
            Ok(Loaded::Nothing) => {
                let lifetime_ms = u64::try_from(self.upload_lifetime.as_millis());
                let kept_ms = lifetime_ms.unwrap_or(u64::MAX).saturating_mul(2);
                let begun_ms = multipart.initiated_ms;
                begun_ms.is_some_and(|ms| ms.saturating_add(kept_ms) < clock::wall_ms())
            }
            // It may be an open one.
            Ok(Loaded::Left(_) | Loaded::TooLarge | Loaded::Damaged) | Err(_) => false,
        }
    }
}
