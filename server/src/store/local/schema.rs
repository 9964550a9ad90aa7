//! The tables of one store. A migration that has run anywhere is never changed.

/// In order; how many have run is kept in the file.
pub(super) const MIGRATIONS: &[&str] = &[
    "
    -- Who may write: the last process that opened this store.
    CREATE TABLE fence (
        one INTEGER PRIMARY KEY CHECK (one = 1),
        node INTEGER NOT NULL,
        epoch INTEGER NOT NULL
    ) STRICT;

    -- Numbers that may exceed 2^63 (sums, ids) are kept bit by bit.
    CREATE TABLE uploads (
        -- Never used twice: the chunks of one that was forgotten go later.
        upload INTEGER PRIMARY KEY AUTOINCREMENT,
        upload_id TEXT NOT NULL UNIQUE,
        rev INTEGER NOT NULL,
        state INTEGER NOT NULL,
        cleanup_pending INTEGER NOT NULL,
        total_chunks INTEGER,
        create_ms INTEGER NOT NULL,
        update_ms INTEGER NOT NULL,
        expire_ms INTEGER NOT NULL,
        object_bytes INTEGER,
        object_crc64nvme INTEGER,
        object_sha256 BLOB,
        error_reason TEXT,
        error_message TEXT,
        hash_state BLOB,
        tenant TEXT NOT NULL,
        drive_id TEXT NOT NULL,
        node_id TEXT NOT NULL,
        filename TEXT NOT NULL,
        mime_type TEXT NOT NULL,
        metadata TEXT NOT NULL,
        expected_size_bytes INTEGER,
        chunk_size_bytes INTEGER,
        max_size_bytes INTEGER NOT NULL,
        sha256 BLOB,
        hash INTEGER NOT NULL,
        if_not_exists INTEGER NOT NULL,
        request_id TEXT,
        fingerprint BLOB NOT NULL
    ) STRICT;
    -- What a start reads, and what time takes away.
    CREATE INDEX uploads_open ON uploads (upload) WHERE state < 3 OR cleanup_pending;
    CREATE INDEX uploads_ended ON uploads (update_ms) WHERE NOT (state < 3 OR cleanup_pending);

    -- Forgotten, but for their chunks.
    CREATE TABLE forgotten (upload INTEGER PRIMARY KEY) STRICT;

    CREATE TABLE chunks (
        upload INTEGER NOT NULL,
        number INTEGER NOT NULL,
        attempt INTEGER NOT NULL,
        bytes INTEGER NOT NULL,
        crc64nvme INTEGER NOT NULL,
        crc32c INTEGER NOT NULL,
        sha256 BLOB,
        place INTEGER NOT NULL,
        place_segment INTEGER NOT NULL,
        place_offset INTEGER NOT NULL,
        place_bytes INTEGER NOT NULL,
        PRIMARY KEY (upload, number)
    ) WITHOUT ROWID, STRICT;
",
    "
    -- For who lost the id of an upload and looks for it by its request.
    CREATE INDEX uploads_request ON uploads (request_id) WHERE request_id IS NOT NULL;
",
    "
    -- Objects in S3: how they are cut, and what the store has of them.
    ALTER TABLE uploads ADD COLUMN schedule_kind INTEGER;
    ALTER TABLE uploads ADD COLUMN schedule_bytes INTEGER;
    ALTER TABLE uploads ADD COLUMN multipart_id TEXT;
    ALTER TABLE uploads ADD COLUMN object_etag TEXT;
    ALTER TABLE uploads ADD COLUMN object_version_id TEXT;
    CREATE TABLE parts (
        upload INTEGER NOT NULL,
        part INTEGER NOT NULL,
        bytes INTEGER NOT NULL,
        etag TEXT,
        version_id TEXT,
        PRIMARY KEY (upload, part)
    ) WITHOUT ROWID, STRICT;
    CREATE TABLE lost_chunks (
        upload INTEGER NOT NULL,
        number INTEGER NOT NULL,
        bytes INTEGER NOT NULL,
        crc64nvme INTEGER NOT NULL,
        crc32c INTEGER NOT NULL,
        PRIMARY KEY (upload, number)
    ) WITHOUT ROWID, STRICT;
",
];
