//! What an upload is called, how far it is, and what it became.

use std::collections::HashMap;

use crate::client::Pace;
use crate::limits::CHUNKS_PER_UPLOAD_MAX;
use crate::pb;

/// Bytes of a chunk of any file that isn't huge.
const CHUNK_BYTES_DEFAULT: u64 = 8 << 20;
/// Chunks of huge files are a multiple of this.
const CHUNK_BYTES_STEP: u64 = 1 << 20;

/// What an upload is called, and how it is sent.
///
/// The server refuses with FIELD_INVALID, and names the field, what breaks one of the limits of
/// [`limits`](crate::limits).
#[derive(Debug, Clone, Default)]
pub struct UploadOptions {
    /// The drive that it lands in. Empty: `default`.
    pub drive_id: String,
    /// The node that it becomes, unique in its drive. Empty: the server chooses.
    pub node_id: String,
    /// The client's name for it: at most 1,024 bytes, no control characters. It never becomes a
    /// path or key, and several nodes may have the same.
    pub filename: String,
    /// Media type, at most 255 bytes; may be empty.
    pub mime_type: String,
    /// The client's own pairs: at most 64, and 16 KiB together.
    pub metadata: HashMap<String, String>,
    /// At most 128 bytes of visible ASCII, chosen by the client. An upload with the same one and
    /// the same options goes on where the last one stopped, also from another process. `None`: a
    /// random one, so this is a new upload.
    pub request_id: Option<String>,
    /// Refuse with NAME_EXISTS if the drive has this filename.
    pub if_not_exists: bool,
    /// What an acknowledged chunk must survive; unspecified: the most that the server gives.
    pub ack_level: pb::AckLevel,
    /// Bytes of a chunk, all but the last. `None`: 8 MiB, or as much more as it takes to have no
    /// more than 1,000,000 chunks. A resume must name the same.
    pub chunk_bytes: Option<u64>,
    /// Chunks held and in flight at most. `None`: what the server recommends.
    pub parallel: Option<usize>,
    /// A bound that this upload shares with others.
    pub pace: Option<Pace>,
    /// SHA-256 that the whole must have, if it is known: the server checks it before it stores.
    pub sha256: Option<[u8; 32]>,
}

impl UploadOptions {
    /// Bytes of each chunk but the last.
    pub(super) fn chunk_bytes_for(&self, size_bytes: Option<u64>) -> u64 {
        let needed = size_bytes.unwrap_or(0).div_ceil(CHUNKS_PER_UPLOAD_MAX.into());
        let fitting = needed.next_multiple_of(CHUNK_BYTES_STEP).max(CHUNK_BYTES_DEFAULT);
        self.chunk_bytes.unwrap_or(fitting).max(1)
    }
}

/// How far an upload is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Progress {
    /// The server's id of it.
    pub upload_id: String,
    /// Bytes acknowledged, those of an earlier try included.
    pub acked_bytes: u64,
    /// Bytes that an earlier try had sent.
    pub resumed_bytes: u64,
    /// Bytes of the whole, if known.
    pub size_bytes: Option<u64>,
    /// Chunks in flight now.
    pub in_flight: usize,
    /// Calls that had to be sent again until now.
    pub retries: u64,
}

/// What an upload became.
#[derive(Debug, Clone, PartialEq)]
pub struct UploadReport {
    /// The server's id of it.
    pub upload_id: String,
    /// The node that it is.
    pub node_id: String,
    /// Where its bytes are.
    pub object: pb::ObjectInfo,
    /// Bytes of the whole.
    pub size_bytes: u64,
    /// CRC-64/NVME of what was read from the source; equal to the stored object's where the server
    /// has one.
    pub crc64nvme: u64,
    /// Bytes that an earlier try had sent.
    pub resumed_bytes: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_size_needs_more_chunks_than_an_upload_has() {
        let options = UploadOptions::default();
        assert_eq!(options.chunk_bytes_for(None), 8 << 20);
        for size_bytes in [0, 1, 8_000_000 << 20, (8_000_000 << 20) + 1, 100 << 40] {
            let chunk_bytes = options.chunk_bytes_for(Some(size_bytes));
            assert!(size_bytes.div_ceil(chunk_bytes) <= CHUNKS_PER_UPLOAD_MAX.into());
            assert!(chunk_bytes.is_multiple_of(CHUNK_BYTES_STEP));
        }
        let own = UploadOptions { chunk_bytes: Some(3), ..Default::default() };
        assert_eq!(own.chunk_bytes_for(Some(1 << 40)), 3);
    }
}
