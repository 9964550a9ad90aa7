//! The gRPC services of one shard: each request to who serves it, each answer counted.

mod acks;
mod ask;
mod control;
mod drives;
mod generated;
mod inflow;
mod initiate;
mod intake;
mod nodes;
mod progress;
mod rate;
mod reply;
mod spec;
mod token;
mod upload_chunk;
mod upload_chunks;
mod uploads;
mod view;
mod whole_chunk;

use std::{
    cell::OnceCell,
    future::poll_fn,
    net::{IpAddr, SocketAddr},
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Method as HttpMethod, header::CONTENT_TYPE};
use sluice_io::{
    edge::request::{EdgeReply, EdgeRequest},
    reactor::timer,
    sqlite::Database,
};
use sluice_proto::{
    error::{Reason, Refusal},
    ids::{NodeId, UploadId},
    limits::COMPLETE_WAIT_MS_MAX,
    pb::{
        self, drive_service_server::DriveServiceServer, node_service_server::NodeServiceServer,
        upload_service_server::UploadServiceServer,
    },
};

pub(crate) use generated::Generated;
pub(crate) use progress::Watches;
pub(crate) use spec::Offer;
pub(crate) use view::ObjectPlaces;

use self::{inflow::Inflow, reply::Failed};
use super::{stores::Stores, switch::Switch, work::WorkLog};
use crate::{
    metrics::{Method, RpcCode, ShardMetrics},
    placement::Placement,
};

/// Asked to come back after this long when something is short.
const RETRY_AFTER_MS: u64 = 200;

/// An answer is under way this long before the client's deadline.
const DEADLINE_MARGIN_MS: u64 = 100;

/// What the paths of the contract's methods begin with.
const PACKAGE: &str = "/sluice.upload.v1.";

/// Whose uploads they are: without authentication nobody's in particular.
const TENANT: &str = "";

/// All that the requests of one shard share.
pub(crate) struct Service {
    pub(crate) shard: u16,
    pub(crate) switch: Switch,
    pub(crate) placement: Placement,
    /// The shards' own addresses, by their numbers.
    pub(crate) own_addresses: Arc<[SocketAddr]>,
    pub(crate) offer: Offer,
    pub(crate) objects: ObjectPlaces,
    pub(crate) min_chunk_rate_bytes: u64,
    pub(crate) stores: Stores,
    pub(crate) metadata: Database,
    pub(crate) metrics: Rc<ShardMetrics>,
    pub(crate) work: WorkLog,
    pub(crate) generated: OnceCell<Generated>,
    pub(crate) watches: Watches,
}

/// Adds the services that other crates bring, the same to every shard.
pub(crate) type AddServices = Arc<dyn Fn(&mut Generated) + Send + Sync>;

/// What a handler knows of its call beside the message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call {
    /// Where the client reached us.
    local_ip: IpAddr,
    /// The client gives up then, monotonic ms.
    deadline_ms: Option<u64>,
}

impl Call {
    /// How long an answer may wait for the end of an upload, monotonic ms.
    fn wait_until_ms(&self) -> u64 {
        let longest = timer::now_ms() + COMPLETE_WAIT_MS_MAX;
        let deadline = self.deadline_ms.map(|at| at.saturating_sub(DEADLINE_MARGIN_MS));
        deadline.map_or(longest, |at| at.min(longest))
    }
}

impl Service {
    /// The shard that an upload belongs to.
    fn owner(&self, upload_id: &UploadId) -> Result<u16, Refusal> {
        let unknown =
            || Refusal::new(Reason::UploadUnknown, "no such upload").with("upload_id", upload_id);
        self.placement.owner(upload_id).ok_or_else(unknown)
    }

    /// Where its owner listens, best first.
    fn endpoints(&self, upload_id: &UploadId, local_ip: IpAddr) -> Vec<String> {
        let Some(owner) = self.placement.owner(upload_id) else { return Vec::new() };
        let mut address = self.own_addresses[usize::from(owner)];
        if address.ip().is_unspecified() {
            // It listens everywhere, so also where this client came from.
            address.set_ip(local_ip);
        }
        vec![address.to_string()]
    }

