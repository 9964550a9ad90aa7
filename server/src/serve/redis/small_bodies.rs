//! Small bodies, and what is freed: those of one upload that come while others of it are on their way
//! go together, in one command.

use std::{
    cell::RefCell,
    collections::{HashMap, hash_map::Entry},
    rc::Rc,
    time::Duration,
};

use sluice_io::reactor::{task, timer};
use sluice_proto::ids::UploadId;
use sluice_shard::{Event, event::Outcome, keys::OpId};

use super::{BodyName, RedisSpool};
use crate::{
    metrics::Work,
    serve::{switch::Switch, work::WorkLog},
};

/// Of one command, at most: others wait meanwhile.
const TOGETHER_BYTES_MAX: usize = 256 << 10;
const TOGETHER_MAX: usize = 256;
/// Nobody waits for what is freed, so more of it is waited for.
const FREE_PAUSE: Duration = Duration::from_millis(5);

/// The small bodies of one shard.
#[derive(Clone)]
pub(in crate::serve) struct SmallBodies(Rc<Inner>);

struct Inner {
    spool: RedisSpool,
    switch: Switch,
    work: WorkLog,
    /// Of uploads of which some are on their way: what comes behind them.
    puts: Lines<SmallBody>,
    frees: Lines<BodyName>,
}

type Lines<T> = RefCell<HashMap<UploadId, Vec<T>>>;

/// One that is written.
pub(in crate::serve) struct SmallBody {
    /// Told of its end.
    pub(in crate::serve) op: OpId,
    pub(in crate::serve) name: BodyName,
    pub(in crate::serve) bytes: Vec<u8>,
}

impl SmallBodies {
    pub(in crate::serve) fn new(spool: RedisSpool, switch: Switch, work: WorkLog) -> Self {
        let (puts, frees) = (RefCell::default(), RefCell::default());
        Self(Rc::new(Inner { spool, switch, work, puts, frees }))
    }

    /// Writes a body; its operation is told of the end.
    pub(in crate::serve) fn put(&self, body: SmallBody) {
        let upload_id = body.name.upload_id;
        if line_up(&self.0.puts, upload_id, body) {
            let inner = Rc::clone(&self.0);
            task::spawn_local(async move { inner.put_all(upload_id).await }).detach();
        }
    }

    /// Frees a body, some time. What stays is found by the sweep of its upload: so after a failure no
    /// others are tried that wait.
    pub(in crate::serve) fn free(&self, body: BodyName) {
        let upload_id = body.upload_id;
        if line_up(&self.0.frees, upload_id, body) {
            let inner = Rc::clone(&self.0);
            task::spawn_local(async move { inner.free_all(upload_id).await }).detach();
        }
    }
}

impl Inner {
    async fn put_all(&self, upload_id: UploadId) {
        loop {
            let together = next(&self.puts, upload_id, |body| body.bytes.len());
            if together.is_empty() {
                return;
            }
            let bodies: Vec<_> = together.iter().map(|body| (body.name, &*body.bytes)).collect();
            let writing = self.spool.write(&upload_id, &bodies);
            let ended = self.work.watch(Work::Put, upload_id, writing).await;
            for body in &together {
                let result = ended.map(|()| Outcome::Done);
                self.switch.post_here(Event::Done { op: body.op, result });
            }
        }
    }

    async fn free_all(&self, upload_id: UploadId) {
        loop {
            timer::sleep(FREE_PAUSE).await;
            let together = next(&self.frees, upload_id, |_| 0);
            if together.is_empty() {
                return;
            }
            let freeing = self.spool.free(&upload_id, &together);
            if self.work.watch(Work::Free, upload_id, freeing).await.is_err() {
                self.frees.borrow_mut().insert(upload_id, Vec::new());
            }
        }
    }
}

/// Whether nobody goes on with the line yet.
fn line_up<T>(lines: &Lines<T>, upload_id: UploadId, one: T) -> bool {
    match lines.borrow_mut().entry(upload_id) {
        Entry::Occupied(mut line) => {
            line.get_mut().push(one);
            false
        }
        Entry::Vacant(line) => {
            line.insert(vec![one]);
            true
        }
    }
}

/// The first of a line, which go together; none, and the line is gone, where nobody waits.
fn next<T>(lines: &Lines<T>, upload_id: UploadId, bytes: impl Fn(&T) -> usize) -> Vec<T> {
    let mut lines = lines.borrow_mut();
    let line = lines.get_mut(&upload_id).expect("a line stays while it is served");
    let mut sum_bytes = 0;
    let fits = |one: &&T| {
        sum_bytes += bytes(one);
        sum_bytes <= TOGETHER_BYTES_MAX
    };
    let count = line.iter().take(TOGETHER_MAX).take_while(fits).count();
    let together: Vec<T> = line.drain(..count).collect();
    if together.is_empty() {
        lines.remove(&upload_id);
    }
    together
}
