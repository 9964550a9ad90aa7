//! UploadChunk: one message, decoded as it comes.

use bytes::Bytes;
use sluice_proto::{
    error::Refusal,
    grpc::{ChunkDecoder, ChunkEvent, ChunkHeader, frame::frame_reply},
    pb,
};
use sluice_shard::effect::ChunkAck;

use super::{
    Call, Failed, Service,
    inflow::{Inflow, Part, Source, read_head},
    intake::{Ends, Intake, Target},
    not_one_message, view,
    whole_chunk::WholeChunk,
};

/// A message's length is four bytes, so no chunk is longer. The owner judges by its own limit.
pub(super) const DATA_BYTES_MAX: u64 = u32::MAX as u64;

impl Source for ChunkDecoder {
    fn push(&mut self, piece: Bytes) {
        ChunkDecoder::push(self, piece);
    }

    fn unpin(&mut self) {
        ChunkDecoder::unpin(self);
    }

    fn next_part(&mut self) -> Result<Option<Part>, Refusal> {
        Ok(match self.next_event()? {
            Some(ChunkEvent::Data(bytes)) => Some(Part::Data(bytes)),
            Some(ChunkEvent::End(trailer)) => Some(Part::End(trailer)),
            Some(ChunkEvent::Header(_)) => return Err(not_one_message()),
            None => None,
        })
    }

    fn unread_bytes(&self) -> usize {
        ChunkDecoder::unread_bytes(self)
    }

    fn missing_bytes(&self) -> u64 {
        ChunkDecoder::missing_bytes(self).unwrap_or(0)
    }

    fn finish(&self) -> Result<(), Refusal> {
        ChunkDecoder::finish(self)
    }
}

pub(super) async fn upload_chunk(
    service: &Service,
    call: &Call,
    inflow: &mut Inflow,
) -> Result<Bytes, Failed> {
    let mut decoder = ChunkDecoder::new(DATA_BYTES_MAX);
    let header = read_head(&mut decoder, inflow, header).await?;
    let (upload_id, number) = header.ids()?;
    let owner = service.owner(&upload_id)?;
    let target = Target { owner, upload_id, number: number.get() };
    let ends = Ends::WithTheStream(Some(call.wait_until_ms()));
    let whole = match owner == service.shard {
        true => WholeChunk::take(&mut decoder, inflow, header.data_bytes).await?,
        false => None,
    };
    let ack = match whole {
        Some(chunk) => Intake::run_whole(service, inflow, header, target, ends, chunk).await?,
        None => {
            let mut intake = Intake::begin(service, inflow, header, target, ends)?;
            intake.run(inflow, &mut decoder).await?
        }
    };
    Ok(frame_reply(&response(service, ack)))
}

pub(super) fn header(decoder: &mut ChunkDecoder) -> Result<Option<ChunkHeader>, Refusal> {
    match decoder.next_event()? {
        Some(ChunkEvent::Header(header)) => Ok(Some(header)),
        Some(_) => unreachable!("a header comes first"),
        None => Ok(None),
    }
}

fn response(service: &Service, ack: ChunkAck) -> pb::UploadChunkResponse {
    pb::UploadChunkResponse {
        chunk_number: ack.number as i32,
        chunk_bytes: view::signed(ack.bytes),
        received_bytes: view::signed(ack.received_bytes),
        received_count: ack.received_count as i32,
        duplicate: ack.duplicate,
        state: view::state(ack.state).into(),
        ack_level: view::ack_level(ack.spooled).into(),
        limits: Some(service.limits()),
    }
}
