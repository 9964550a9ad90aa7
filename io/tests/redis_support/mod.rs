//! What the tests of the Redis client have in common.

#![allow(dead_code)]

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use sluice_io::{
    reactor::executor::Executors,
    redis::{Client, Cmd, RedisError, RedisUrl, Settings, Tls, Value, cmd},
};

pub const WITHIN: Duration = Duration::from_secs(5);

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

pub fn text(text: &str) -> Value {
    Value::BulkString(text.into())
}
