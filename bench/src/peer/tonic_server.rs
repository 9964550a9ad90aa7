//! tonic as it comes, and tonic as well as it can be set.

use std::error::Error;
use std::net::SocketAddr;

use sluice_proto::pb::upload_service_server::UploadServiceServer;
use tokio::runtime::Builder;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;

use crate::peer::service::Counter;
use crate::peer::settings::{
    CONNECTION_WINDOW_BYTES, FRAME_BYTES_MAX, MESSAGE_BYTES_MAX, STREAM_WINDOW_BYTES,
};

/// How tonic is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tonic {
    /// All defaults, on the runtime that `#[tokio::main]` makes; only the limit of a message is
    /// raised, or it would take no chunk above 4 MiB.
    Stock,
    /// Wide windows, large frames, one thread. The allocator is the program's.
    Tuned,
}

/// Serves for ever; calls `tell` once it accepts.
///
/// # Errors
/// When it can't listen, or serving breaks.
pub fn serve(tonic: Tonic, listen: SocketAddr, tell: fn(SocketAddr)) -> Result<(), Box<dyn Error>> {
    let runtime = match tonic {
        Tonic::Stock => Builder::new_multi_thread().enable_all().build()?,
        Tonic::Tuned => Builder::new_current_thread().enable_all().build()?,
    };
    runtime.block_on(async {
        // As `serve(listen)` has it, which doesn't tell the port.
        let incoming = TcpIncoming::bind(listen)?.with_nodelay(Some(true));
        tell(incoming.local_addr()?);
        let counter = UploadServiceServer::new(Counter::default());
        let service = counter.max_decoding_message_size(MESSAGE_BYTES_MAX);
        server(tonic).add_service(service).serve_with_incoming(incoming).await?;
        Ok(())
    })
}

fn server(tonic: Tonic) -> Server {
    match tonic {
        Tonic::Stock => Server::builder(),
        Tonic::Tuned => Server::builder()
            .http2_adaptive_window(Some(false))
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .max_frame_size(FRAME_BYTES_MAX),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::OnceLock;
    use std::thread;

    use bytes::Bytes;
    use sluice_proto::pb;
    use sluice_proto::pb::upload_service_client::UploadServiceClient;
    use tonic::transport::Channel;

    use super::*;

    static STOCK: OnceLock<SocketAddr> = OnceLock::new();
    static TUNED: OnceLock<SocketAddr> = OnceLock::new();

    /// Two chunks of 5 MiB: more than tonic takes by default.
    async fn upload(address: SocketAddr) -> Result<i64, Box<dyn Error>> {
        let channel = Channel::from_shared(format!("http://{address}"))?.connect().await?;
        let mut client = UploadServiceClient::new(channel);
        let opened = client.initiate_upload(pb::InitiateUploadRequest::default()).await?;
        let upload_id = opened.into_inner().upload_id;
        for chunk_number in 0..2 {
            let chunk = pb::UploadChunkRequest {
                upload_id: upload_id.clone(),
                chunk_number,
                data: Bytes::from(vec![1; 5 << 20]),
                ..Default::default()
            };
            let ack = client.upload_chunk(chunk).await?.into_inner();
            assert_eq!((ack.chunk_number, ack.chunk_bytes), (chunk_number, 5 << 20));
        }
        let request = pb::CompleteUploadRequest { upload_id, ..Default::default() };
        let done = client.complete_upload(request).await?.into_inner();
        assert_eq!(done.state(), pb::UploadState::Completed);
        Ok(done.object.ok_or("no object")?.size_bytes)
    }

    fn serves(tonic: Tonic, address: &'static OnceLock<SocketAddr>, tell: fn(SocketAddr)) {
        let listen = SocketAddr::from(([127, 0, 0, 1], 0));
        thread::spawn(move || serve(tonic, listen, tell).unwrap());
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        assert_eq!(runtime.block_on(upload(*address.wait())).unwrap(), 10 << 20);
    }

    #[test]
    fn stock_tonic_counts_an_upload() {
        serves(Tonic::Stock, &STOCK, |address| STOCK.set(address).unwrap());
    }

    #[test]
    fn tuned_tonic_counts_an_upload() {
        serves(Tonic::Tuned, &TUNED, |address| TUNED.set(address).unwrap());
    }
}
