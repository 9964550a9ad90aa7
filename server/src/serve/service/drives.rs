//! DriveService, by the metadata.

use std::rc::Rc;

use sluice_proto::{
    error::Refusal,
    ids::DriveId,
    limits::{BUCKET_BYTES_MAX, CREDENTIALS_REF_BYTES_MAX, PREFIX_BYTES_MAX},
    pb::{self, drive_service_server::DriveService},
};
use tonic::{Request, Response, Status};

use super::{
    Call, Service, ask,
    control::Control,
    token::Walk,
    view::{self, ObjectPlaces},
};
use crate::{
    metadata::{self, Drive},
    serve::clock,
};

#[tonic::async_trait]
impl DriveService for Control {
    async fn create_drive(
        &self,
        request: Request<pb::CreateDriveRequest>,
    ) -> Result<Response<pb::CreateDriveResponse>, Status> {
        self.run(request, create_drive).await
    }

    async fn get_drive(
        &self,
        request: Request<pb::GetDriveRequest>,
    ) -> Result<Response<pb::GetDriveResponse>, Status> {
        self.run(request, get_drive).await
    }

    async fn list_drives(
        &self,
        request: Request<pb::ListDrivesRequest>,
    ) -> Result<Response<pb::ListDrivesResponse>, Status> {
        self.run(request, list_drives).await
    }
}

async fn create_drive(
    service: Rc<Service>,
    _: Call,
    request: pb::CreateDriveRequest,
) -> Result<pb::CreateDriveResponse, Refusal> {
    let asked = asked(request, clock::wall_ms())?;
    if let ObjectPlaces::S3(_) = &service.objects {
        check_place(&asked)?;
    }
    let made = ask::metadata(&service, |conn| metadata::create_drive(conn, asked)).await??;
    if let ObjectPlaces::S3(drives) = &service.objects {
        drives.add(&made);
    }
    Ok(pb::CreateDriveResponse { drive: Some(drive(made)) })
}

async fn get_drive(
    service: Rc<Service>,
    _: Call,
    request: pb::GetDriveRequest,
) -> Result<pb::GetDriveResponse, Refusal> {
    let drive_id = DriveId::from_request(&request.drive_id)?;
    let id = drive_id.clone();
    let found = ask::metadata(&service, move |conn| metadata::get_drive(conn, id.as_str())).await?;
    let found = found.ok_or_else(|| metadata::unknown_drive(&drive_id))?;
    Ok(pb::GetDriveResponse { drive: Some(drive(found)) })
}

async fn list_drives(
    service: Rc<Service>,
    _: Call,
    request: pb::ListDrivesRequest,
) -> Result<pb::ListDrivesResponse, Refusal> {
    let limit = ask::page_limit(request.page_size)?;
    let walk = Walk::new("ListDrives", &[]);
    let after = walk.text(&request.page_token)?;
    let list = move |conn: &rusqlite::Connection| metadata::list_drives(conn, &after, limit);
    let page = ask::metadata(&service, list).await?;
    let last = page.items.last().filter(|_| !page.is_last);
    let next_page_token = last.map(|drive| walk.token(drive.drive_id.as_str().as_bytes()));
    Ok(pb::ListDrivesResponse {
        next_page_token: next_page_token.unwrap_or_default(),
        drives: page.items.into_iter().map(drive).collect(),
    })
}

/// A drive as a client asks for it, each field checked.
fn asked(request: pb::CreateDriveRequest, create_ms: u64) -> Result<Drive, Refusal> {
    let pb::CreateDriveRequest { drive_id, bucket, prefix, credentials_ref, quota_bytes } = request;
    let quota_bytes = u64::try_from(quota_bytes).map_err(|_negative| {
        let refusal = Refusal::invalid("quota_bytes", "can't be negative");
        refusal.with("value", quota_bytes).with("minimum", 0)
    })?;
    Ok(Drive {
        drive_id: DriveId::from_request(&drive_id)?,
        bucket: visible("bucket", bucket, BUCKET_BYTES_MAX)?,
        prefix: printable("prefix", prefix, PREFIX_BYTES_MAX)?,
        credentials_ref: visible("credentials_ref", credentials_ref, CREDENTIALS_REF_BYTES_MAX)?,
        quota_bytes: (quota_bytes > 0).then_some(quota_bytes),
        create_ms,
    })
}

/// Whether an object store can hold it, by the keys that this server has.
fn check_place(drive: &Drive) -> Result<(), Refusal> {
    let Drive { bucket, prefix, credentials_ref, .. } = drive;
    if !["", DriveId::DEFAULT].contains(&credentials_ref.as_str()) {
        let message = "this server has no credentials but `default`";
        return Err(Refusal::invalid("credentials_ref", message).with("value", credentials_ref));
    }
    let is_fit = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    let is_name = (3..=63).contains(&bucket.len()) && bucket.bytes().all(is_fit);
    if !(bucket.is_empty() || is_name) {
        let message = "a bucket has 3 to 63 letters, digits, -, . and _";
        return Err(Refusal::invalid("bucket", message).with("value", bucket));
    }
    let below = prefix.trim_matches('/');
    if !below.is_empty() && below.split('/').any(|part| ["", ".", ".."].contains(&part)) {
        let message = "nothing between two slashes is empty, . or ..";
        return Err(Refusal::invalid("prefix", message).with("value", prefix));
    }
    Ok(())
}

fn visible(field: &'static str, text: String, bytes_max: usize) -> Result<String, Refusal> {
    if text.len() <= bytes_max && text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(text);
    }
    Err(too_odd(field, &text, bytes_max, "of visible ASCII"))
}

fn printable(field: &'static str, text: String, bytes_max: usize) -> Result<String, Refusal> {
    if text.len() <= bytes_max && !text.chars().any(char::is_control) {
        return Ok(text);
    }
    Err(too_odd(field, &text, bytes_max, "without control characters"))
}

fn too_odd(field: &'static str, text: &str, bytes_max: usize, kind: &str) -> Refusal {
    Refusal::invalid(field, format!("has at most {bytes_max} bytes {kind}"))
        .with("bytes", text.len())
        .with("limit", bytes_max)
}

fn drive(drive: Drive) -> pb::Drive {
    pb::Drive {
        drive_id: drive.drive_id.to_string(),
        bucket: drive.bucket,
        prefix: drive.prefix,
        credentials_ref: drive.credentials_ref,
        quota_bytes: drive.quota_bytes.map_or(0, view::signed),
        create_time: Some(view::time(drive.create_ms)),
    }
}
