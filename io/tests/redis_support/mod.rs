//! What the tests of the Redis client have in common.

#![allow(dead_code)]

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use sluice_io::{
    reactor::{executor::Executors, timer},
    redis::{Client, Cmd, RedisError, RedisUrl, Settings, Value, cmd},
    tls::Tls,
};

/// Longer than any answer takes.
pub const WITHIN: Duration = Duration::from_secs(60);

/// Runs a test on an executor of its own.
pub fn run(test: impl AsyncFnOnce() + Send + 'static) {
    let test = Arc::new(Mutex::new(Some(test)));
    let executors = Executors::spawn(&[0], move |_, pacer| {
        let test = test.lock().unwrap().take().expect("there is one executor");
        async move {
            let _busy = pacer.begin();
            test().await;
        }
    });
    executors.unwrap().join().unwrap();
}

pub fn client(url: &str, within: Duration) -> Client {
    client_with(url, None, within)
}

pub fn client_with(url: &str, tls: Option<Tls>, within: Duration) -> Client {
    let url = RedisUrl::parse(url).unwrap();
    Client::new(Settings { url, tls, client_name: "sluice-test".to_owned(), within })
}

pub fn command(words: &[&str]) -> Cmd {
    let mut command = cmd(words[0]);
    command.arg(&words[1..]);
    command
}

/// Asks whoever holds the key that the second word is.
pub async fn ask(client: &Client, words: &[&str]) -> Result<Value, RedisError> {
    client.run(words[1], &command(words)).await
}

/// The answer, once there is one in time: a machine that stands still costs a hasty client some.
pub async fn answered(client: &Client, words: &[&str]) -> Value {
    until_answered(async || ask(client, words).await).await
}

/// What `attempt` comes to, once it is neither too late nor without a connection.
pub async fn until_answered<T>(mut attempt: impl AsyncFnMut() -> Result<T, RedisError>) -> T {
    let until_ms = timer::now_ms() + WITHIN.as_millis() as u64;
    loop {
        match attempt().await {
            Ok(answer) => return answer,
            Err(error @ (RedisError::Deadline { .. } | RedisError::Connection(_))) => {
                assert!(timer::now_ms() < until_ms, "{error}");
                timer::sleep(Duration::from_millis(20)).await;
            }
            Err(error) => panic!("{error}"),
        }
    }
}

pub fn text(text: &str) -> Value {
    Value::BulkString(text.into())
}

/// Writes a value in pieces, over an empty one.
pub async fn put(client: &Client, key: &str, pieces: &[Bytes]) -> Result<(), RedisError> {
    ask(client, &["SET", key, ""]).await?;
    assert!(put_over(client, key, pieces).await?, "it is there");
    Ok(())
}

/// Writes a value in pieces over the one that is there; whether one was.
pub async fn put_over(client: &Client, key: &str, pieces: &[Bytes]) -> Result<bool, RedisError> {
    let bytes = pieces.iter().map(Bytes::len).sum::<usize>() as u64;
    let mut put = client.put(key, bytes, 1 << 42).await?;
    for piece in pieces {
        put.append(piece.clone()).await?;
    }
    put.finish().await
}
