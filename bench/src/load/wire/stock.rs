//! The tonic client as it comes: what most who write a client in Rust have.

use std::error::Error as _;
use std::io;

use bytes::Bytes;
use sluice_proto::pb;
use sluice_proto::pb::upload_service_client::UploadServiceClient;
use tonic::transport::{Channel, Endpoint};
use tonic::{Response, Status};

use crate::load::wire::{CallError, Refused};

/// The service over one connection.
pub type Service = UploadServiceClient<Channel>;

/// Connects to `host:port`.
pub async fn connect(address: &str) -> io::Result<Service> {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).map_err(io::Error::other)?;
    let channel = endpoint.tcp_nodelay(true).connect().await.map_err(io::Error::other)?;
    Ok(Service::new(channel))
}

pub async fn initiate(
    service: &Service,
    request: &pb::InitiateUploadRequest,
) -> Result<pb::InitiateUploadResponse, CallError> {
    answer(service.clone().initiate_upload(request.clone()).await)
}

pub async fn chunk(
    service: &Service,
    header: &pb::UploadChunkRequest,
    data: &Bytes,
) -> Result<pb::UploadChunkResponse, CallError> {
    let request = pb::UploadChunkRequest { data: data.clone(), ..header.clone() };
    answer(service.clone().upload_chunk(request).await)
}

pub async fn complete(
    service: &Service,
    request: &pb::CompleteUploadRequest,
) -> Result<pb::CompleteUploadResponse, CallError> {
    answer(service.clone().complete_upload(request.clone()).await)
}

fn answer<T>(answer: Result<Response<T>, Status>) -> Result<T, CallError> {
    match answer {
        Ok(response) => Ok(response.into_inner()),
        // What the transport makes of an error has a source; what a server says has none.
        Err(status) if status.source().is_some() => Err(CallError::Broken(status.to_string())),
        Err(status) => Err(CallError::Refused(Refused::read(&status).into())),
    }
}
