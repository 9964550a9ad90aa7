//! Payload that an h2 client sends comes out of the edge byte for byte, whatever its frames.

use std::{net::SocketAddr, rc::Rc, sync::mpsc};

use bytes::Bytes;
use http::{Request, Response};
use sluice_io::{
    edge::{
        connection::{EdgeConfig, EdgeShard, serve_connection},
        credit::CreditLimits,
        pool::PoolLimits,
        request::EdgeRequest,
    },
    reactor::{executor::Executors, net::Listener, task},
};

fn config() -> EdgeConfig {
    EdgeConfig {
        pool: PoolLimits { block_bytes: 1 << 20, blocks_kept: 4, blocks_max: 64 },
        credit: CreditLimits {
            window_budget_bytes: 64 << 20,
            parked_reserve_bytes: 1 << 20,
            connection_ceiling_bytes: 64 << 20,
            stream_ceiling_bytes: 16 << 20,
        },
        max_frame_bytes: 1 << 20,
        streams_max: 256,
        header_list_bytes_max: 16 << 10,
        drain_bytes_max: 1 << 20,
        drain_ms_max: 5_000,
        keepalive_ms: 30_000,
    }
}

/// Answers with the CRC32C of what came.
async fn sum(mut request: EdgeRequest) {
    let length: u64 = request.head.headers["x-bytes"].to_str().unwrap().parse().unwrap();
    request.body.grant(length).unwrap();
    let mut sum = sluice_proto::checksum::Crc32c::new();
    while let Some(piece) = request.body.next().await {
        let Ok(piece) = piece else { return };
        sum.update(&piece);
        request.body.release(piece.len());
    }
    request.reply.head(Response::new(()), false).unwrap();
    request.reply.send(Bytes::copy_from_slice(&sum.value().to_be_bytes())).await.unwrap();
    request.reply.finish(http::HeaderMap::new()).unwrap();
}

fn start() -> SocketAddr {
    let (told, address) = mpsc::channel();
    std::thread::spawn(move || {
        let executors = Executors::spawn(&[0], move |_, pacer| {
            let told = told.clone();
            async move {
                let mut listener = Listener::bind(([127, 0, 0, 1], 0).into()).unwrap();
                told.send(listener.local_addr().unwrap()).unwrap();
                let shard = EdgeShard::new(config(), pacer);
                loop {
                    let socket = listener.accept().await.unwrap();
                    let served = serve_connection(socket, Rc::clone(&shard), sum);
                    task::spawn_local(async { drop(served.await) }).detach();
                }
            }
        });
        executors.unwrap().join().unwrap();
    });
    address.recv().unwrap()
}

async fn send(
    mut client: h2::client::SendRequest<Bytes>,
    bytes: Bytes,
    frame_bytes: usize,
) -> [u8; 4] {
    let request = Request::post("http://sluice/sum").header("x-bytes", bytes.len());
    std::future::poll_fn(|cx| client.poll_ready(cx)).await.unwrap();
    let (answer, mut stream) = client.send_request(request.body(()).unwrap(), false).unwrap();
    let mut rest = bytes;
    while !rest.is_empty() {
        stream.reserve_capacity(rest.len().min(frame_bytes));
        let room = std::future::poll_fn(|cx| stream.poll_capacity(cx)).await.unwrap().unwrap();
        let some = rest.split_to(room.min(rest.len()).min(frame_bytes));
        stream.send_data(some, rest.is_empty()).unwrap();
    }
    let mut body = answer.await.unwrap().into_body();
    let mut sum = Vec::new();
    while let Some(piece) = body.data().await {
        sum.extend_from_slice(&piece.unwrap());
    }
    sum.try_into().unwrap()
}

#[test]
fn many_streams_of_odd_sizes_come_out_whole() {
    let address = start();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        for frame_bytes in [16 << 10, 1 << 20] {
            let socket = tokio::net::TcpStream::connect(address).await.unwrap();
            let (client, connection) = h2::client::handshake(socket).await.unwrap();
            tokio::spawn(async move { connection.await.unwrap() });
            let sizes = [1, 100, 65_535, 65_536, 1_000_003, (8 << 20) + 17, 20 << 20];
            let tasks: Vec<_> = sizes
                .into_iter()
                .enumerate()
                .map(|(seed, size)| {
                    let bytes: Vec<u8> =
                        (0..size).map(|i| (i * 31 + i / 251 + seed) as u8).collect();
                    let expected = sluice_proto::checksum::Crc32c::of(&bytes).to_be_bytes();
                    let sent = send(client.clone(), bytes.into(), frame_bytes);
                    tokio::spawn(async move { assert_eq!(sent.await, expected, "{size} bytes") })
                })
                .collect();
            for task in tasks {
                task.await.unwrap();
            }
        }
    });
}
