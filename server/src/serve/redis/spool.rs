//! Chunk bodies in Redis: written as they come, copied to their place, freed.
//!
//! A list of an upload's bodies lies beside them, and names each before it is there: so whatever
//! was lost on the way is found when the upload is swept.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    rc::Rc,
    sync::LazyLock,
    time::Duration,
};

use bytes::Bytes;
use sluice_io::redis::{Client, RedisError, Script, cmd, read};
use sluice_proto::ids::UploadId;

use super::body_put::slot_moves;
use crate::{
    serve::clock,
    store::redis::{body_key, body_list_key, kept_ms},
};

/// Of a body that is read, at a time.
const SLICE_BYTES: u64 = 1 << 20;
/// Bodies of one sweep's step.
const SWEEP_COUNT: usize = 200;
/// What is made is known to be, and confirmed by another command, within the time of so many.
const UNSURE_COMMANDS: u64 = 4;

static BEGIN: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("begin.lua")));
static FREE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("free.lua")));

/// The bodies of one shard's uploads. Clones share the connections.
#[derive(Clone)]
pub(in crate::serve) struct RedisSpool {
    pub(super) client: Client,
    /// Redis may forget a body so long after it was written, if nobody puts that off.
    kept_ms: u64,
    /// Of uploads that aren't swept.
    marks: Rc<RefCell<HashMap<UploadId, Rc<Mark>>>>,
}

/// What an upload's list holds beside names: whoever knows it may write bodies.
pub(super) struct Mark {
    text: String,
    /// Whether the list stays until its upload has ended.
    kept: Cell<bool>,
}

impl Mark {
    /// One that nobody has had.
    fn new() -> Self {
        let mut bytes = [0; 8];
        getrandom::fill(&mut bytes).expect("a kernel with io_uring has getrandom");
        let text = format!("mark {:016x}", u64::from_be_bytes(bytes));
        Self { text, kept: Cell::default() }
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    pub(super) fn is_kept(&self) -> bool {
        self.kept.get()
    }

    pub(super) fn keep(&self) {
        self.kept.set(true);
    }
}

/// One attempt at a chunk.
#[derive(Clone, Copy, Debug)]
pub(in crate::serve) struct BodyName {
    pub(in crate::serve) upload_id: UploadId,
    pub(in crate::serve) number: u32,
    pub(in crate::serve) attempt: u32,
}

impl BodyName {
    pub(super) fn key(&self) -> String {
        body_key(&self.upload_id, self.number, self.attempt)
    }

    pub(super) fn list(&self) -> String {
        body_list_key(&self.upload_id)
    }

    /// As the list has it.
    pub(super) fn member(&self) -> String {
        format!("{}:{}", self.number, self.attempt)
    }
}

impl RedisSpool {
    /// For uploads that live for `upload_lifetime`.
    pub(in crate::serve) fn new(client: Client, upload_lifetime: Duration) -> Self {
        let kept_ms = kept_ms(upload_lifetime.as_millis() as u64);
        Self { client, kept_ms, marks: Rc::default() }
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

    /// Frees bodies of an upload. One that stays, or whose write is yet to be done, is found by a sweep.
    pub(super) async fn free(
        &self,
        upload_id: &UploadId,
        bodies: &[BodyName],
    ) -> Result<(), RedisError> {
        let list = body_list_key(upload_id);
        let keys: Vec<_> = bodies.iter().map(BodyName::key).collect();
        let all: Vec<_> = [&*list].into_iter().chain(keys.iter().map(|key| &**key)).collect();
        let mut free = FREE.by_name(&all);
        for body in bodies {
            free.arg(body.member());
        }
        match self.client.run_script(&list, &FREE, &free).await {
            Err(error) if slot_moves(&error) => {
                for key in keys {
                    let mut unlink = cmd("UNLINK");
                    unlink.arg(&key);
                    self.client.run(&key, &unlink).await?;
                }
                Ok(())
            }
            ended => ended.map(drop),
        }
    }

    /// Frees all bodies of an upload, which gets none any more.
    pub(in crate::serve) async fn sweep(&self, upload_id: &UploadId) -> Result<(), RedisError> {
        let list = body_list_key(upload_id);
        self.marks.borrow_mut().remove(upload_id);
        loop {
            let members = self.some(&list).await?;
            if members.is_empty() {
                return Ok(());
            }
            let bodies = keys(upload_id, &members);
            if !bodies.is_empty() {
                let mut unlink = cmd("UNLINK");
                unlink.arg(bodies);
                self.client.run(&list, &unlink).await?;
            }
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
        let until_ms = self.until_ms();
        for key in keys(upload_id, &members).into_iter().chain([list]) {
            let mut put_off = cmd("PEXPIREAT");
            put_off.arg(&key).arg(until_ms).arg("GT");
            self.client.run(&key, &put_off).await?;
        }
        Ok(())
    }

    /// What bodies of an upload are written with.
    pub(super) async fn mark(&self, upload_id: &UploadId) -> Result<Rc<Mark>, RedisError> {
        if let Some(mark) = self.marks.borrow().get(upload_id) {
            return Ok(Rc::clone(mark));
        }
        let (list, mark) = (body_list_key(upload_id), Rc::new(Mark::new()));
        let mut begin = BEGIN.by_name(&[&list]);
        begin.arg(mark.text()).arg(self.unsure_ms());
        self.client.run_script(&list, &BEGIN, &begin).await?;
        // Another body may have been faster.
        Ok(Rc::clone(self.marks.borrow_mut().entry(*upload_id).or_insert(mark)))
    }

    /// Redis has lost a mark.
    pub(super) fn lose(&self, upload_id: &UploadId, mark: &Rc<Mark>) {
        let mut marks = self.marks.borrow_mut();
        if marks.get(upload_id).is_some_and(|current| Rc::ptr_eq(current, mark)) {
            marks.remove(upload_id);
        }
    }

    /// When Redis may forget what is written now, Unix ms.
    pub(super) fn until_ms(&self) -> u64 {
        clock::wall_ms() + self.kept_ms
    }

    /// What was made stays for so long before it is known to have been made: until then it may be what
    /// was given up.
    pub(super) fn unsure_ms(&self) -> u64 {
        UNSURE_COMMANDS * self.client.within().as_millis() as u64
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
    // Not of marks.
    members.iter().filter_map(parse).collect()
}
