//! An upload as the shard sees it, in the contract's messages.

use std::ops::RangeInclusive;

use prost_types::Timestamp;
use sluice_io::disk;
use sluice_proto::{
    error::Refusal,
    ids::{DriveId, NodeId, UploadId},
    pb::{self, AckLevel, UploadState},
};
use sluice_shard::{
    effect::UploadView,
    record::{Object, State, UploadRecord},
};

use crate::{
    config::Objects,
    serve::s3::{self, Drives},
};

/// Where objects lie, as clients are told.
#[derive(Clone)]
pub(crate) enum ObjectPlaces {
    /// Nowhere.
    Discard,
    /// In the data directory.
    Files,
    /// Where their drives are.
    S3(Drives),
}

impl ObjectPlaces {
    /// Without an object store.
    pub(crate) fn of(objects: Objects) -> Self {
        match objects {
            Objects::Discard => Self::Discard,
            Objects::Fs => Self::Files,
            Objects::S3 => unreachable!("there is an object store"),
        }
    }
}

/// The contract's name of a state.
pub(super) fn state(state: State) -> UploadState {
    match state {
        State::Pending => UploadState::Pending,
        State::Uploading => UploadState::Uploading,
        State::Completing => UploadState::Completing,
        State::Completed => UploadState::Completed,
        State::Failed => UploadState::Failed,
        State::Aborted => UploadState::Aborted,
        State::Expired => UploadState::Expired,
    }
}

pub(super) fn ack_level(spooled: bool) -> AckLevel {
    if spooled { AckLevel::Spooled } else { AckLevel::Received }
}

/// Unix milliseconds as the contract writes a time.
pub(super) fn time(unix_ms: u64) -> Timestamp {
    Timestamp { seconds: (unix_ms / 1000) as i64, nanos: (unix_ms % 1000) as i32 * 1_000_000 }
}

pub(super) fn upload(
    view: &UploadView,
    endpoints: Vec<String>,
    objects: &ObjectPlaces,
) -> pb::Upload {
    let record = &view.record;
    let spec = &record.spec;
    pb::Upload {
        upload_id: record.upload_id.to_string(),
        drive_id: spec.drive_id.to_string(),
        node_id: spec.node_id.to_string(),
        filename: spec.filename.as_str().to_owned(),
        mime_type: spec.mime_type.clone(),
        metadata: spec.metadata.clone().into_iter().collect(),
        state: state(record.state).into(),
        received_bytes: signed(view.received_bytes),
        received_count: view.received_count as i32,
        stored_bytes: signed(view.stored_bytes),
        total_chunks: record.total_chunks.map(|chunks| chunks as i32),
        expected_size_bytes: spec.expected_size_bytes.map(signed),
        chunk_size_bytes: spec.chunk_size_bytes.map_or(0, signed),
        create_time: Some(time(record.create_ms)),
        update_time: Some(time(record.update_ms)),
        expire_time: Some(time(record.expire_ms)),
        endpoints,
        error: view
            .error()
            .map(|error| Refusal::new(error.reason, error.message.clone()).to_status()),
        object: object(record, objects),
    }
}

/// What it became, once it is COMPLETED.
pub(super) fn object(record: &UploadRecord, objects: &ObjectPlaces) -> Option<pb::ObjectInfo> {
    let UploadRecord { upload_id, spec, object, .. } = record;
    let place = Place { drive_id: &spec.drive_id, node_id: &spec.node_id, upload_id, objects };
    object.as_ref().map(|object| stored(place, object))
}

/// Whose object it is, which says where it lies.
pub(super) struct Place<'a> {
    pub(super) drive_id: &'a DriveId,
    pub(super) node_id: &'a NodeId,
    pub(super) upload_id: &'a UploadId,
    pub(super) objects: &'a ObjectPlaces,
}

pub(super) fn stored(place: Place<'_>, object: &Object) -> pb::ObjectInfo {
    let Place { drive_id, node_id, upload_id, objects } = place;
    let (bucket, key) = match objects {
        ObjectPlaces::Discard => Default::default(),
        ObjectPlaces::Files => {
            let [drive, node] = [drive_id.as_str(), node_id.as_str()].map(disk::escape);
            ("objects".to_owned(), format!("{drive}/{node}/{upload_id}"))
        }
        ObjectPlaces::S3(drives) => match drives.get(drive_id) {
            Some(drive) => (drive.bucket.to_string(), s3::key(&drive.prefix, node_id, upload_id)),
            None => Default::default(),
        },
    };
    let as_stored = object.stored.clone().unwrap_or_default();
    pb::ObjectInfo {
        bucket,
        key,
        etag: as_stored.etag,
        size_bytes: signed(object.size_bytes),
        sha256: object.sha256.map_or_else(Default::default, |sum| sum.to_vec().into()),
        crc64nvme: object
            .crc64nvme
            .map_or_else(Default::default, |sum| sum.to_be_bytes().to_vec().into()),
        version_id: as_stored.version_id.unwrap_or_default(),
    }
}

/// Sizes stay far below 2^63: the limits see to it.
pub(super) fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

pub(super) fn range(chunks: RangeInclusive<u32>) -> pb::ChunkRange {
    pb::ChunkRange { first: *chunks.start() as i32, last: *chunks.end() as i32 }
}
