//! UploadChunks: one chunk after the other on a stream, each with an answer of its own.
//!
//! Two tasks in one: the first reads chunks in, the second tells their answers. A refused chunk's
//! bytes are read and dropped, so that the next one can come; within an allowance, as they cost
//! the network what good ones do.

use std::{future::poll_fn, pin::pin, task::Poll, time::Duration};

use sluice_io::{edge::request::EdgeReply, reactor::timer};
use sluice_proto::{
    error::{Reason, Refusal},
    grpc::{ChunkDecoder, ChunkHeader},
    ids::UploadId,
};

use super::{
    Failed, Service,
    acks::Acks,
    inflow::{Inflow, Source, read_head},
    intake::{Ends, Intake, Target},
    rate::too_slow,
    reply,
    upload_chunk::{DATA_BYTES_MAX, header},
};

/// Refused bytes that a stream may bring beyond those that were taken, in largest chunks.
const REFUSED_CHUNKS_MAX: u64 = 4;
/// What is dropped has to come in this time, beside what the minimum rate allows for.
const DROP_MS: u64 = 10_000;

/// Serves one stream of chunks: the gRPC code that it ended with.
pub(super) async fn upload_chunks(
    service: &Service,
    mut inflow: Inflow,
    reply: &mut EdgeReply,
) -> Result<i32, Failed> {
    // Simple clients write all before they read any.
    reply.be_patient();
    reply::begin(reply)?;
    let acks = Acks::default();
    let reading = async {
        let mut stream = Incoming {
            service,
            acks: &acks,
            decoder: ChunkDecoder::new(DATA_BYTES_MAX),
            upload_id: None,
        };
        let read = stream.read(&mut inflow).await;
        acks.close();
        match read {
            Err(Failed::Gone) => Err(Failed::Gone),
            Err(Failed::Refused(refusal)) => Ok(Some(refusal)),
            Ok(()) => Ok(None),
        }
    };
    let (ended, ()) = futures_lite::future::try_zip(reading, tell(reply, &acks)).await?;
    if let Some(refusal) = &ended {
        service.metrics.refused(refusal.reason);
    }
    Ok(reply::end(reply, ended.as_ref()))
}

/// Tells the answers as they come, until the last.
async fn tell(reply: &mut EdgeReply, acks: &Acks<'_>) -> Result<(), Failed> {
    loop {
        let next = poll_fn(|cx| match reply.poll_gone(cx) {
            Poll::Ready(()) => Poll::Ready(Err(Failed::Gone)),
            Poll::Pending => acks.poll_batch(cx).map(Ok),
        });
        let Some(batch) = next.await? else { return Ok(()) };
        // While the client doesn't read, what comes joins what waits.
        let mut sending = pin!(reply.send(batch));
        poll_fn(|cx| {
            acks.poll_answers(cx);
            sending.as_mut().poll(cx)
        })
        .await?;
    }
}

/// The chunks of one stream, as they come.
struct Incoming<'a, 'b> {
    service: &'a Service,
    acks: &'b Acks<'a>,
    decoder: ChunkDecoder,
    /// Of the first chunk, and so of all.
    upload_id: Option<UploadId>,
}

impl Incoming<'_, '_> {
    /// Reads chunks until the client sends no more. A refusal is the stream's, not a chunk's.
    async fn read(&mut self, inflow: &mut Inflow) -> Result<(), Failed> {
        loop {
            self.acks.set_more(false);
            self.wait_for_room(inflow).await?;
            let allowed_bytes = REFUSED_CHUNKS_MAX * self.service.offer.max_chunk_bytes;
            if let Some(refusal) = self.acks.excess(allowed_bytes) {
                return Err(refusal.into());
            }
            let Some(header) = self.next_header(inflow).await? else { return Ok(()) };
            self.acks.set_more(true);
            let (number, bytes) = (header.chunk_number, header.data_bytes);
            match self.take(inflow, header).await {
                Ok(()) => {}
                Err(Failed::Refused(refusal)) => {
                    self.acks.refused(number, bytes, refusal.clone());
                    let is_over = matches!(refusal.reason, Reason::Rate | Reason::Draining);
                    if is_over || self.acks.excess(allowed_bytes).is_some() {
                        return Err(refusal.into());
                    }
                    self.drop_rest(inflow).await?;
                }
                Err(Failed::Gone) => return Err(Failed::Gone),
            }
        }
    }

    /// While answers aren't read, or don't come, no further chunk is.
    async fn wait_for_room(&mut self, inflow: &mut Inflow) -> Result<(), Failed> {
        if futures_lite::future::poll_once(poll_fn(|cx| self.acks.poll_room(cx))).await.is_some() {
            return Ok(());
        }
        // What came already must not shut the connection's window for other calls.
        inflow.park()?;
        self.decoder.unpin();
        poll_fn(|cx| self.acks.poll_room(cx)).await;
        inflow.grant(0)?;
        Ok(())
    }

    /// The next chunk's header. Between chunks a stream may rest.
    async fn next_header(&mut self, inflow: &mut Inflow) -> Result<Option<ChunkHeader>, Failed> {
        while !self.decoder.in_message() && self.decoder.unread_bytes() == 0 {
            if !inflow.read_into(&mut self.decoder).await? {
                return Ok(None);
            }
        }
        Ok(Some(read_head(&mut self.decoder, inflow, header).await?))
    }

    /// Brings one chunk to its owner.
    async fn take(&mut self, inflow: &mut Inflow, header: ChunkHeader) -> Result<(), Failed> {
        let (number, bytes) = (header.chunk_number, header.data_bytes);
        let target = self.target(&header)?;
        let mut chunk = Intake::begin(self.service, inflow, header, target, Ends::BeforeOthers)?;
        match chunk.receive(inflow, &mut self.decoder).await? {
            None => self.acks.await_answer(number, bytes, chunk),
            Some(ack) => {
                self.acks.acked(ack);
                self.drop_rest(inflow).await?;
            }
        }
        Ok(())
    }

    fn target(&mut self, header: &ChunkHeader) -> Result<Target, Refusal> {
        let (upload_id, number) = header.ids()?;
        if *self.upload_id.get_or_insert(upload_id) != upload_id {
            let rule = "is another than that of the stream's first chunk";
            return Err(Refusal::invalid("upload_id", rule));
        }
        let owner = self.service.owner(&upload_id)?;
        Ok(Target { owner, upload_id, number: number.get() })
    }

    /// Reads and drops what is left of a chunk that is answered already.
    async fn drop_rest(&mut self, inflow: &mut Inflow) -> Result<(), Failed> {
        let rest_bytes = Source::missing_bytes(&self.decoder);
        let rate_bytes = self.service.min_chunk_rate_bytes;
        let rate_ms = (rest_bytes * 1000).checked_div(rate_bytes).unwrap_or(u64::MAX / 2);
        let within = Duration::from_millis(DROP_MS + rate_ms);
        match timer::deadline(drop_message(&mut self.decoder, inflow), within).await {
            Ok(dropped) => dropped,
            Err(_elapsed) => Err(too_slow(rate_bytes).into()),
        }
    }
}

async fn drop_message(decoder: &mut ChunkDecoder, inflow: &mut Inflow) -> Result<(), Failed> {
    while decoder.in_message() {
        if decoder.next_part()?.is_some() {
            continue;
        }
        inflow.give_back_but(decoder.unread_bytes());
        inflow.grant(Source::missing_bytes(decoder))?;
        if !inflow.read_into(decoder).await? {
            return Ok(ChunkDecoder::finish(decoder)?);
        }
    }
    inflow.give_back_but(decoder.unread_bytes());
    Ok(())
}
