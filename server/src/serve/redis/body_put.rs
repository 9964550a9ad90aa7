//! A body on its way to Redis.
//!
//! No order holds between connections, so a write that was given up may be done after its body was
//! freed and its upload swept. It must then leave nothing. So a body is named and made by one script,
//! which does nothing unless the upload's list has a mark: one that this process has put there, was
//! told so, and has put nowhere else. The sweep takes it away with the list. What is too long for a
//! script is made empty by it, for a short while, and then written by a command that writes only over
//! what is there.

use std::sync::LazyLock;

use bytes::Bytes;
use sluice_io::redis::{Put, RedisError, Script, Value, cmd};

use super::spool::{BodyName, Mark, RedisSpool};

/// A body of at most so many bytes goes with commands: as long as it takes to copy, they wait.
pub(super) const SMALL_BYTES_MAX: u64 = 16 << 10;
/// A list is gone after a try only if Redis has lost it.
const TRIES_MAX: usize = 3;

static PUT: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("put.lua")));

/// A body on its way to Redis. Dropped before its end, nothing of it stays.
pub(in crate::serve) struct BodyPut {
    spool: RedisSpool,
    body: BodyName,
    until_ms: u64,
    way: Way,
}

enum Way {
    /// Gathered, as it is charged whole.
    Small(Vec<u8>),
    Large(Put),
}

/// What is made of a body.
#[derive(Clone, Copy)]
enum Made<'a> {
    Whole {
        bytes: &'a [u8],
        until_ms: u64,
    },
    /// With nothing in it, for so long.
    Empty {
        for_ms: u64,
    },
}

impl BodyPut {
    pub(super) async fn begin(
        spool: RedisSpool,
        body: BodyName,
        bytes: u64,
        until_ms: u64,
    ) -> Result<Self, RedisError> {
        let way = if bytes <= SMALL_BYTES_MAX {
            Way::Small(Vec::with_capacity(bytes as usize))
        } else {
            Way::Large(spool.client.put(&body.key(), bytes, until_ms).await?)
        };
        Ok(Self { spool, body, until_ms, way })
    }

    pub(in crate::serve) async fn append(&mut self, piece: Bytes) -> Result<(), RedisError> {
        match &mut self.way {
            Way::Small(gathered) => gathered.extend_from_slice(&piece),
            Way::Large(put) => put.append(piece).await?,
        }
        Ok(())
    }

    /// Waits until Redis has it.
    pub(in crate::serve) async fn finish(self) -> Result<(), RedisError> {
        let Self { spool, body, until_ms, way } = self;
        match way {
            Way::Small(bytes) => {
                let whole = Made::Whole { bytes: &bytes, until_ms };
                spool.make(&body, until_ms, whole).await
            }
            Way::Large(put) => {
                let empty = Made::Empty { for_ms: spool.unsure_ms() };
                spool.make(&body, until_ms, empty).await?;
                if put.finish().await? { Ok(()) } else { Err(forgotten()) }
            }
        }
    }
}

impl RedisSpool {
    async fn make(&self, body: &BodyName, until_ms: u64, made: Made<'_>) -> Result<(), RedisError> {
        for _ in 0..TRIES_MAX {
            let mark = self.mark(&body.upload_id).await?;
            let list_until_ms = if mark.is_kept() { 0 } else { until_ms };
            let answer = match self.make_at_once(body, &mark, list_until_ms, made).await {
                Err(error) if slot_moves(&error) => {
                    self.make_apart(body, &mark, list_until_ms, made).await?
                }
                ended => ended?,
            };
            match answer {
                Value::Okay => {
                    mark.keep();
                    return Ok(());
                }
                Value::Int(0) => self.lose(&body.upload_id, &mark),
                _ => return Err(RedisError::Answer("there is a body already".to_owned())),
            }
        }
        Err(forgotten())
    }

    async fn make_at_once(
        &self,
        body: &BodyName,
        mark: &Mark,
        list_until_ms: u64,
        made: Made<'_>,
    ) -> Result<Value, RedisError> {
        let (list, key) = (body.list(), body.key());
        let mut call = PUT.by_name(&[&list, &key]);
        call.arg(mark.text()).arg(body.member()).arg(list_until_ms);
        match made {
            Made::Whole { bytes, until_ms } => call.arg(bytes).arg("PXAT").arg(until_ms),
            Made::Empty { for_ms } => call.arg("").arg("PX").arg(for_ms),
        };
        self.client.run_script(&list, &PUT, &call).await
    }

    /// Key by key: while a slot of a cluster moves, no script gets keys that are there and others that
    /// aren't.
    async fn make_apart(
        &self,
        body: &BodyName,
        mark: &Mark,
        list_until_ms: u64,
        made: Made<'_>,
    ) -> Result<Value, RedisError> {
        let (list, key) = (body.list(), body.key());
        let mut name = PUT.by_name(&[&list]);
        name.arg(mark.text()).arg(body.member()).arg(list_until_ms);
        let named = self.client.run_script(&list, &PUT, &name).await?;
        if named != Value::Okay {
            return Ok(named);
        }
        let for_ms = self.unsure_ms();
        let mut make = cmd("SET");
        make.arg(&key).arg("").arg("NX").arg("PX").arg(for_ms);
        let answer = self.client.run(&key, &make).await?;
        let (Made::Whole { bytes, until_ms }, Value::Okay) = (made, &answer) else {
            return Ok(answer);
        };
        let mut fill = cmd("SET");
        fill.arg(&key).arg(bytes).arg("XX").arg("PXAT").arg(until_ms);
        match self.client.run(&key, &fill).await? {
            Value::Okay => Ok(Value::Okay),
            _ => Err(forgotten()),
        }
    }
}

pub(super) fn slot_moves(error: &RedisError) -> bool {
    matches!(error, RedisError::NotNow { code, .. } if code == "TRYAGAIN")
}

fn forgotten() -> RedisError {
    let message = "it was forgotten while it was written".to_owned();
    RedisError::NotNow { code: "GONE".to_owned(), message }
}
