//! What a client can mend, or has to look at.

use sluice_proto::error::Reason;
use sluice_proto::pb;

use super::{Row, Scene, assert_all, row};
use crate::harness::{Calls, Options, Server, chunk, runtime};

fn named(filename: &str) -> pb::InitiateUploadRequest {
    pb::InitiateUploadRequest { filename: filename.into(), ..Default::default() }
}

/// Uploads to be bad with.
struct Victims {
    /// Of two chunks of four bytes.
    promised: String,
    /// With chunk 0, and a size that no promise fixes.
    loose: String,
    aborted: String,
    failed: String,
    max_chunk_bytes: i64,
}

async fn prepare(calls: &Calls) -> Victims {
    let whole = pb::InitiateUploadRequest {
        node_id: "taken".into(),
        payload: Some(b"x".to_vec().into()),
        ..named("taken")
    };
    calls.initiate_upload(whole).await.unwrap();
    let request = pb::InitiateUploadRequest { request_id: "r".into(), ..named("a") };
    let opened = calls.initiate_upload(request).await.unwrap();
    let drive =
        pb::CreateDriveRequest { drive_id: "small".into(), quota_bytes: 100, ..Default::default() };
    calls.create_drive(drive).await.unwrap();
    let promised = pb::InitiateUploadRequest {
        expected_size_bytes: Some(8),
        chunk_size_bytes: 4,
        ..named("promised")
    };
    let promised = calls.initiate_upload(promised).await.unwrap().upload_id;
    let loose = calls.open("loose").await;
    calls.upload_chunk(chunk(&loose, 0, b"some")).await.unwrap();
    let aborted = calls.open("aborted").await;
    let abort = pb::AbortUploadRequest { upload_id: aborted.clone(), reason: String::new() };
    calls.abort_upload(abort).await.unwrap();
    let failed = pb::InitiateUploadRequest { sha256: vec![0; 32].into(), ..named("failed") };
    let failed = calls.initiate_upload(failed).await.unwrap().upload_id;
    let last = pb::UploadChunkRequest { is_last: true, ..chunk(&failed, 0, b"some") };
    assert_eq!(calls.upload_chunk(last).await.unwrap().state(), pb::UploadState::Failed);
    let max_chunk_bytes = opened.limits.unwrap().max_chunk_bytes;
    Victims { promised, loose, aborted, failed, max_chunk_bytes }
}

/// INVALID_ARGUMENT and ABORTED.
fn to_mend(victims: &Victims) -> Vec<Row> {
    let Victims { promised, loose, max_chunk_bytes, .. } = victims;
    let page = pb::GetUploadStatusRequest {
        upload_id: loose.clone(),
        page_size: -1,
        ..Default::default()
    };
    let chunk_size_bytes = max_chunk_bytes + 1;
    let too_large = pb::InitiateUploadRequest { chunk_size_bytes, ..named("a") };
    let reused = pb::InitiateUploadRequest { request_id: "r".into(), ..named("b") };
    let too_long =
        pb::InitiateUploadRequest { expected_size_bytes: Some(9), max_size_bytes: 8, ..named("a") };
    let crc32c = vec![1; 4].into();
    let sum = pb::UploadChunkRequest { crc32c, ..chunk(loose, 1, b"more") };
    vec![
        row(
            "GetUploadStatus",
            &page,
            (Reason::FieldInvalid, "page_size"),
            &[("value", "-1"), ("minimum", "0")],
        ),
        row(
            "InitiateUpload",
            &too_large,
            (Reason::ChunkTooLarge, "chunk_size_bytes"),
            &[
                ("chunk_bytes", &chunk_size_bytes.to_string()),
                ("max_chunk_bytes", &max_chunk_bytes.to_string()),
            ],
        ),
        row(
            "UploadChunk",
            &chunk(promised, 0, b"abc"),
            (Reason::ChunkSizeBroken, "data"),
            &[("chunk_bytes", "3"), ("promised_bytes", "4")],
        ),
        row(
            "UploadChunk",
            &chunk(promised, 5, b"abcd"),
            (Reason::LastConflict, "chunk_number"),
            &[("chunk_number", "5"), ("total_chunks", "2")],
        ),
        row("InitiateUpload", &reused, (Reason::RequestIdReused, "request_id"), &[]),
        row(
            "InitiateUpload",
            &too_long,
            (Reason::SizeMismatch, "expected_size_bytes"),
            &[("size_bytes", "9"), ("limit_bytes", "8")],
        ),
        row("UploadChunk", &sum, (Reason::ChecksumMismatch, "crc32c"), &[("checksum", "crc32c")]),
    ]
}

