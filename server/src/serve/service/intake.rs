//! One chunk's way from its reader to its owner: header, grant, pieces, end, answer.
//!
//! Invariants: nothing of the payload is handed over before the owner granted it; the owner hears
//! of the end or of the cut.

use std::{
    future::poll_fn,
    task::{Context, Poll, ready},
    time::Duration,
};

use sluice_io::reactor::timer;
use sluice_proto::{
    error::{Reason, Refusal},
    grpc::{ChunkHeader, Trailer},
    ids::UploadId,
};
use sluice_shard::{
    Event,
    effect::{ChunkAck, StreamReply},
    event::ChunkOpen,
};

use super::{
    Failed, RETRY_AFTER_MS, Service, TENANT,
    inflow::{Inflow, Part, Source},
    not_one_message,
    rate::RateWatch,
};
use crate::{
    metrics::{ChunkResult, Level, ShardMetrics, Stage},
    serve::switch::{Message, ReaderHandle},
};

/// Where a chunk goes.
#[derive(Clone, Copy)]
pub(super) struct Target {
    /// The shard that owns the upload.
    pub(super) owner: u16,
    pub(super) upload_id: UploadId,
    pub(super) number: u32,
}

/// One chunk under way.
pub(super) struct Intake<'a, S> {
    service: &'a Service,
    inflow: &'a mut Inflow,
    source: S,
    reader: ReaderHandle,
    owner: u16,
    header: ChunkHeader,
    granted: bool,
    /// It waits for memory: what came already must not pin the blocks that others need.
    parked: bool,
    /// The end of the message, once it was decoded.
    trailer: Option<Trailer>,
    /// The owner was told of the end.
    settled: bool,
    /// The owner has spoken its last word.
    answered: bool,
    handed_bytes: u64,
    watch: RateWatch,
}

impl<'a, S: Source> Intake<'a, S> {
    /// Tells the owner of a chunk whose header was read.
    ///
    /// `end_wait_until_ms` is [`ChunkOpen::end_wait_until_ms`].
    pub(super) fn begin(
        service: &'a Service,
        inflow: &'a mut Inflow,
        source: S,
        header: ChunkHeader,
        target: Target,
        end_wait_until_ms: Option<u64>,
    ) -> Result<Self, Refusal> {
        let checks = header.checks()?;
        let Target { owner, upload_id, number } = target;
        let reader = service.switch.open_reader(inflow.releaser());
        if owner != service.shard {
            service.metrics.chunk_misrouted();
        }
        let open = ChunkOpen {
            stream: reader.key(),
            tenant: TENANT.to_owned(),
            upload_id,
            number,
            is_last: header.is_last,
            force: header.force,
            checks,
            data_bytes: header.data_bytes,
            end_wait_until_ms,
        };
        service.switch.post(owner, Message::Event(Event::ChunkOpen(Box::new(open))));
        Ok(Self {
            service,
            inflow,
            source,
            reader,
            owner,
            header,
            granted: false,
            parked: false,
            trailer: None,
            settled: false,
            answered: false,
            handed_bytes: 0,
            watch: RateWatch::new(),
        })
    }

