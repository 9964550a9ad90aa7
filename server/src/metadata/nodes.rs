//! Node rows.

use rusqlite::{Connection, named_params, params};
use sluice_shard::record::{Object, UploadRecord};

use super::outbox::{self, Subject, Transition};

/// Makes the upload a node, with its event, and gives back all that it held but its request. A
/// repeat changes nothing.
///
/// # Errors
/// What the database says: then nothing was changed.
pub fn finish(
    conn: &Connection,
    record: &UploadRecord,
    object: &Object,
    wall_ms: u64,
) -> rusqlite::Result<()> {
    let spec = &record.spec;
    let upload_id = record.upload_id.to_string();
    let metadata = serde_json::to_string(&spec.metadata).expect("a map of strings is JSON");
    conn.prepare_cached(
        "INSERT INTO nodes (
            drive_id, node_id, upload_id, tenant, filename, mime_type, metadata, size_bytes,
            crc64nvme, sha256, create_ms, update_ms
         ) VALUES (
            :drive_id, :node_id, :upload_id, :tenant, :filename, :mime_type, :metadata,
            :size_bytes, :crc64nvme, :sha256, :wall_ms, :wall_ms
         ) ON CONFLICT (upload_id) DO NOTHING",
    )?
    .execute(named_params! {
        ":drive_id": spec.drive_id.as_str(),
        ":node_id": spec.node_id.as_str(),
        ":upload_id": upload_id,
        ":tenant": spec.tenant,
        ":filename": spec.filename.as_str(),
        ":mime_type": spec.mime_type,
        ":metadata": metadata,
        ":size_bytes": object.size_bytes as i64,
        ":crc64nvme": object.crc64nvme as i64,
        ":sha256": object.sha256,
        ":wall_ms": wall_ms as i64,
    })?;
    conn.prepare_cached(
        "UPDATE claims SET finish_ms = ?2 WHERE upload_id = ?1 AND finish_ms IS NULL",
    )?
    .execute(params![upload_id, wall_ms as i64])?;
    let subject = Subject {
        upload_id: &upload_id,
        tenant: &spec.tenant,
        drive_id: spec.drive_id.as_str(),
        node_id: spec.node_id.as_str(),
    };
    outbox::put(conn, &subject, Transition::Completed, None, wall_ms)
}
