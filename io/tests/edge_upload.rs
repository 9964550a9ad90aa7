//! Payload that an h2 client sends comes out of the edge byte for byte, whatever its frames.

mod edge_support;

use bytes::Bytes;
use edge_support::{Edge, config};
use http::Request;

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
    let address = Edge::start(config()).address;
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
