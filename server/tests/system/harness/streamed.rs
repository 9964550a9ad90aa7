//! An upload on streams of chunks.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use sluice_proto::pb;

use super::calls::{checked_chunk, streamed_chunk};
use super::workload::{Ended, One, Outcome};
use super::{noise, sha256};

impl One {
    /// Opens one stream after the other until every chunk was acked.
    pub(super) async fn streamed(mut self) -> Outcome {
        let sizes: Vec<usize> = (0..self.random.within(4..40))
            .map(|_| self.random.within(1..50_000) as usize)
            .collect();
        let bytes = noise(self.seed, sizes.iter().sum());
        let id = self.initiate(pb::InitiateUploadRequest::default()).await.upload_id;
        let mut chunks = Vec::new();
        let mut offset = 0;
        for (number, size) in sizes.iter().enumerate() {
            let data = &bytes[offset..offset + size];
            offset += size;
            let chunk = checked_chunk(&id, number as i32, data, self.random.next());
            chunks.push(streamed_chunk(chunk));
        }
        let mut acked = BTreeSet::new();
        while acked.len() < chunks.len() {
            self.random.shuffle(&mut chunks);
            self.one_stream(&chunks, &mut acked).await;
            self.assert_received(&id, &acked).await;
        }
        let object = self.complete(&id, Some(sizes.len() as i32)).await;
        assert_eq!(object.sha256, sha256(&bytes)[..], "{id}");
        self.ended(id, Ended::Whole(bytes))
    }

    /// Sends what wasn't acked, until the stream ends or breaks.
    async fn one_stream(&self, chunks: &[pb::UploadChunksRequest], acked: &mut BTreeSet<i32>) {
        let pace = self.pace.0;
        let missing: Vec<_> =
            chunks.iter().filter(|chunk| !acked.contains(&chunk.chunk_number)).cloned().collect();
        let sending = stream::iter(missing).then(move |chunk| async move {
            tokio::time::sleep(pace).await;
            chunk
        });
        if let Ok(mut acks) = self.calls.upload_chunks(sending).await {
            while let Ok(Some(ack)) = acks.message().await {
                if ack.status.is_none() {
                    acked.extend(ack.first_chunk_number..=ack.last_chunk_number);
                }
            }
        }
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
}
