//! An upload as the fields of two hashes. A field that has no value isn't there.

use std::collections::{BTreeMap, HashMap};

use data_encoding::HEXLOWER;
use sluice_proto::{
    error::Reason,
    ids::{DriveId, Filename, NodeId, RequestId, UploadId},
};
use sluice_shard::record::{
    EndError, Object, State, StoredAs, StoredUpload, UploadRecord, UploadSpec,
};

use super::part_text;

/// Before the client's own keys among the metadata.
const CLIENT_PREFIX: &str = "m.";

/// By their names here, which are kept for ever.
const STATES: [(State, &str); 7] = [
    (State::Pending, "PENDING"),
    (State::Uploading, "UPLOADING"),
    (State::Completing, "COMPLETING"),
    (State::Completed, "COMPLETED"),
    (State::Failed, "FAILED"),
    (State::Aborted, "ABORTED"),
    (State::Expired, "EXPIRED"),
];

pub(super) fn state_name(state: State) -> &'static str {
    let found = STATES.iter().find(|(known, _)| *known == state);
    found.map(|(_, name)| *name).expect("all are listed")
}

pub(super) fn state(name: &str) -> Option<State> {
    STATES.iter().find(|(_, known)| *known == name).map(|(state, _)| *state)
}

/// Fields and their values, in the order in which they are written.
pub(super) type Pairs = Vec<(String, Vec<u8>)>;

#[derive(Default)]
struct Writer(Pairs);

impl Writer {
    fn text(&mut self, field: &str, value: impl ToString) {
        self.0.push((field.to_owned(), value.to_string().into_bytes()));
    }

    fn optional(&mut self, field: &str, value: Option<impl ToString>) {
        if let Some(value) = value {
            self.text(field, value);
        }
    }

    fn flag(&mut self, field: &str, is_set: bool) {
        self.text(field, u8::from(is_set));
    }
}

/// What `upload:{ID}:state` holds of a record, but its fence and `rev`.
pub(super) fn of_record(record: &UploadRecord) -> Pairs {
    let UploadRecord { spec, .. } = record;
    let mut out = Writer::default();
    out.text("state", state_name(record.state));
    out.flag("cleanup_pending", record.cleanup_pending);
    out.optional("total_chunks", record.total_chunks);
    out.text("create_ms", record.create_ms);
    out.text("update_ms", record.update_ms);
    out.text("expire_ms", record.expire_ms);
    if let Some(object) = &record.object {
        out.text("object_bytes", object.size_bytes);
        out.optional("object_crc64nvme", object.crc64nvme.map(|sum| format!("{sum:016x}")));
        out.optional("object_sha256", object.sha256.map(|sum| HEXLOWER.encode(&sum)));
        let stored = object.stored.as_ref();
        out.optional("object_etag", stored.map(|stored| &stored.etag));
        let version_id = stored.and_then(|stored| stored.version_id.as_ref());
        out.optional("object_version_id", version_id);
    }
    out.optional("schedule", record.schedule.map(part_text::write_schedule));
    out.optional("multipart_id", record.multipart_id.as_ref());
    if let Some(error) = &record.error {
        out.text("error_reason", error.reason.as_str());
        out.text("error_message", &error.message);
    }
    out.text("tenant", &spec.tenant);
    out.optional("expected_size_bytes", spec.expected_size_bytes);
    out.optional("chunk_size_bytes", spec.chunk_size_bytes);
    out.text("max_size_bytes", spec.max_size_bytes);
    out.optional("sha256", spec.sha256.map(|sum| HEXLOWER.encode(&sum)));
    out.flag("hash", spec.hash);
    out.flag("if_not_exists", spec.if_not_exists);
    out.optional("request_id", spec.request_id.as_ref().map(RequestId::as_str));
    out.text("fingerprint", HEXLOWER.encode(&spec.fingerprint));
    out.0
}

/// What `upload:{ID}:metadata` holds.
pub(super) fn of_metadata(spec: &UploadSpec) -> Pairs {
    let mut out = Writer::default();
    out.text("filename", spec.filename.as_str());
    out.text("mime_type", &spec.mime_type);
    out.text("drive_id", spec.drive_id.as_str());
    out.text("node_id", spec.node_id.as_str());
    for (key, value) in &spec.metadata {
        out.text(&format!("{CLIENT_PREFIX}{key}"), value);
    }
    out.0
}

/// A hash as it was read.
pub(super) struct Fields(HashMap<String, Vec<u8>>);

/// What a field holds that was never written there, or lacks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("field {0} of an upload is damaged or missing")]
pub struct Damaged(pub String);

