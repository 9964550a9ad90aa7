//! Chunk bodies in Redis: written as they come, copied to their place, freed.
//!
//! A list of an upload's bodies lies beside them, and names each before it is there: so whatever
//! was lost on the way is found when the upload is swept.

use std::time::Duration;

use bytes::Bytes;
use sluice_io::redis::{Client, Put, RedisError, cmd, read};
use sluice_proto::ids::UploadId;

use crate::{
    serve::clock,
    store::redis::{body_key, body_list_key, kept_ms},
};

/// Of a body that is read, at a time.
const SLICE_BYTES: u64 = 1 << 20;
/// Bodies of one sweep's step.
const SWEEP_COUNT: usize = 200;

/// The bodies of one shard's uploads. Clones share the connections.
#[derive(Clone)]
pub(in crate::serve) struct RedisSpool {
    client: Client,
    /// Redis may forget a body so long after it was written, if nobody puts that off.
    kept_ms: u64,
}

/// One attempt at a chunk.
#[derive(Clone, Copy, Debug)]
pub(in crate::serve) struct BodyName {
    pub(in crate::serve) upload_id: UploadId,
    pub(in crate::serve) number: u32,
    pub(in crate::serve) attempt: u32,
}

impl BodyName {
    fn key(&self) -> String {
        body_key(&self.upload_id, self.number, self.attempt)
    }

    fn list(&self) -> String {
        body_list_key(&self.upload_id)
    }

    /// As the list has it.
    fn member(&self) -> String {
        format!("{}:{}", self.number, self.attempt)
    }
}

impl RedisSpool {
    /// For uploads that live for `upload_lifetime`.
    pub(in crate::serve) fn new(client: Client, upload_lifetime: Duration) -> Self {
        Self { client, kept_ms: kept_ms(upload_lifetime.as_millis() as u64) }
    }

    /// Begins to write a body.
    pub(in crate::serve) async fn put(
        &self,
        body: BodyName,
        bytes: u64,
    ) -> Result<Put, RedisError> {
        let (list, until_ms) = (body.list(), clock::wall_ms() + self.kept_ms);
        let mut name = cmd("SADD");
        name.arg(&list).arg(body.member());
        let mut keep = cmd("PEXPIREAT");
        keep.arg(&list).arg(until_ms).arg("NX");
        self.client.put(&body.key(), bytes, until_ms, &[name, keep]).await
    }

    /// Reads a slice of a body of `bytes` bytes from `offset` on; `None` where Redis hasn't it all.
    pub(in crate::serve) async fn read(
        &self,
        body: BodyName,
        offset: u64,
        bytes: u64,
    ) -> Result<Option<Bytes>, RedisError> {
        let wanted = SLICE_BYTES.min(bytes - offset) as usize;
        let slice = self.client.get_range(&body.key(), offset, wanted).await?;
        Ok((slice.len() == wanted).then_some(slice))
    }

    /// Frees a body. One that stays is found by a sweep.
    ///
    /// Also one that isn't there: its write may have been given up and be done yet, so it keeps its
    /// name until the sweep.
    pub(in crate::serve) async fn free(&self, body: BodyName) -> Result<(), RedisError> {
        let (key, list) = (body.key(), body.list());
        let mut unlink = cmd("UNLINK");
        unlink.arg(&key);
        if read::<u64>(self.client.run(&key, &unlink).await?)? == 0 {
            return Ok(());
        }
        let mut unname = cmd("SREM");
        unname.arg(&list).arg(body.member());
        self.client.run(&list, &unname).await.map(drop)
    }

    /// Frees all bodies of an upload.
    pub(in crate::serve) async fn sweep(&self, upload_id: &UploadId) -> Result<(), RedisError> {
        let list = body_list_key(upload_id);
        loop {
            let members = self.some(&list).await?;
            if members.is_empty() {
                return Ok(());
            }
            let mut unlink = cmd("UNLINK");
            unlink.arg(keys(upload_id, &members));
            self.client.run(&list, &unlink).await?;
            // Last, so that whoever dies before finds them again.
            let mut unname = cmd("SREM");
            unname.arg(&list).arg(&members);
            self.client.run(&list, &unname).await?;
        }
    }

    /// Puts off when Redis may forget an upload's bodies.
    pub(in crate::serve) async fn keep(&self, upload_id: &UploadId) -> Result<(), RedisError> {
        let list = body_list_key(upload_id);
        let mut ask = cmd("SMEMBERS");
        ask.arg(&list);
        let members: Vec<String> = read(self.client.run(&list, &ask).await?)?;
        let until_ms = clock::wall_ms() + self.kept_ms;
        for key in keys(upload_id, &members).into_iter().chain([list]) {
            let mut put_off = cmd("PEXPIREAT");
            put_off.arg(&key).arg(until_ms).arg("GT");
            self.client.run(&key, &put_off).await?;
        }
        Ok(())
    }

    async fn some(&self, list: &str) -> Result<Vec<String>, RedisError> {
        let mut ask = cmd("SRANDMEMBER");
        ask.arg(list).arg(SWEEP_COUNT);
        read(self.client.run(list, &ask).await?)
    }
}

fn keys(upload_id: &UploadId, members: &[String]) -> Vec<String> {
    let parse = |member: &String| {
        let (number, attempt) = member.split_once(':')?;
        Some(body_key(upload_id, number.parse().ok()?, attempt.parse().ok()?))
    };
    members.iter().filter_map(parse).collect()
}
