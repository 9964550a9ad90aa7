//! What clients sent and what became durable, and whether the one follows from the other.

use std::collections::BTreeMap;

use sluice_proto::{checksum::Crc64Nvme, ids::UploadId};
use sluice_shard::record::{ChunkRecord, StoredUpload};

/// CRC64NVME and length of a chunk.
pub(crate) type Sum = (u64, u64);

pub(crate) fn sum_of(data: &[u8]) -> Sum {
    (Crc64Nvme::of(data), data.len() as u64)
}

#[derive(Default)]
pub(crate) struct Ledger {
    sent: BTreeMap<(UploadId, u32), BTreeMap<Sum, Sent>>,
    recorded: BTreeMap<(UploadId, u32), Vec<Sum>>,
    /// Acks of chunks that weren't in before.
    new_acks: BTreeMap<(UploadId, u32), usize>,
}

struct Sent {
    data: Vec<u8>,
    forced: bool,
}

impl Ledger {
    /// A client has sent all bytes of a chunk, and said the truth of them.
    pub(crate) fn sent(&mut self, upload: UploadId, number: u32, data: &[u8], forced: bool) {
        let of_chunk = self.sent.entry((upload, number)).or_default();
        let sent =
            of_chunk.entry(sum_of(data)).or_insert_with(|| Sent { data: data.to_vec(), forced });
        sent.forced |= forced;
    }

    /// A chunk became durable.
    pub(crate) fn recorded(
        &mut self,
        upload: UploadId,
        number: u32,
        old: Option<&ChunkRecord>,
        new: &ChunkRecord,
    ) {
        let sum = (new.crc64nvme, new.bytes);
        let sent = self.sent.get(&(upload, number)).and_then(|sent| sent.get(&sum));
        let sent = sent.expect("only what was sent whole is recorded");
        if let Some(old) = old {
            assert!(sent.forced, "only force replaces chunk {number}");
            assert_eq!(new.attempt, old.attempt + 1, "attempts count up");
        }
        self.recorded.entry((upload, number)).or_default().push(sum);
    }

    /// A chunk is acked: it has to be durable.
    pub(crate) fn acked(
        &mut self,
        stored: Option<&StoredUpload>,
        (upload, number): (UploadId, u32),
        sum: Sum,
        duplicate: bool,
    ) {
        let recorded = self.recorded.get(&(upload, number)).map_or(&[][..], Vec::as_slice);
        assert!(recorded.contains(&sum), "chunk {number} of {upload} is acked, not durable");
        // Forgotten since; the shard may still have it in memory.
        let Some(stored) = stored else { return assert!(duplicate, "new, and not in the store") };
        assert!(stored.chunks.contains_key(&number), "chunk {number} is acked, not in the store");
        if !duplicate {
            let acks = self.new_acks.entry((upload, number)).or_default();
            *acks += 1;
            assert!(*acks <= recorded.len(), "more acks than records of chunk {number}");
        }
    }

    /// The bytes of all chunks in the store, in order.
    pub(crate) fn bytes(&self, stored: &StoredUpload) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (&number, chunk) in &stored.chunks {
            let sent = &self.sent[&(stored.record.upload_id, number)];
            bytes.extend_from_slice(&sent[&(chunk.crc64nvme, chunk.bytes)].data);
        }
        bytes
    }
}
