//! How each peer is set, as the report shows it.

use std::collections::BTreeMap;

/// Bytes of the buffer that a sink receives into.
pub const SINK_BUFFER_BYTES: usize = 1 << 20;

/// Buffers that a connection of the rotating sink holds messages in, by turns.
pub const ROTATING_BUFFERS: usize = 4;

/// Largest message that a peer takes: more than a chunk of 128 MiB with all that is around it.
pub const MESSAGE_BYTES_MAX: usize = (128 << 20) + (64 << 10);

/// What Redis may hold (`maxmemory`).
pub const REDIS_MEMORY: &str = "2gb";

/// HTTP/2 as the tuned tonic has it.
pub const STREAM_WINDOW_BYTES: u32 = 16 << 20;
/// See [`STREAM_WINDOW_BYTES`].
pub const CONNECTION_WINDOW_BYTES: u32 = 64 << 20;
/// See [`STREAM_WINDOW_BYTES`].
pub const FRAME_BYTES_MAX: u32 = 1 << 20;

/// Who may write to the stores that speak S3: they serve on loopback, for as long as a run takes.
const S3_KEY: &str = "sluice-bench";
const S3_SECRET: &str = "sluice-bench-secret";

/// What clients of such a store are told.
pub fn s3_access() -> BTreeMap<String, String> {
    map(&[("access_key", S3_KEY), ("secret_key", S3_SECRET), ("bucket", "bench")])
}

/// The file by which SeaweedFS knows them.
pub fn s3_identities() -> String {
    let credentials = serde_json::json!([{ "accessKey": S3_KEY, "secretKey": S3_SECRET }]);
    let actions = ["Admin", "Read", "List", "Tagging", "Write"];
    let identity = serde_json::json!({
        "name": S3_KEY, "credentials": credentials, "actions": actions,
    });
    serde_json::json!({ "identities": [identity] }).to_string()
}

/// Settings of a kind of server; none for what isn't known.
pub fn of_server(kind: &str) -> BTreeMap<String, String> {
    let shared = ("message limit", "128 MiB + 64 KiB");
    match kind {
        "tonic-stock" => map(&[
            ("runtime", "tokio, multi-thread, as #[tokio::main] makes it"),
            ("allocator", "the C library's"),
            ("HTTP/2", "tonic's defaults"),
            ("checksums", "none: bytes are counted and dropped"),
            shared,
        ]),
        "tonic-tuned" => map(&[
            ("runtime", "tokio, current_thread"),
            ("allocator", "mimalloc"),
            ("stream window", "16 MiB"),
            ("connection window", "64 MiB"),
            ("largest frame", "1 MiB"),
            ("adaptive window", "off"),
            ("TCP_NODELAY", "on"),
            ("payload", "Bytes: shared with the message, not copied"),
            ("checksums", "none: bytes are counted and dropped"),
            shared,
        ]),
        "sink" => map(&[
            ("threads", "one a connection, blocking recv"),
            ("buffer", "1 MiB, one a connection, reused"),
        ]),
        "sink-rotating" => map(&[
            ("threads", "one a connection, blocking recv"),
            ("buffers", "4 of a message's size a connection, touched before, used in turn"),
        ]),
        "sink-glommio" => map(&[
            ("executor", "one, pinned"),
            ("buffer", "1 MiB, one a connection, reused"),
            ("SO_RCVLOWAT", "what a message lacks, 1 MiB at most"),
        ]),
        "forward" => map(&[
            ("threads", "two a connection, blocking recv and send"),
            ("buffer", "1 MiB, one a connection, reused"),
        ]),
        "forward-rotating" => map(&[
            ("threads", "two a connection, blocking recv and send"),
            ("buffers", "4 of a message's size a connection, touched before, used in turn"),
        ]),
        "sink-s3" => map(&[
            ("threads", "one a connection, blocking recv"),
            ("buffer", "1 MiB, one a connection, reused"),
            ("keeps", "sizes, checksums and metadata; no bytes"),
            ("checksums", "CRC-64/NVME, computed up to 64 KiB, else taken from the client"),
            ("signatures", "not looked at"),
        ]),
        "tusd" => map(&[
            ("storage", "filestore, local disk"),
            ("flags", "-expose-metrics=false -verbose=false"),
            ("rest", "defaults"),
        ]),
        "seaweedfs" => map(&[
            ("process", "weed server: master, volume, filer and S3 in one"),
            ("volumes", "1 GiB each, 64 at most"),
            ("telemetry", "off"),
            ("rest", "defaults"),
        ]),
        "redis" => map(&[
            ("maxmemory", REDIS_MEMORY),
            ("maxmemory-policy", "noeviction"),
            ("on disk", "nothing: save and appendonly are off"),
            ("rest", "defaults"),
        ]),
        "redis-log" => map(&[
            ("maxmemory", REDIS_MEMORY),
            ("maxmemory-policy", "noeviction"),
            ("on disk", "appendonly, appendfsync everysec; save is off"),
            ("rest", "defaults"),
        ]),
        _ => BTreeMap::new(),
    }
}

/// Settings of a kind of client; none for what isn't known.
pub fn of_client(kind: &str) -> BTreeMap<String, String> {
    match kind {
        "tus" => map(&[("HTTP", "1.1, kept alive"), ("calls", "POST, PATCH a chunk, HEAD")]),
        "s3" => map(&[
            ("library", "boto3"),
            ("objects below 16 MiB", "put_object"),
            ("others", "upload_part, a part a chunk"),
        ]),
        "grpc-go" => map(&[("library", "grpc-go"), ("rest", "defaults but the message limit")]),
        "grpc-java" => map(&[("library", "grpc-java, Netty"), ("rest", "defaults")]),
        "grpc-python" => map(&[("library", "grpcio, threads"), ("rest", "defaults")]),
        "ghz" => map(&[("tool", "ghz"), ("call", "InitiateUpload with the payload inside")]),
        _ => BTreeMap::new(),
    }
}

fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect()
}
