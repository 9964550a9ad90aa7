//! What clients sent and what became durable, and whether the one follows from the other.

use std::collections::BTreeMap;

use sluice_proto::{checksum::Crc64Nvme, ids::UploadId};
use sluice_shard::record::{ChunkPlace, ChunkRecord, Object, StoredUpload};

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
    /// The same by the life that acked, where nothing is recorded.
    passing_acks: BTreeMap<(u64, UploadId, u32), usize>,
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
            match new.place {
                // Each has its bytes under a key of its own.
                ChunkPlace::Redis => assert_ne!(new.attempt, old.attempt),
                _ => assert_eq!(new.attempt, old.attempt + 1, "attempts count up"),
            }
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

    /// A chunk is acked that is recorded nowhere: it has to have been sent. A later life asks for
    /// it again.
    pub(crate) fn acked_in_passing(
        &mut self,
        life: u64,
        (upload, number): (UploadId, u32),
        sum: Sum,
        duplicate: bool,
    ) {
        let sent = self.sent.get(&(upload, number)).expect("only what was sent is acked");
        assert!(sent.contains_key(&sum), "chunk {number} of {upload} is acked, not sent");
        let forced = sent.values().any(|sent| sent.forced);
        if !duplicate && !forced {
            let acks = self.passing_acks.entry((life, upload, number)).or_default();
            *acks += 1;
            assert_eq!(*acks, 1, "chunk {number} is new twice in one life");
        }
    }

    /// An object of which nothing is recorded has to be as long as what was sent, and to have its
    /// sum, as far as it can be known which of it counts.
    pub(crate) fn check_unrecorded(
        &self,
        upload: UploadId,
        total: u32,
        object: &Object,
        summed: bool,
    ) {
        let sent: Vec<_> = (0..total).map(|number| &self.sent[&(upload, number)]).collect();
        let lengths = |sent: &BTreeMap<Sum, Sent>| {
            let lengths = sent.keys().map(|&(_, bytes)| bytes);
            (lengths.clone().min().expect("it was sent"), lengths.max().expect("it was sent"))
        };
        let (least, most) = sent.iter().fold((0, 0), |(least, most), &sent| {
            let (short, long) = lengths(sent);
            (least + short, most + long)
        });
        assert!((least..=most).contains(&object.size_bytes), "{object:?}: not what was sent");
        assert_eq!((object.crc64nvme.is_some(), object.sha256), (summed, None));
        if summed && sent.iter().all(|sent| sent.len() == 1) {
            let data = sent.iter().flat_map(|sent| sent.values()).map(|sent| &sent.data[..]);
            let data: Vec<u8> = data.collect::<Vec<_>>().concat();
            assert_eq!(object.crc64nvme, Some(Crc64Nvme::of(&data)), "the sum of what was sent");
        }
    }

    /// The bytes of all chunks in the store, in order, and of those that must come again.
    pub(crate) fn bytes(&self, stored: &StoredUpload) -> Vec<u8> {
        let chunks = stored.chunks.iter();
        let there = chunks.map(|(&number, chunk)| (number, (chunk.crc64nvme, chunk.bytes)));
        let lost = stored.lost.iter();
        let lost = lost.map(|(&number, chunk)| (number, (chunk.crc64nvme, chunk.bytes)));
        let all: BTreeMap<u32, Sum> = there.chain(lost).collect();
        let mut bytes = Vec::new();
        for (number, sum) in all {
            let sent = &self.sent[&(stored.record.upload_id, number)];
            bytes.extend_from_slice(&sent[&sum].data);
        }
        bytes
    }
}
