//! Every limit that a peer can run into, in one place.
//!
//! These are the contract's outer bounds. What a server takes at a given time
//! may be less, and is told in `UploadLimits`.

/// Highest chunk number.
pub const CHUNK_NUMBER_MAX: u32 = 999_999;
/// Most chunks of one upload.
pub const CHUNKS_PER_UPLOAD_MAX: u32 = 1_000_000;
/// Bytes of one chunk that a server takes at most unless it is set otherwise.
pub const CHUNK_BYTES_MAX_DEFAULT: u64 = 128 << 20;

/// Bytes of a chunk message beside its data: ids, checksums, unknown fields.
pub const CHUNK_HEADER_BYTES_MAX: usize = 16 << 10;
/// Bytes of an `InitiateUploadRequest` beside its payload. Less than HTTP/2's first window, which
/// it has to fit into.
pub const INITIATE_HEADER_BYTES_MAX: usize = 48 << 10;
/// Bytes of any other request message; fits into HTTP/2's first window too.
pub const CONTROL_MESSAGE_BYTES_MAX: usize = 48 << 10;

/// Bytes of an upload id that is looked at at all.
pub const UPLOAD_ID_BYTES_MAX: usize = 128;
/// Bytes of a node id.
pub const NODE_ID_BYTES_MAX: usize = 128;
/// Bytes of a drive id.
pub const DRIVE_ID_BYTES_MAX: usize = 128;
/// Bytes of a request id.
pub const REQUEST_ID_BYTES_MAX: usize = 128;
/// Bytes of a filename.
pub const FILENAME_BYTES_MAX: usize = 1024;
/// Bytes of a media type.
pub const MIME_TYPE_BYTES_MAX: usize = 255;
/// Bytes of the reason given to AbortUpload.
pub const ABORT_REASON_BYTES_MAX: usize = 1024;

/// Bytes of a drive's bucket.
pub const BUCKET_BYTES_MAX: usize = 255;
/// Bytes of a drive's prefix: with node and upload id a key stays below S3's 1,024 bytes.
pub const PREFIX_BYTES_MAX: usize = 512;
/// Bytes of the name of a drive's credentials.
pub const CREDENTIALS_REF_BYTES_MAX: usize = 128;

/// Pairs in an upload's metadata.
pub const METADATA_PAIRS_MAX: usize = 64;
/// Bytes of one metadata key; at least 1.
pub const METADATA_KEY_BYTES_MAX: usize = 128;
/// Bytes of one metadata value.
pub const METADATA_VALUE_BYTES_MAX: usize = 2048;
/// Bytes of all metadata keys and values together.
pub const METADATA_BYTES_MAX: usize = 16 << 10;

/// Items of one page of a List; also ranges of one page of a status.
pub const PAGE_ITEMS_MAX: u32 = 1000;
/// Items of a page of a List whose request names no size.
pub const PAGE_ITEMS_DEFAULT: u32 = 100;
/// Bytes of the items of one page of a List, about: a page ends with the item that reaches it.
/// Clients take 4 MiB a message unless they are told otherwise.
pub const PAGE_BYTES_MAX: usize = 1 << 20;
/// Ranges of a page of a status whose request names no size.
pub const STATUS_RANGES_DEFAULT: u32 = 1000;

/// Bytes of a CRC-32C on the wire, big-endian.
pub const CRC32C_BYTES: usize = 4;
/// Bytes of a CRC-64/NVME on the wire, big-endian.
pub const CRC64NVME_BYTES: usize = 8;
/// Bytes of a SHA-256 on the wire.
pub const SHA256_BYTES: usize = 32;

/// Milliseconds that acks of UploadChunks are held back at most, to coalesce.
pub const ACK_COALESCE_MS_MAX: u64 = 5;
/// Milliseconds that CompleteUpload waits at most for the end.
pub const COMPLETE_WAIT_MS_MAX: u64 = 10_000;
/// Milliseconds between two messages of StreamUploadProgress at most.
pub const PROGRESS_INTERVAL_MS_MAX: u64 = 20_000;
/// Milliseconds that an ended upload stays readable.
pub const ENDED_KEPT_MS: u64 = 24 * 3600 * 1000;

const _: () = assert!(CHUNKS_PER_UPLOAD_MAX == CHUNK_NUMBER_MAX + 1);
const _: () = assert!(METADATA_BYTES_MAX + FILENAME_BYTES_MAX < INITIATE_HEADER_BYTES_MAX);
