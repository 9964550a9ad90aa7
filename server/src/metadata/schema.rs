//! The tables of the metadata. A migration that has run anywhere is never changed.

/// In order; how many have run is kept in the file.
pub(super) const MIGRATIONS: &[&str] = &[
    "
    CREATE TABLE drives (
        drive_id TEXT PRIMARY KEY,
        bucket TEXT NOT NULL,
        prefix TEXT NOT NULL,
        credentials_ref TEXT NOT NULL,
        quota_bytes INTEGER
    ) WITHOUT ROWID, STRICT;
    INSERT INTO drives VALUES ('default', 'objects', '', '', NULL);

    -- What was uploaded whole. Sums are kept bit by bit.
    CREATE TABLE nodes (
        drive_id TEXT NOT NULL REFERENCES drives,
        node_id TEXT NOT NULL,
        upload_id TEXT NOT NULL UNIQUE,
        tenant TEXT NOT NULL,
        filename TEXT NOT NULL,
        mime_type TEXT NOT NULL,
        metadata TEXT NOT NULL,
        size_bytes INTEGER NOT NULL,
        crc64nvme INTEGER NOT NULL,
        sha256 BLOB,
        create_ms INTEGER NOT NULL,
        update_ms INTEGER NOT NULL,
        PRIMARY KEY (drive_id, node_id)
    ) STRICT;
    CREATE INDEX nodes_by_name ON nodes (drive_id, filename);

    -- What running uploads hold; a finished one holds only its request_id.
    CREATE TABLE claims (
        upload_id TEXT PRIMARY KEY,
        tenant TEXT NOT NULL,
        drive_id TEXT NOT NULL REFERENCES drives,
        node_id TEXT NOT NULL,
        filename TEXT NOT NULL,
        if_not_exists INTEGER NOT NULL,
        request_id TEXT,
        fingerprint BLOB NOT NULL,
        create_ms INTEGER NOT NULL,
        finish_ms INTEGER
    ) STRICT;
    CREATE UNIQUE INDEX claims_node ON claims (drive_id, node_id) WHERE finish_ms IS NULL;
    CREATE UNIQUE INDEX claims_name ON claims (drive_id, filename)
        WHERE if_not_exists AND finish_ms IS NULL;
    CREATE UNIQUE INDEX claims_request ON claims (tenant, request_id)
        WHERE request_id IS NOT NULL;
    CREATE INDEX claims_finished ON claims (finish_ms) WHERE finish_ms IS NOT NULL;

    -- Events, each once: named by upload and transition.
    CREATE TABLE outbox (
        event INTEGER PRIMARY KEY,
        upload_id TEXT NOT NULL,
        transition TEXT NOT NULL,
        cause TEXT,
        tenant TEXT NOT NULL,
        drive_id TEXT NOT NULL,
        node_id TEXT NOT NULL,
        create_ms INTEGER NOT NULL,
        UNIQUE (upload_id, transition)
    ) STRICT;
    CREATE INDEX outbox_by_age ON outbox (create_ms);
",
    "
    -- Drives tell when they were made; one with a quota counts what it holds.
    ALTER TABLE drives ADD COLUMN create_ms INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE drives ADD COLUMN held_bytes INTEGER NOT NULL DEFAULT 0;
    UPDATE drives SET create_ms = unixepoch() * 1000;
    ALTER TABLE claims ADD COLUMN promised_bytes INTEGER NOT NULL DEFAULT 0;

    -- Nodes of one name are listed by their ids.
    DROP INDEX nodes_by_name;
    CREATE INDEX nodes_by_name ON nodes (drive_id, filename, node_id);
",
    "
    -- With integrity.crc = off there is no sum.
    ALTER TABLE nodes RENAME COLUMN crc64nvme TO crc64nvme_always;
    ALTER TABLE nodes ADD COLUMN crc64nvme INTEGER;
    UPDATE nodes SET crc64nvme = crc64nvme_always;
    ALTER TABLE nodes DROP COLUMN crc64nvme_always;
",
    "
    -- As the object store knows it: objects = s3.
    ALTER TABLE nodes ADD COLUMN etag TEXT;
    ALTER TABLE nodes ADD COLUMN version_id TEXT;
",
];