    fn generated(&self) -> &Generated {
        self.generated.get().expect("made before any listener")
    }

    fn limits(&self) -> pb::UploadLimits {
        let Offer { max_chunk_bytes, max_upload_bytes, .. } = self.offer;
        pb::UploadLimits {
            max_chunk_bytes: view::signed(max_chunk_bytes),
            recommended_chunk_bytes: view::signed(max_chunk_bytes.min(8 << 20)),
            recommended_parallel_chunks: 8,
            max_upload_bytes: view::signed(max_upload_bytes),
        }
    }

    /// An id of one of this shard's stores.
    fn fresh_upload_id(&self) -> UploadId {
        let store = self.placement.pick(self.shard, u16::from_be_bytes(random()));
        UploadId::new(self.placement.node(), store, random())
    }

    fn fresh_node_id(&self) -> NodeId {
        let text: String = random::<16>().iter().map(|byte| format!("{byte:02x}")).collect();
        NodeId::parse(&text).expect("hex digits are allowed")
    }
}

/// Random bytes of the kernel.
pub(crate) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("a kernel with io_uring has getrandom");
    bytes
}

/// Makes the generated services, once the rest of the service is made.
pub(crate) fn add_generated(service: &Rc<Service>, add_services: &AddServices) {
    let mut generated = Generated::default();
    // Their messages are read whole before, so they need no limit of their own.
    let control = control::Control::new(Rc::clone(service));
    generated.add(UploadServiceServer::new(control.clone()));
    generated.add(NodeServiceServer::new(control.clone()));
    generated.add(DriveServiceServer::new(control));
    add_services(&mut generated);
    let is_first = service.generated.set(generated).is_ok();
    assert!(is_first, "a shard makes its services once");
}

/// Serves one request.
pub(crate) async fn serve(service: Rc<Service>, local_ip: IpAddr, request: EdgeRequest) {
    let began_us = timer::now_us();
    let method = Method::of_path(request.head.uri.path());
    service.metrics.rpc_began(method);
    let code = answer(&service, method, local_ip, request).await;
    let now_us = timer::now_us();
    let took = Duration::from_micros(now_us - began_us);
    service.metrics.rpc_ended(method, RpcCode::of_number(code), took, now_us / 1000);
}

/// gRPC's CANCELLED: the client is gone.
const CANCELLED: i32 = 1;

/// gRPC's UNIMPLEMENTED.
const UNIMPLEMENTED: i32 = 12;

/// Answers one request: the gRPC code.
async fn answer(
    service: &Rc<Service>,
    method: Method,
    local_ip: IpAddr,
    request: EdgeRequest,
) -> i32 {
    let EdgeRequest { mut head, body, mut reply } = request;
    if !is_grpc(&head) {
        // Counted as what a gRPC client would have been told.
        return reply::send_not_grpc(reply, &head.method)
            .await
            .map_or(CANCELLED, |()| UNIMPLEMENTED);
    }
    let call = Call { local_ip, deadline_ms: deadline_ms(&head.headers) };
    let checked = check(&head);
    // They may be long, and the call may take its time.
    head.headers.clear();
    let inflow = Inflow::new(body);
    match checked {
        Ok(()) => dispatch(service, method, call, head, inflow, &mut reply).await,
        Err(refusal) => tell(service, &mut reply, Err(refusal.into())).await,
    }
}