    /// Brings the chunk to its owner and waits for the answer.
    pub(super) async fn run(mut self) -> Result<ChunkAck, Failed> {
        let began_us = timer::now_us();
        let result = poll_fn(|cx| self.poll(cx)).await;
        let took = Duration::from_micros(timer::now_us() - began_us);
        count(&self.service.metrics, &result, took);
        result
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<ChunkAck, Failed>> {
        loop {
            if let Poll::Ready(reply) = self.reader.poll_reply(cx) {
                match self.take_reply(reply, cx) {
                    Ok(Some(ack)) => return Poll::Ready(Ok(ack)),
                    Ok(None) => continue,
                    Err(failed) => return Poll::Ready(Err(failed)),
                }
            }
            if self.granted
                && !self.settled
                && let Err(refusal) = self.hand_over()
            {
                return Poll::Ready(Err(refusal.into()));
            }
            match self.inflow.poll_read_into(&mut self.source, cx) {
                Poll::Ready(Ok(true)) if self.parked && !self.granted => self.source.unpin(),
                Poll::Ready(Ok(true)) => {}
                Poll::Ready(Ok(false)) if !self.granted || self.settled => return Poll::Pending,
                Poll::Ready(Ok(false)) => match self.end() {
                    Ok(()) => return Poll::Pending,
                    Err(refusal) => return Poll::Ready(Err(refusal.into())),
                },
                Poll::Ready(Err(gone)) => return Poll::Ready(Err(gone)),
                Poll::Pending => return self.poll_rate(cx).map(|refusal| Err(refusal.into())),
            }
        }
    }

    fn take_reply(
        &mut self,
        reply: StreamReply,
        cx: &mut Context<'_>,
    ) -> Result<Option<ChunkAck>, Failed> {
        let no_credit = |_| {
            Refusal::new(Reason::Budget, "no window for this chunk just now")
                .retry_after_ms(RETRY_AFTER_MS)
        };
        match reply {
            StreamReply::Granted { .. } => {
                // What is here already isn't asked for again.
                while let Poll::Ready(read) = self.inflow.poll_read_into(&mut self.source, cx) {
                    if !read? {
                        break;
                    }
                }
                self.inflow.grant(self.source.missing_bytes()).map_err(no_credit)?;
                self.granted = true;
            }
            StreamReply::Parked => {
                self.inflow.park().map_err(no_credit)?;
                self.source.unpin();
                self.parked = true;
            }
            StreamReply::Acked(ack) => {
                (self.settled, self.answered) = (true, true);
                return Ok(Some(ack));
            }
            StreamReply::Refused(refusal) => {
                (self.settled, self.answered) = (true, true);
                return Err(refusal.into());
            }
        }
        Ok(None)
    }

    /// Hands over all that was decoded.
    fn hand_over(&mut self) -> Result<(), Refusal> {
        while let Some(part) = self.source.next_part()? {
            match part {
                Part::Data(bytes) => {
                    self.handed_bytes += bytes.len() as u64;
                    self.inflow.handed_over(bytes.len());
                    self.service.metrics.received(bytes.len() as u64);
                    self.reader.hand_over(self.owner, bytes);
                }
                Part::End(trailer) => self.trailer = Some(trailer),
            }
        }
        self.inflow.give_back();
        Ok(())
    }

    /// The client sends no more: if that was one whole message, its chunk ends.
    fn end(&mut self) -> Result<(), Refusal> {
        self.source.finish()?;
        let trailer = self.trailer.take().ok_or_else(not_one_message)?;
        trailer.apply(&mut self.header);
        let (is_last, force) = (self.header.is_last, self.header.force);
        let checks = self.header.checks()?;
        let event = Event::ChunkEnd { stream: self.reader.key(), is_last, force, checks };
        self.settled = true;
        self.service.switch.post(self.owner, Message::Event(event));
        Ok(())
    }

    /// Cuts a sender that holds budget and is too slow.
    fn poll_rate(&mut self, cx: &mut Context<'_>) -> Poll<Refusal> {
        let minimum = self.service.min_chunk_rate_bytes;
        if !self.granted || self.settled || minimum == 0 {
            return Poll::Pending;
        }
        loop {
            ready!(self.watch.poll_tick(cx));
            // While we hold what came, the client may not be able to send.
            let is_ours = self.reader.held_bytes() > 0;
            if self.watch.is_slow(self.handed_bytes, minimum, is_ours) {
                let message = format!("the chunk comes slower than {minimum} bytes a second");
                return Poll::Ready(
                    Refusal::new(Reason::Rate, message)
                        .with("min_bytes_per_second", minimum)
                        .retry_after_ms(RETRY_AFTER_MS),
                );
            }
        }
    }
}

/// Also when the client is gone and nobody polls it any more.
impl<S> Drop for Intake<'_, S> {
    fn drop(&mut self) {
        if !self.answered {
            let event = Event::ChunkCut { stream: self.reader.key() };
            self.service.switch.post(self.owner, Message::Event(event));
        }
    }
}

fn count(metrics: &ShardMetrics, result: &Result<ChunkAck, Failed>, took: Duration) {
    match result {
        Ok(ack) => {
            let was = if ack.duplicate { ChunkResult::Duplicate } else { ChunkResult::Accepted };
            metrics.chunk_ended(was, ack.bytes);
            metrics.chunk_acked(if ack.spooled { Level::Spooled } else { Level::Received }, took);
        }
        Err(Failed::Refused(refusal)) => {
            metrics.chunk_ended(ChunkResult::Refused, 0);
            if refusal.reason == Reason::ChecksumMismatch {
                metrics.integrity_failed(Stage::Chunk);
            }
        }
        Err(Failed::Gone) => metrics.chunk_ended(ChunkResult::Cut, 0),
    }
}
