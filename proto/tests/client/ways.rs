//! Which way calls go, and how long they wait.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use sluice_proto::client::{Client, Pace, Source, UploadOptions};
use sluice_proto::error::{Reason, Refusal};
use tokio::net::TcpListener;

use crate::fake::{World, now, start, status_of};

const SENT: &[u8] = b"0123456789";
const ASKED: Duration = Duration::from_millis(300);

fn options() -> UploadOptions {
    UploadOptions { chunk_bytes: Some(3), parallel: Some(1), ..Default::default() }
}

async fn upload(client: &Client) {
    client.upload(Source::stream(SENT), options(), |_| {}).await.unwrap();
}

/// Somebody who takes connections and closes them, as a gateway before an owner that is out of
/// reach; counts them.
async fn closes() -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, taken) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
    let count = taken.clone();
    tokio::spawn(async move {
        while listener.accept().await.is_ok() {
            count.fetch_add(1, Ordering::Relaxed);
        }
    });
    (address.to_string(), taken)
}

#[tokio::test]
async fn an_owner_that_cant_be_reached_costs_one_connect() {
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = free.local_addr().unwrap().to_string();
    drop(free);
    let (fake, client) =
        start(World { endpoints: vec![endpoint.clone()], ..Default::default() }).await;
    upload(&client).await;
    // Whoever listens there from now on is never asked: it is known not to be there.
    let listener = TcpListener::bind(&endpoint).await.unwrap();
    for _ in 0..3 {
        upload(&client).await;
    }
    let asked = tokio::time::timeout(Duration::ZERO, listener.accept()).await;
    assert!(asked.is_err(), "a second connect: {asked:?}");
    assert_eq!(fake.world().chunk_calls.len(), 4 * 4);
}

#[tokio::test]
async fn an_owner_that_hangs_up_is_left_for_the_first_address() {
    let (endpoint, taken) = closes().await;
    let (fake, client) = start(World { endpoints: vec![endpoint], ..Default::default() }).await;
    upload(&client).await;
    assert_eq!(fake.world().whole(), SENT);
    // The connection, and perhaps the one that the call in flight asked for.
    assert!((1..=2).contains(&taken.load(Ordering::Relaxed)), "{taken:?}");
}

#[tokio::test]
async fn a_wait_that_the_server_asks_for_is_kept_either_way() {
    let by_details =
        status_of(&Refusal::new(Reason::Budget, "full").retry_after_ms(ASKED.as_millis() as u64));
    let mut by_trailer = status_of(&Refusal::new(Reason::Budget, "full"));
    let asked = ASKED.as_millis().to_string().parse().unwrap();
    by_trailer.metadata_mut().insert("grpc-retry-pushback-ms", asked);
    for refusal in [by_details, by_trailer] {
        let world = World { refusals: vec![refusal], ..Default::default() };
        let (fake, client) = start(world).await;
        upload(&client).await;
        let calls = fake.world().chunk_calls.clone();
        assert!(calls[1] - calls[0] >= ASKED, "{:?}", calls[1] - calls[0]);
    }
}

#[tokio::test]
async fn a_server_that_wants_no_repeat_gets_none() {
    let mut refusal = status_of(&Refusal::new(Reason::Budget, "full"));
    refusal.metadata_mut().insert("grpc-retry-pushback-ms", "-1".parse().unwrap());
    let (fake, client) = start(World { refusals: vec![refusal], ..Default::default() }).await;
    client.upload(Source::stream(SENT), options(), |_| {}).await.unwrap_err();
    assert_eq!(fake.world().chunk_calls.len(), 1);
}

#[tokio::test]
async fn uploads_of_one_pace_share_its_rate() {
    let (_fake, client) = start(World::default()).await;
    // Two times ten bytes at 40 a second, of which the last chunk is not waited for.
    let pace = Pace::new(Some(40), 2);
    let paced = || UploadOptions { pace: Some(pace.clone()), ..options() };
    let begin = now();
    for _ in 0..2 {
        client.upload(Source::stream(SENT), paced(), |_| {}).await.unwrap();
    }
    assert!(now() - begin >= Duration::from_millis(400), "{:?}", now() - begin);
}