/// Has a request served by whoever serves its method.
async fn dispatch(
    service: &Rc<Service>,
    method: Method,
    call: Call,
    mut head: http::request::Parts,
    mut inflow: Inflow,
    reply: &mut EdgeReply,
) -> i32 {
    let served = match method {
        Method::UploadChunk => {
            let work = upload_chunk::upload_chunk(service, &call, &mut inflow);
            let answered = until_gone(reply, work).await;
            return tell(service, reply, answered).await;
        }
        Method::InitiateUpload => {
            // Boxed, as all but the most frequent: every call's task is as large as its largest way.
            let work = initiate::initiate(service, &call, &mut inflow);
            let answered = Box::pin(until_gone(reply, work)).await;
            return tell(service, reply, answered).await;
        }
        Method::UploadChunks => {
            Box::pin(upload_chunks::upload_chunks(service, inflow, reply)).await
        }
        Method::StreamUploadProgress => {
            Box::pin(progress::stream_upload_progress(service, &call, inflow, reply)).await
        }
        Method::CompleteUpload
        | Method::AbortUpload
        | Method::GetUploadStatus
        | Method::ListUploads
        | Method::ListNodes
        | Method::GetNode
        | Method::CreateDrive
        | Method::GetDrive
        | Method::ListDrives => {
            head.extensions.insert(call);
            Box::pin(service.generated().serve_unary(head, inflow, reply)).await
        }
        // Generated code would tell the code alone.
        Method::Other if head.uri.path().starts_with(PACKAGE) => Err(unknown_method().into()),
        Method::Other => Box::pin(service.generated().serve(head, inflow, reply)).await,
    };
    match served {
        Ok(code) => code,
        Err(failed) => tell(service, reply, Err(failed)).await,
    }
}

/// Tells an answer of which nothing was sent: its gRPC code.
async fn tell(service: &Service, reply: &mut EdgeReply, answered: Result<Bytes, Failed>) -> i32 {
    let (answer, code) = match answered {
        Ok(message) => (Ok(message), 0),
        Err(Failed::Refused(refusal)) => {
            service.metrics.refused(refusal.reason);
            let code = refusal.code().number();
            (Err(refusal), code)
        }
        Err(Failed::Gone) => return CANCELLED,
    };
    reply::send(reply, &answer).await.map_or(CANCELLED, |()| code)
}

/// Works on an answer as long as somebody waits for it: else work would pile up behind a store
/// that can't be written, while its clients come and go.
async fn until_gone<T>(
    reply: &mut EdgeReply,
    work: impl Future<Output = Result<T, Failed>>,
) -> Result<T, Failed> {
    let gone = async {
        poll_fn(|cx| reply.poll_gone(cx)).await;
        Err(Failed::Gone)
    };
    futures_lite::future::or(work, gone).await
}

fn is_grpc(head: &http::request::Parts) -> bool {
    let content_type = head.headers.get(CONTENT_TYPE).map_or(&[][..], |value| value.as_bytes());
    head.method == HttpMethod::POST && content_type.starts_with(b"application/grpc")
}

/// Whether its encoding is one that is taken.
fn check(head: &http::request::Parts) -> Result<(), Refusal> {
    match head.headers.get("grpc-encoding").map(|value| value.as_bytes()) {
        None | Some(b"identity") => Ok(()),
        Some(_) => {
            let text = "compressed messages are not taken; send identity";
            Err(Refusal::new(Reason::CompressionUnsupported, text))
        }
    }
}

fn unknown_method() -> Refusal {
    Refusal::new(Reason::MethodUnknown, "no such method")
}

fn unreadable() -> Refusal {
    Refusal::new(Reason::FieldInvalid, "the message can't be read")
}

fn not_one_message() -> Refusal {
    Refusal::new(Reason::FieldInvalid, "the stream is not exactly one message")
}

/// When the client gives up: header `grpc-timeout`, at most eight digits and a unit.
fn deadline_ms(headers: &HeaderMap) -> Option<u64> {
    let text = headers.get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let value: u64 = digits.parse().ok().filter(|_| digits.len() <= 8)?;
    let timeout_ms = match unit {
        "H" => value * 3_600_000,
        "M" => value * 60_000,
        "S" => value * 1000,
        "m" => value,
        "u" => value / 1000,
        "n" => value / 1_000_000,
        _ => return None,
    };
    Some(timer::now_ms() + timeout_ms)
}
