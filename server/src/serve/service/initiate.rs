//! InitiateUpload: claims an upload, and takes a small file's bytes along in the same call.

use bytes::Bytes;
use sluice_proto::{
    error::{Reason, Refusal},
    grpc::{ChunkHeader, InitiateDecoder, InitiateEvent, Trailer, frame::frame_reply},
    ids::{ChunkCount, UploadId},
    pb,
};
use sluice_shard::{
    Event,
    effect::{CallReply, UploadView},
    event::Initiate,
    record::{State, UploadSpec},
};

use super::{
    Call, Failed, Service, TENANT, control,
    inflow::{Inflow, Part, Source, in_time, read_head},
    intake::{Ends, Intake, Target},
    not_one_message, spec, view,
};
use crate::serve::switch::Message;

impl Source for InitiateDecoder {
    fn push(&mut self, piece: Bytes) {
        InitiateDecoder::push(self, piece);
    }

    fn unpin(&mut self) {
        InitiateDecoder::unpin(self);
    }

    fn next_part(&mut self) -> Result<Option<Part>, Refusal> {
        Ok(match self.next_event()? {
            Some(InitiateEvent::Payload(bytes)) => Some(Part::Data(bytes)),
            Some(InitiateEvent::End) => Some(Part::End(Trailer::default())),
            Some(InitiateEvent::Request { .. }) => return Err(not_one_message()),
            None => None,
        })
    }

    fn unread_bytes(&self) -> usize {
        InitiateDecoder::unread_bytes(self)
    }

    fn missing_bytes(&self) -> u64 {
        InitiateDecoder::missing_bytes(self).unwrap_or(0)
    }

    fn finish(&self) -> Result<(), Refusal> {
        InitiateDecoder::finish(self)
    }
}

pub(super) async fn initiate(
    service: &Service,
    call: &Call,
    inflow: &mut Inflow,
) -> Result<Bytes, Failed> {
    let max_bytes = service.offer.max_chunk_bytes;
    // The exact limit is named below, where the field is known.
    let mut decoder = InitiateDecoder::new(u64::from(u32::MAX));
    let (request, payload_bytes) = read_head(&mut decoder, inflow, request).await?;
    if let Some(bytes) = payload_bytes.filter(|&bytes| bytes > max_bytes) {
        let message = format!("a payload has at most {max_bytes} bytes");
        let refusal = Refusal::new(Reason::ChunkTooLarge, message).field("payload");
        return Err(refusal.with("payload_bytes", bytes).with("max_chunk_bytes", max_bytes).into());
    }
    let spec = spec::spec(&request, payload_bytes, service.fresh_node_id(), service.offer)?;
    if payload_bytes.is_none_or(|bytes| bytes == 0) {
        // What is answered below is answered for exactly one message.
        in_time(read_to_end(&mut decoder, inflow)).await?;
    }
    let (mut upload, duplicate) = claim(service, spec).await?;
    if let Some(bytes) = payload_bytes {
        fill(service, call, inflow, decoder, &upload, bytes).await?;
        upload = *control::look(service, upload.record.upload_id, 0, 0).await?.upload;
    }
    Ok(frame_reply(&response(service, call, &upload, duplicate)))
}

type Request = (Box<pb::InitiateUploadRequest>, Option<u64>);

fn request(decoder: &mut InitiateDecoder) -> Result<Option<Request>, Refusal> {
    match decoder.next_event()? {
        Some(InitiateEvent::Request { request, payload_bytes }) => {
            Ok(Some((request, payload_bytes)))
        }
        Some(_) => unreachable!("the request comes first"),
        None => Ok(None),
    }
}

async fn read_to_end(decoder: &mut InitiateDecoder, inflow: &mut Inflow) -> Result<(), Failed> {
    loop {
        while decoder.next_event()?.is_some() {}
        decoder.unpin();
        if !inflow.read_into(decoder).await? {
            return Ok(decoder.finish()?);
        }
    }
}

/// Makes the upload, or finds the one that the same request made before.
async fn claim(service: &Service, spec: UploadSpec) -> Result<(UploadView, bool), Failed> {
    let upload_id = service.fresh_upload_id();
    let begin = |call| Event::Initiate(Box::new(Initiate { call, upload_id, spec }));
    let mut reply = service.switch.call(service.owner(&upload_id)?, begin).await?;
    if let CallReply::Known { upload_id, .. } = reply {
        let again = |call| Event::InitiateAgain { call, upload_id };
        reply = service.switch.call(service.owner(&upload_id)?, again).await?;
    }
    match reply {
        CallReply::Initiated { upload, duplicate } => Ok((*upload, duplicate)),
        other => unreachable!("InitiateUpload answered {other:?}"),
    }
}

/// Sends the payload as the one chunk of the upload.
async fn fill(
    service: &Service,
    call: &Call,
    inflow: &mut Inflow,
    mut decoder: InitiateDecoder,
    upload: &UploadView,
    bytes: u64,
) -> Result<(), Failed> {
    let upload_id = upload.record.upload_id;
    if bytes == 0 {
        if upload.record.state < State::Completed {
            let none = ChunkCount::new(0).expect("no chunks are a number of chunks");
            control::complete(service, call, upload_id, Some(none), None).await?;
        }
        return Ok(());
    }
    let owner = service.owner(&upload_id)?;
    let target = Target { owner, upload_id, number: 0 };
    let header = ChunkHeader { is_last: true, data_bytes: bytes, ..ChunkHeader::default() };
    let wait = Some(call.wait_until_ms());
    let nameless = upload.record.spec.request_id.is_none().then_some((service, owner, upload_id));
    let unheard = Unheard(nameless);
    let mut intake = Intake::begin(service, inflow, header, target, Ends::WithTheStream(wait))?;
    intake.run(inflow, &mut decoder).await?;
    unheard.heard();
    Ok(())
}

/// Gives up an upload whose client never hears of it, so that nobody could go on with it.
struct Unheard<'a>(Option<(&'a Service, u16, UploadId)>);

impl Unheard<'_> {
    fn heard(mut self) {
        self.0 = None;
    }
}

impl Drop for Unheard<'_> {
    fn drop(&mut self) {
        if let Some((service, owner, upload_id)) = self.0 {
            let call = service.switch.nobody();
            let event = Event::Abort { call, tenant: TENANT.to_owned(), upload_id };
            service.switch.post(owner, Message::Event(event));
        }
    }
}

fn response(
    service: &Service,
    call: &Call,
    upload: &UploadView,
    duplicate: bool,
) -> pb::InitiateUploadResponse {
    let record = &upload.record;
    pb::InitiateUploadResponse {
        upload_id: record.upload_id.to_string(),
        node_id: record.spec.node_id.to_string(),
        state: view::state(record.state).into(),
        create_time: Some(view::time(record.create_ms)),
        expire_time: Some(view::time(record.expire_ms)),
        endpoints: service.endpoints(&record.upload_id, call.local_ip),
        limits: Some(pb::UploadLimits {
            max_upload_bytes: view::signed(record.spec.max_size_bytes),
            ..service.limits()
        }),
        duplicate,
        object: view::object(record, &service.objects),
    }
}
