//! StreamUploadProgress: whoever watches an upload is told of its changes.
//!
//! All watchers of one upload on a shard share one question to its owner and one encoded answer,
//! so a thousand cost what one does but the sending. Each holds only what was told last: a slow
//! reader is told the latest, never a backlog.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, HashMap},
    future::poll_fn,
    net::IpAddr,
    pin::Pin,
    rc::{Rc, Weak},
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use prost::Message as _;
use sluice_io::{
    edge::request::EdgeReply,
    reactor::{
        task::{self, CancelOnDrop},
        timer::{self, Sleep},
    },
};
use sluice_proto::{
    error::Refusal,
    grpc::frame::{PREFIX_BYTES, frame_reply},
    ids::UploadId,
    pb,
};
use sluice_shard::{
    Event,
    effect::{CallReply, Progress, UploadView},
};

use super::{
    Call, Failed, Service, TENANT, generated::read_whole, inflow::Inflow, reply, unreadable,
    until_gone, view,
};

/// Changes within this time are told as one.
const COALESCE: Duration = Duration::from_millis(100);
/// Told again after this long without a change: load balancers cut calls that are idle for 60 s.
const REPEAT: Duration = Duration::from_secs(20);

/// Uploads are watched where they were asked about: the answer tells how to reach their owner.
type Key = (UploadId, IpAddr);

/// The uploads that are watched on one shard.
#[derive(Default)]
pub(crate) struct Watches(RefCell<HashMap<Key, Weak<Watch>>>);

/// One upload that is watched. It ends with its last watcher.
struct Watch {
    told: RefCell<Option<Told>>,
    /// Counts what was told.
    version: Cell<u64>,
    watchers: RefCell<BTreeMap<u64, Waker>>,
    next_watcher: Cell<u64>,
    asking: RefCell<Option<CancelOnDrop<()>>>,
}

/// One who watches. Forgotten when dropped.
struct Watcher {
    watch: Rc<Watch>,
    number: u64,
    /// The version that it was told last.
    seen: u64,
}

#[derive(Clone)]
struct Told {
    answer: Result<Bytes, Refusal>,
    is_last: bool,
}

/// Serves one watcher: the gRPC code that it ended with.
pub(super) async fn stream_upload_progress(
    service: &Rc<Service>,
    call: &Call,
    inflow: Inflow,
    reply: &mut EdgeReply,
) -> Result<i32, Failed> {
    let upload_id = until_gone(reply, async { read(inflow).await }).await?;
    let owner = service.owner(&upload_id)?;
    let mut watcher = Watcher::new(join(service, (upload_id, call.local_ip), owner));
    let mut begun = false;
    loop {
        let told = watcher.next(reply, begun).await?;
        match told.answer {
            Ok(message) => {
                if !begun {
                    // It is told the latest whenever it reads again.
                    reply.be_patient();
                    reply::begin(reply)?;
                    begun = true;
                }
                reply.send(message).await?;
            }
            // Nothing was told, so it can be told as a refusal is.
            Err(refusal) if !begun => return Err(refusal.into()),
            Err(refusal) => {
                service.metrics.refused(refusal.reason);
                return Ok(reply::end(reply, Some(&refusal)));
            }
        }
        if told.is_last {
            return Ok(reply::end(reply, None));
        }
    }
}

async fn read(inflow: Inflow) -> Result<UploadId, Failed> {
    let message = read_whole(inflow).await?;
    let request = pb::StreamUploadProgressRequest::decode(&message[PREFIX_BYTES..]);
    let request = request.map_err(|_| unreadable())?;
    Ok(UploadId::from_request(&request.upload_id)?)
}

/// Watches an upload together with all who do already.
fn join(service: &Rc<Service>, key: Key, owner: u16) -> Rc<Watch> {
    let mut watches = service.watches.0.borrow_mut();
    if let Some(watch) = watches.get(&key).and_then(Weak::upgrade)
        && !watch.is_over()
    {
        return watch;
    }
    let watch = Rc::new(Watch {
        told: RefCell::default(),
        version: Cell::new(0),
        watchers: RefCell::default(),
        next_watcher: Cell::new(0),
        asking: RefCell::default(),
    });
    let asking = ask(Rc::clone(service), key, owner, Rc::downgrade(&watch));
    *watch.asking.borrow_mut() = Some(task::spawn_local(asking).cancel_on_drop());
    watches.retain(|_, watch| watch.strong_count() > 0);
    watches.insert(key, Rc::downgrade(&watch));
    watch
}

/// Asks the owner for one change after the other.
async fn ask(service: Rc<Service>, (upload_id, local_ip): Key, owner: u16, watch: Weak<Watch>) {
    let mut seen = None;
    loop {
        let result = changed(&service, upload_id, owner, seen).await;
        let Some(watch) = watch.upgrade() else { return };
        let is_last = result.as_ref().map_or(true, |upload| upload.progress().state.ended());
        seen = result.as_ref().ok().map(|upload| upload.progress());
        let answer = result.map(|upload| encode(&service, &upload, local_ip));
        watch.tell(Told { answer, is_last });
        drop(watch);
        if is_last {
            return;
        }
        timer::sleep(COALESCE).await;
    }
}

async fn changed(
    service: &Service,
    upload_id: UploadId,
    owner: u16,
    seen: Option<Progress>,
) -> Result<Box<UploadView>, Refusal> {
    let event = |call| Event::Watch { call, tenant: TENANT.to_owned(), upload_id, seen };
    match service.switch.call(owner, event).await? {
        CallReply::Watched(upload) => Ok(upload),
        other => unreachable!("a watch was answered {other:?}"),
    }
}

fn encode(service: &Service, upload: &UploadView, local_ip: IpAddr) -> Bytes {
    let endpoints = service.endpoints(&upload.record.upload_id, local_ip);
    let upload = Some(view::upload(upload, endpoints, &service.objects));
    frame_reply(&pb::StreamUploadProgressResponse { upload })
}

impl Watch {
    fn is_over(&self) -> bool {
        self.told.borrow().as_ref().is_some_and(|told| told.is_last)
    }

    fn tell(&self, told: Told) {
        *self.told.borrow_mut() = Some(told);
        self.version.set(self.version.get() + 1);
        std::mem::take(&mut *self.watchers.borrow_mut()).into_values().for_each(Waker::wake);
    }
}

impl Watcher {
    fn new(watch: Rc<Watch>) -> Self {
        let number = watch.next_watcher.get();
        watch.next_watcher.set(number + 1);
        Self { watch, number, seen: 0 }
    }

    /// What is told next: once it differs from what was told last, or again after a while.
    async fn next(&mut self, reply: &mut EdgeReply, repeats: bool) -> Result<Told, Failed> {
        let mut repeat: Option<Sleep> = repeats.then(|| timer::sleep(REPEAT));
        poll_fn(|cx| {
            if reply.poll_gone(cx).is_ready() {
                return Poll::Ready(Err(Failed::Gone));
            }
            let due = repeat.as_mut().is_some_and(|repeat| Pin::new(repeat).poll(cx).is_ready());
            self.poll_told(cx, due).map(Ok)
        })
        .await
    }

    fn poll_told(&mut self, cx: &mut Context<'_>, again: bool) -> Poll<Told> {
        let version = self.watch.version.get();
        match &*self.watch.told.borrow() {
            Some(told) if again || self.seen != version => {
                self.seen = version;
                Poll::Ready(told.clone())
            }
            _ => {
                let mut watchers = self.watch.watchers.borrow_mut();
                watchers.insert(self.number, cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.watch.watchers.borrow_mut().remove(&self.number);
    }
}
