//! Bodies: long values, written as they come and read a slice at a time.
//!
//! Each has a connection to itself while it is on its way, so that none delays a command or another
//! body. A connection on which a body was given up is closed: Redis forgets what it has of it.

use std::{rc::Rc, time::Duration};

use async_lock::SemaphoreGuardArc;
use bytes::Bytes;
use redis::{Cmd, Value, cmd};

use super::{
    client::{Client, REDIRECTS_MAX, sent_on_too_often},
    connection::unredirected,
    error::{Failed, Redirect, RedisError},
    node::Node,
    raw::RawConnection,
};
use crate::reactor::timer;

/// A body on its way to Redis. Dropped before its end, nothing of it stays.
pub struct Put {
    client: Client,
    key: String,
    lent: Lent,
    /// Whether it has `ASKING` before it.
    asking: bool,
    /// What opens it, until the first piece is there.
    head: Vec<u8>,
    tail: Vec<u8>,
    left_bytes: u64,
}

/// A connection, for one body.
pub(super) struct Lent {
    pub(super) node: Rc<Node>,
    pub(super) connection: RawConnection,
    pub(super) _turn: SemaphoreGuardArc,
}

impl Client {
    /// Begins to write a value of `bytes` bytes over the one under `key`, which goes at `expire_ms`
    /// (Unix ms) unless it is deleted before: `SET` with `XX` and `PXAT`. Redis looks for the one
    /// before when it has all of this: where it was deleted, nothing comes to be, however late.
    ///
    /// Waits while too many bodies are on their way.
    ///
    /// # Errors
    /// [`RedisError`].
    pub async fn put(&self, key: &str, bytes: u64, expire_ms: u64) -> Result<Put, RedisError> {
        let (node, asking) = self.route(key);
        let lent = node.lend(node.writes(), self.within()).await?;
        let mut head = Vec::with_capacity(256);
        // While its slot is on its way.
        if asking {
            head.extend(cmd("ASKING").get_packed_command());
        }
        head.extend(format!("*6\r\n$3\r\nSET\r\n${}\r\n{key}\r\n${bytes}\r\n", key.len()).bytes());
        let expire = expire_ms.to_string();
        let tail = format!("\r\n$4\r\nPXAT\r\n${}\r\n{expire}\r\n$2\r\nXX\r\n", expire.len());
        let (client, key, tail) = (self.clone(), key.to_owned(), tail.into_bytes());
        Ok(Put { client, key, lent, asking, head, tail, left_bytes: bytes })
    }

    /// Reads `bytes` bytes of a value from `offset` on (`GETRANGE`): fewer where it ends before, none
    /// where there is no such value.
    ///
    /// # Errors
    /// [`RedisError`].
    pub async fn get_range(
        &self,
        key: &str,
        offset: u64,
        bytes: usize,
    ) -> Result<Bytes, RedisError> {
        let mut get = cmd("GETRANGE");
        get.arg(key).arg(offset).arg(offset + bytes as u64 - 1);
        // Never where another key of a slot on its way was found: it may not have this one yet.
        let (mut node, mut asking) = (self.node_of(key), false);
        for _ in 0..REDIRECTS_MAX {
            let mut lent = node.lend(node.reads(), self.within()).await?;
            let reading = read_slice(&mut lent.connection, &get, asking, bytes);
            match deadline(self.within(), reading).await {
                Err(Failed::Redirected(redirect)) => {
                    lent.give_back();
                    (node, asking) = self.follow(&redirect, &node.host)?;
                }
                ended => return self.settle(key, lent, ended).await,
            }
        }
        Err(sent_on_too_often())
    }

    /// Gives a connection back, unless its body broke it, and learns from a redirection.
    async fn settle<T>(
        &self,
        key: &str,
        lent: Lent,
        ended: Result<T, Failed>,
    ) -> Result<T, RedisError> {
        match ended {
            Ok(value) => {
                lent.give_back();
                Ok(value)
            }
            Err(Failed::Redirected(redirect)) => {
                // Its bytes are gone, so whoever has them must try again, and then finds the way.
                let asked = lent.node.host.clone();
                lent.give_back();
                let code = if matches!(redirect, Redirect::Ask(_)) { "ASK" } else { "MOVED" };
                self.follow_later(redirect, &asked, key).await;
                Err(RedisError::NotNow {
                    code: code.to_owned(),
                    message: "the slot moves".to_owned(),
                })
            }
            Err(failed) => {
                let error = unredirected(failed);
                if !error.breaks() {
                    lent.give_back();
                }
                if error.unsettles() {
                    self.look_again().await;
                }
                Err(error)
            }
        }
    }
}

impl Put {
    /// Sends the next bytes, from where they lie.
    ///
    /// # Errors
    /// [`RedisError`]: then this is over.
    ///
    /// # Panics
    /// When more bytes come than were announced.
    pub async fn append(&mut self, piece: Bytes) -> Result<(), RedisError> {
        self.left_bytes = self.left_bytes.checked_sub(piece.len() as u64).expect("no more come");
        let (head, within) = (std::mem::take(&mut self.head), self.client.within());
        let writing = self.lent.connection.write_both(&head, &piece);
        deadline(within, async { Ok(writing.await?) }).await.map_err(unredirected)
    }

    /// Waits until Redis has it. Whether it has: not where there was nothing under its key.
    ///
    /// # Errors
    /// [`RedisError`].
    ///
    /// # Panics
    /// When fewer bytes came than were announced.
    pub async fn finish(self) -> Result<bool, RedisError> {
        let Self { client, key, mut lent, asking, head, tail, left_bytes } = self;
        assert_eq!(left_bytes, 0, "all came");
        let ending = async {
            lent.connection.write_both(&head, &tail).await?;
            // Both answers, or the connection would be of no use any more.
            let asked = if asking { lent.connection.answer().await } else { Ok(Value::Nil) };
            match in_turn(asked, lent.connection.answer().await)? {
                Value::Okay => Ok(true),
                Value::Nil => Ok(false),
                _ => Err(RedisError::Answer("to SET".to_owned()).into()),
            }
        };
        let ended = deadline(client.within(), ending).await;
        client.settle(&key, lent, ended).await
    }
}

impl Lent {
    fn give_back(self) {
        self.node.take_back(self.connection);
    }
}

/// What the second of two answers is, if neither is an error: else the first error, unless only the
/// second tells that the connection is of no use any more.
fn in_turn<T>(first: Result<Value, Failed>, second: Result<T, Failed>) -> Result<T, Failed> {
    match (first, second) {
        (Err(_), Err(Failed::Error(error))) if error.breaks() => Err(error.into()),
        (Err(first), _) => Err(first),
        (Ok(_), second) => second,
    }
}

async fn read_slice(
    connection: &mut RawConnection,
    get: &Cmd,
    asking: bool,
    bytes_max: usize,
) -> Result<Bytes, Failed> {
    let mut asked = Ok(Value::Nil);
    if asking {
        let both = [cmd("ASKING").get_packed_command(), get.get_packed_command()].concat();
        connection.write(&both).await?;
        asked = connection.answer().await;
    } else {
        connection.write(&get.get_packed_command()).await?;
    }
    // Both answers, or the next body on this connection would be this one.
    in_turn(asked, connection.body(bytes_max).await)
}

async fn deadline<T>(
    within: Duration,
    work: impl Future<Output = Result<T, Failed>>,
) -> Result<T, Failed> {
    let within_ms = within.as_millis() as u64;
    let ended = timer::deadline(work, within).await;
    ended.unwrap_or(Err(Failed::Error(RedisError::Deadline { within_ms })))
}