impl Fields {
    pub(super) fn new(pairs: HashMap<Vec<u8>, Vec<u8>>) -> Self {
        let named =
            |(field, value): (Vec<u8>, _)| (String::from_utf8_lossy(&field).into_owned(), value);
        Self(pairs.into_iter().map(named).collect())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn bytes(&self, field: &str) -> Option<&[u8]> {
        self.0.get(field).map(Vec::as_slice)
    }

    fn text(&self, field: &str) -> Option<&str> {
        std::str::from_utf8(self.bytes(field)?).ok()
    }

    pub(super) fn read<T>(
        &self,
        field: &str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Result<T, Damaged> {
        self.text(field).and_then(read).ok_or_else(|| Damaged(field.to_owned()))
    }

    fn optional<T>(
        &self,
        field: &str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, Damaged> {
        match self.0.contains_key(field) {
            true => self.read(field, read).map(Some),
            false => Ok(None),
        }
    }

    pub(super) fn number(&self, field: &str) -> Result<u64, Damaged> {
        self.read(field, |text| text.parse().ok())
    }
}

/// The upload that two hashes hold, without its chunks and parts.
pub(super) fn stored(
    upload_id: UploadId,
    state: &Fields,
    metadata: &Fields,
) -> Result<StoredUpload, Damaged> {
    Ok(StoredUpload {
        record: record(upload_id, state, metadata)?,
        chunks: BTreeMap::new(),
        lost: BTreeMap::new(),
        parts: BTreeMap::new(),
        hash_state: state.bytes("hash_state").map(<[u8]>::to_vec),
        rev: state.number("rev")?,
    })
}

fn record(
    upload_id: UploadId,
    fields: &Fields,
    metadata: &Fields,
) -> Result<UploadRecord, Damaged> {
    let object = match fields.optional("object_bytes", |text| text.parse().ok())? {
        Some(size_bytes) => Some(Object {
            size_bytes,
            crc64nvme: fields
                .optional("object_crc64nvme", |text| u64::from_str_radix(text, 16).ok())?,
            sha256: fields.optional("object_sha256", sum)?,
            stored: stored_as(fields)?,
        }),
        None => None,
    };
    let error = match fields.optional("error_reason", Reason::parse)? {
        Some(reason) => Some(EndError { reason, message: fields.read("error_message", owned)? }),
        None => None,
    };
    Ok(UploadRecord {
        upload_id,
        spec: spec(fields, metadata)?,
        state: fields.read("state", state)?,
        total_chunks: fields.optional("total_chunks", |text| text.parse().ok())?,
        create_ms: fields.number("create_ms")?,
        update_ms: fields.number("update_ms")?,
        expire_ms: fields.number("expire_ms")?,
        object,
        error,
        cleanup_pending: fields.read("cleanup_pending", flag)?,
        schedule: fields.optional("schedule", part_text::read_schedule)?,
        multipart_id: fields.optional("multipart_id", owned)?,
    })
}

fn stored_as(fields: &Fields) -> Result<Option<StoredAs>, Damaged> {
    let version_id = fields.optional("object_version_id", owned)?;
    let etag = fields.optional("object_etag", owned)?;
    Ok(etag.map(|etag| StoredAs { etag, version_id }))
}

fn spec(fields: &Fields, metadata: &Fields) -> Result<UploadSpec, Damaged> {
    let size = |field| fields.optional(field, |text| text.parse().ok());
    let own = metadata.0.keys().filter_map(|field| {
        let key = field.strip_prefix(CLIENT_PREFIX)?;
        Some(metadata.read(field, owned).map(|value| (key.to_owned(), value)))
    });
    Ok(UploadSpec {
        tenant: fields.read("tenant", owned)?,
        drive_id: metadata.read("drive_id", |text| DriveId::parse(text).ok())?,
        node_id: metadata.read("node_id", |text| NodeId::parse(text).ok())?,
        filename: metadata.read("filename", |text| Filename::parse(text).ok())?,
        mime_type: metadata.read("mime_type", owned)?,
        metadata: own.collect::<Result<_, _>>()?,
        expected_size_bytes: size("expected_size_bytes")?,
        chunk_size_bytes: size("chunk_size_bytes")?,
        max_size_bytes: fields.number("max_size_bytes")?,
        sha256: fields.optional("sha256", sum)?,
        hash: fields.read("hash", flag)?,
        if_not_exists: fields.read("if_not_exists", flag)?,
        request_id: fields.optional("request_id", |text| RequestId::parse(text).ok())?,
        fingerprint: fields.read("fingerprint", sum)?,
    })
}

fn owned(text: &str) -> Option<String> {
    Some(text.to_owned())
}

fn flag(text: &str) -> Option<bool> {
    match text {
        "0" => Some(false),
        "1" => Some(true),
        _ => None,
    }
}

fn sum(text: &str) -> Option<[u8; 32]> {
    HEXLOWER.decode(text.as_bytes()).ok()?.try_into().ok()
}
