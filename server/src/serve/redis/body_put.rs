//! Bodies on their way to Redis.
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
use sluice_proto::ids::UploadId;

use super::spool::{BodyName, Mark, RedisSpool};

/// A body of at most so many bytes goes with commands: as long as it takes to copy, they wait.
pub(in crate::serve) const SMALL_BYTES_MAX: u64 = 16 << 10;
/// A list is gone after a try only if Redis has lost it.
const TRIES_MAX: usize = 3;

static PUT: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("put.lua")));

/// A long body on its way to Redis. Dropped before its end, nothing of it stays.
pub(in crate::serve) struct BodyPut {
    spool: RedisSpool,
    body: BodyName,
    put: Put,
}

/// How long Redis keeps what is made, if nobody deletes it.
#[derive(Clone, Copy)]
enum Life {
    UntilMs(u64),
    ForMs(u64),
}

impl BodyPut {
    pub(in crate::serve) async fn append(&mut self, piece: Bytes) -> Result<(), RedisError> {
        self.put.append(piece).await
    }

    /// Waits until Redis has it.
    pub(in crate::serve) async fn finish(self) -> Result<(), RedisError> {
        let Self { spool, body, put } = self;
        let life = Life::ForMs(spool.unsure_ms());
        spool.make(&body.upload_id, &[(body, &[])], life).await?;
        if put.finish().await? { Ok(()) } else { Err(forgotten()) }
    }
}

impl RedisSpool {
    /// Begins to write a body.
    pub(in crate::serve) async fn put(
        &self,
        body: BodyName,
        bytes: u64,
    ) -> Result<BodyPut, RedisError> {
        let put = self.client.put(&body.key(), bytes, self.until_ms()).await?;
        Ok(BodyPut { spool: self.clone(), body, put })
    }

    /// Writes small bodies of an upload. After an error some may be there, or come to be.
    pub(super) async fn write(
        &self,
        upload_id: &UploadId,
        bodies: &[(BodyName, &[u8])],
    ) -> Result<(), RedisError> {
        self.make(upload_id, bodies, Life::UntilMs(self.until_ms())).await
    }

    async fn make(
        &self,
        upload_id: &UploadId,
        bodies: &[(BodyName, &[u8])],
        life: Life,
    ) -> Result<(), RedisError> {
        for _ in 0..TRIES_MAX {
            let mark = self.mark(upload_id).await?;
            let answer = match self.make_at_once(&mark, bodies, life).await {
                Err(error) if slot_moves(&error) => self.make_apart(&mark, bodies, life).await?,
                ended => ended?,
            };
            match answer {
                Value::Okay => {
                    mark.keep();
                    return Ok(());
                }
                Value::Int(0) => self.lose(upload_id, &mark),
                _ => return Err(RedisError::Answer("there is a body already".to_owned())),
            }
        }
        Err(forgotten())
    }

    async fn make_at_once(
        &self,
        mark: &Mark,
        bodies: &[(BodyName, &[u8])],
        life: Life,
    ) -> Result<Value, RedisError> {
        let list = bodies[0].0.list();
        let keys: Vec<_> = bodies.iter().map(|(body, _)| body.key()).collect();
        let of_all: Vec<_> = [&*list].into_iter().chain(keys.iter().map(|key| &**key)).collect();
        let mut call = PUT.by_name(&of_all);
        call.arg(mark.text()).arg(self.list_until_ms(mark));
        match life {
            Life::UntilMs(until_ms) => call.arg("PXAT").arg(until_ms),
            Life::ForMs(for_ms) => call.arg("PX").arg(for_ms),
        };
        for (body, bytes) in bodies {
            call.arg(body.member()).arg(*bytes);
        }
        self.client.run_script(&list, &PUT, &call).await
    }

    /// Key by key: while a slot of a cluster moves, no script gets keys that are there and others that
    /// aren't.
    async fn make_apart(
        &self,
        mark: &Mark,
        bodies: &[(BodyName, &[u8])],
        life: Life,
    ) -> Result<Value, RedisError> {
        let list = bodies[0].0.list();
        let mut name = PUT.by_name(&[&list]);
        name.arg(mark.text()).arg(self.list_until_ms(mark)).arg("PX").arg(0);
        for (body, _) in bodies {
            name.arg(body.member()).arg("");
        }
        let named = self.client.run_script(&list, &PUT, &name).await?;
        if named != Value::Okay {
            return Ok(named);
        }
        for (body, bytes) in bodies {
            let made = self.make_alone(&body.key(), bytes, life).await?;
            if made != Value::Okay {
                return Ok(made);
            }
        }
        Ok(Value::Okay)
    }

    async fn make_alone(&self, key: &str, bytes: &[u8], life: Life) -> Result<Value, RedisError> {
        let mut make = cmd("SET");
        make.arg(key).arg("").arg("NX").arg("PX").arg(self.unsure_ms());
        let made = self.client.run(key, &make).await?;
        let (Life::UntilMs(until_ms), Value::Okay) = (life, &made) else { return Ok(made) };
        let mut fill = cmd("SET");
        fill.arg(key).arg(bytes).arg("XX").arg("PXAT").arg(until_ms);
        match self.client.run(key, &fill).await? {
            Value::Okay => Ok(Value::Okay),
            _ => Err(forgotten()),
        }
    }

    /// When Redis may forget the list; 0: as was said before.
    fn list_until_ms(&self, mark: &Mark) -> u64 {
        if mark.is_kept() { 0 } else { self.until_ms() }
    }
}

pub(super) fn slot_moves(error: &RedisError) -> bool {
    matches!(error, RedisError::NotNow { code, .. } if code == "TRYAGAIN")
}

fn forgotten() -> RedisError {
    let message = "it was forgotten while it was written".to_owned();
    RedisError::NotNow { code: "GONE".to_owned(), message }
}