/// FAILED_PRECONDITION.
fn to_look_at(victims: &Victims) -> Vec<Row> {
    let Victims { loose, aborted, failed, .. } = victims;
    let longer = pb::UploadChunkRequest { force: true, ..chunk(loose, 0, b"longer") };
    let complete = |upload_id: &str, total_chunks| pb::CompleteUploadRequest {
        upload_id: upload_id.into(),
        total_chunks,
        ..Default::default()
    };
    vec![
        row(
            "UploadChunk",
            &chunk(aborted, 0, b"x"),
            (Reason::UploadEnded, ""),
            &[("state", "ABORTED")],
        ),
        row(
            "UploadChunk",
            &chunk(loose, 0, b"same"),
            (Reason::ChunkConflict, ""),
            &[("chunk_number", "0")],
        ),
        // What follows on it would have to move.
        row("UploadChunk", &longer, (Reason::ChunkSealed, ""), &[("chunk_number", "0")]),
        row(
            "CompleteUpload",
            &complete(loose, Some(5)),
            (Reason::MissingChunks, ""),
            &[("missing_count", "4"), ("missing_ranges", "1-4"), ("total_chunks", "5")],
        ),
        row(
            "CompleteUpload",
            &complete(failed, None),
            (Reason::ObjectMismatch, ""),
            &[("state", "FAILED")],
        ),
    ]
}

/// ALREADY_EXISTS, NOT_FOUND, and a drive that is full.
fn of_things() -> Vec<Row> {
    let node = pb::InitiateUploadRequest { node_id: "taken".into(), ..named("a") };
    let name = pb::InitiateUploadRequest { if_not_exists: true, ..named("taken") };
    let drive = pb::CreateDriveRequest { drive_id: "small".into(), ..Default::default() };
    let upload = pb::GetUploadStatusRequest { upload_id: "x".into(), ..Default::default() };
    let nowhere = pb::ListUploadsRequest { drive_id: "nowhere".into(), ..Default::default() };
    let nobody = pb::GetNodeRequest { drive_id: String::new(), node_id: "nobody".into() };
    let full = pb::InitiateUploadRequest {
        drive_id: "small".into(),
        expected_size_bytes: Some(101),
        ..named("a")
    };
    vec![
        row("InitiateUpload", &node, (Reason::NodeExists, "node_id"), &[("node_id", "taken")]),
        row("InitiateUpload", &name, (Reason::NameExists, "filename"), &[]),
        row(
            "DriveService/CreateDrive",
            &drive,
            (Reason::DriveExists, "drive_id"),
            &[("drive_id", "small")],
        ),
        row("GetUploadStatus", &upload, (Reason::UploadUnknown, ""), &[]),
        row(
            "ListUploads",
            &nowhere,
            (Reason::DriveUnknown, "drive_id"),
            &[("drive_id", "nowhere")],
        ),
        row(
            "NodeService/GetNode",
            &nobody,
            (Reason::NodeUnknown, "node_id"),
            &[("drive_id", "default"), ("node_id", "nobody")],
        ),
        row(
            "InitiateUpload",
            &full,
            (Reason::Quota, ""),
            &[
                ("drive_id", "small"),
                ("quota_bytes", "100"),
                ("held_bytes", "0"),
                ("size_bytes", "101"),
            ],
        ),
    ]
}

/// UNIMPLEMENTED.
fn of_methods() -> Vec<Row> {
    let any = pb::ListDrivesRequest::default();
    let mut zipped =
        row("DriveService/ListDrives", &any, (Reason::CompressionUnsupported, ""), &[]);
    zipped.headers = vec![("grpc-encoding", "gzip")];
    vec![zipped, row("DriveService/DropDrive", &any, (Reason::MethodUnknown, ""), &[])]
}

#[test]
fn what_a_client_does_wrong_is_told_in_full() {
    let server = Server::start(Options::default());
    runtime().block_on(async {
        let victims = prepare(&Calls::to(&server.address())).await;
        let mut rows = to_mend(&victims);
        rows.extend(to_look_at(&victims));
        rows.extend(of_things());
        rows.extend(of_methods());
        assert_all(Scene::Plain, &rows);
        for row in &rows {
            row.provoke(&server.address()).await;
        }
    });
}
